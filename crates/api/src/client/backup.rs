//! Taking a backup: the one answer that isn't read whole before it is handed on.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;

use super::{ANSWER_BYTES_MAX, Client, ClientError, innermost};
use crate::operations;

/// How long the node may take for its first word, and then for each piece.
const PIECE_TIME_MAX: Duration = Duration::from_mins(1);

/// A backup that is on its way.
#[derive(Debug)]
pub struct Archive {
    client: Client,
    body: Incoming,
}

impl Client {
    /// Asks the node for a copy of all that it keeps.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn back_up(&self) -> Result<Archive, ClientError> {
        let request = self.request(&operations::BACK_UP, &[], "", Full::default())?;
        let answered = tokio::time::timeout(PIECE_TIME_MAX, self.http.request(request)).await;
        let response = answered
            .map_err(|_| self.broke_off(&"no answer"))?
            .map_err(|error| self.unreached(&error))?;
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            return Ok(Archive {
                client: self.clone(),
                body,
            });
        }
        let problem = Limited::new(body, ANSWER_BYTES_MAX).collect();
        let problem = tokio::time::timeout(PIECE_TIME_MAX, problem).await;
        let problem = problem.map_err(|_| self.broke_off(&"no answer"))?;
        let problem = problem.map_err(|error| self.strange(&error))?.to_bytes();
        Err(self.problem(head.status, &problem, &head.headers))
    }

    fn broke_off(&self, reason: &dyn std::fmt::Display) -> ClientError {
        ClientError::Unreachable {
            node: self.node.clone(),
            reason: reason.to_string(),
        }
    }
}

impl Archive {
    /// The next piece; `None` when that was all.
    ///
    /// # Errors
    /// [`ClientError`]: what came until now is no backup.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = tokio::time::timeout(PIECE_TIME_MAX, self.body.frame()).await;
            let client = &self.client;
            let frame = frame.map_err(|_| client.broke_off(&"the backup came to a halt"))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| {
                let reason = innermost(&error);
                client.broke_off(&format!(
                    "the backup broke off ({reason}); the node's log says why"
                ))
            })?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
    }
}
