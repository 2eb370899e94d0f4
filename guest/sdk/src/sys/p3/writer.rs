//! A body as WASI 0.3 takes it, of a response or of a request: a stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::HeaderMap;
use http_body::Body as _;

use super::super::head;
use super::abi::{Fields, StreamWriter};
use crate::{Body, BodyError};

pub(super) fn fields(headers: &HeaderMap) -> Option<Fields> {
    head::fields(headers, Fields::from_list)
}

/// A body on its way into a stream. Dropping it ends the stream.
pub(super) struct Copying {
    writer: StreamWriter,
    body: Body,
    trailers: Option<HeaderMap>,
}

impl Copying {
    pub(super) fn new(writer: StreamWriter, body: Body) -> Self {
        Self {
            writer,
            body,
            trailers: None,
        }
    }

    /// Writes on, and is ready with the trailers at the body's end. A reader that has gone ends it early,
    /// and is no error of ours.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, BodyError>> {
        while ready!(self.writer.poll_written(context)) {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            let Some(frame) = frame.transpose()? else {
                break;
            };
            match frame.into_data() {
                Ok(data) => self.writer.put(data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
        Poll::Ready(Ok(self.trailers.take()))
    }
}
