//! Answers that aren't read whole before they are handed on.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;

use super::{Client, ClientError, innermost};

/// How long the node may take for each piece.
const PIECE_TIME_MAX: Duration = Duration::from_mins(1);

/// An answer's body that is on its way.
#[derive(Debug)]
pub(super) struct Streamed {
    client: Client,
    body: Incoming,
    /// What it is called.
    what: &'static str,
}

impl Client {
    /// Sends a request whose answer is streamed: its head, with the body if the node does as it is asked.
    pub(super) async fn begin(
        &self,
        request: Request<Full<Bytes>>,
        what: &'static str,
        answer_time_max: Duration,
    ) -> Result<Response<Streamed>, ClientError> {
        let answered = self.http.request(request.map(Either::Left));
        let answered = tokio::time::timeout(answer_time_max, answered).await;
        let response = answered
            .map_err(|_| self.no_answer(answer_time_max))?
            .map_err(|error| self.unreached(&error))?;
        if response.status().is_success() {
            return Ok(response.map(|body| Streamed {
                client: self.clone(),
                body,
                what,
            }));
        }
        let problem = tokio::time::timeout(PIECE_TIME_MAX, self.whole(response)).await;
        let problem = problem.map_err(|_| self.no_answer(PIECE_TIME_MAX))??;
        Err(self.problem(problem.status(), problem.body(), problem.headers()))
    }
}

impl Streamed {
    /// The next piece; `None` when that was all.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        let (client, what) = (&self.client, self.what);
        loop {
            let frame = tokio::time::timeout(PIECE_TIME_MAX, self.body.frame()).await;
            let frame =
                frame.map_err(|_| client.broke_off(&format_args!("the {what} came to a halt")))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| {
                let reason = innermost(&error);
                client.broke_off(&format_args!(
                    "the {what} broke off ({reason}); the node's log says why"
                ))
            })?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
    }
}
