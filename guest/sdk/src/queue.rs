//! Queues: messages for later, and what queues and schedules call a handler with. How the host is asked is `sys`.

mod delivery;
mod error;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;

pub use self::delivery::{Batch, BatchMessage, Delivery, Trigger};
pub use self::error::QueueError;
use crate::sys;

/// What is sent to a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: Option<String>,
    pub(crate) delay: Duration,
}

impl Message {
    /// A message of bytes.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// A message of JSON.
    ///
    /// # Errors
    /// [`QueueError::Json`] when it can't be written as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, QueueError> {
        let body = serde_json::to_vec(value).map_err(QueueError::Json)?;
        Ok(Self::new(body).content_type("application/json"))
    }

    /// Says what the body is, as HTTP's `Content-Type`.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Isn't delivered before that time has passed.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::new(text).content_type("text/plain; charset=utf-8")
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Vec<u8>> for Message {
    fn from(body: Vec<u8>) -> Self {
        Self::new(body)
    }
}

/// Sends a message to a queue of the app, which the function's manifest has to grant. The message has survived power loss
/// when this returns. Returns its delivery id, which its handler sees at each delivery.
///
/// ```
/// use everwarm_sdk::queue::{self, Message};
/// use everwarm_sdk::Result;
///
/// #[everwarm_sdk::http]
/// async fn sign_up(name: String) -> Result<&'static str> {
///     queue::send("mails", Message::json(&name)?).await?;
///     Ok("a mail is on its way\n")
/// }
/// ```
///
/// # Errors
/// When it isn't kept: the queue isn't granted, the message is too large, the queues are full, or the host can't write.
pub async fn send(queue: &str, message: impl Into<Message>) -> Result<String, QueueError> {
    let ids = send_all(queue, &[message.into()]).await?;
    let id = ids.into_iter().next();
    id.ok_or_else(|| QueueError::Unavailable("the host answered no delivery id".to_owned()))
}

/// As [`send`], for several messages: all are kept, or none. At most 100.
///
/// # Errors
/// As [`send`].
#[cfg_attr(not(test), expect(clippy::unused_async, reason = "as in `kv`"))]
pub async fn send_all(queue: &str, messages: &[Message]) -> Result<Vec<String>, QueueError> {
    sys::queue::send(queue, messages)
}
