//! Queues and schedules of apps.

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body_util::Full;

use super::address::query;
use super::{Client, ClientError, body};
use crate::messages::{Changed, MessagePage, Retry, SentMessage, TriggerKind, TriggerPage};
use crate::operations;

/// A queue or a schedule of an app.
#[derive(Debug, Clone, Copy)]
pub struct TriggerOf<'a> {
    client: &'a Client,
    app: &'a str,
    kind: TriggerKind,
    name: &'a str,
}

impl Client {
    /// Lists the queues and schedules of an app.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn triggers(&self, app: &str) -> Result<TriggerPage, ClientError> {
        self.json(&operations::LIST_TRIGGERS, &[app], "", None)
            .await
    }

    /// One of them. It needn't be there.
    pub fn trigger<'a>(&'a self, app: &'a str, kind: TriggerKind, name: &'a str) -> TriggerOf<'a> {
        TriggerOf {
            client: self,
            app,
            kind,
            name,
        }
    }
}

/// The word for a state in a query.
fn state(is_dead: bool) -> &'static str {
    if is_dead { "dead" } else { "waiting" }
}

impl TriggerOf<'_> {
    fn segments(&self) -> [&str; 3] {
        [self.app, self.kind.as_str(), self.name]
    }

    /// Lists messages: the dead ones, or those that wait.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn messages(
        &self,
        is_dead: bool,
        after: Option<&str>,
        limit: Option<u32>,
    ) -> Result<MessagePage, ClientError> {
        let limit = limit.map(|limit| limit.to_string());
        let query = query(&[
            ("state", Some(state(is_dead))),
            ("after", after),
            ("limit", limit.as_deref()),
        ]);
        let operation = &operations::LIST_MESSAGES;
        self.client
            .json(operation, &self.segments(), &query, None)
            .await
    }

    /// Sends a message, or runs a schedule now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send(
        &self,
        message: Bytes,
        content_type: Option<HeaderValue>,
        delay_s: Option<u64>,
    ) -> Result<SentMessage, ClientError> {
        let delay = delay_s.map(|seconds| seconds.to_string());
        let query = query(&[("delay_s", delay.as_deref())]);
        let operation = &operations::SEND_MESSAGE;
        let mut request =
            self.client
                .request(operation, &self.segments(), &query, Full::new(message))?;
        if let Some(content_type) = content_type {
            request
                .headers_mut()
                .insert(header::CONTENT_TYPE, content_type);
        }
        self.client.read(request).await
    }

    /// Forgets messages: the dead ones, or those that wait.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn purge(&self, is_dead: bool) -> Result<Changed, ClientError> {
        let query = query(&[("state", Some(state(is_dead)))]);
        let operation = &operations::PURGE_MESSAGES;
        self.client
            .json(operation, &self.segments(), &query, None)
            .await
    }

    /// Lets dead messages be delivered again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn retry(&self, retry: &Retry) -> Result<Changed, ClientError> {
        let operation = &operations::RETRY_MESSAGES;
        let body = body(retry)?;
        self.client
            .json(operation, &self.segments(), "", Some(body))
            .await
    }

    /// Pauses it, or lets it go on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_paused(&self, is_paused: bool) -> Result<(), ClientError> {
        let operation = if is_paused {
            &operations::PAUSE_TRIGGER
        } else {
            &operations::RESUME_TRIGGER
        };
        let request = self
            .client
            .request(operation, &self.segments(), "", Full::default())?;
        self.client.nothing(request).await
    }
}
