//! A request as WASI 0.3 gives it, and the body of any message that it gives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, Method};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use super::super::abi::HostCode;
use super::super::head;
use super::abi::{Request as HostRequest, StreamReader, TrailersReader};
use crate::Request;
use crate::body::{Body, BodyError};

/// The most that one read asks for, in bytes. A host gives what it has, up to this.
const READ_SIZE_MAX: usize = 64 * 1024;

/// The host's own codes say no more to a handler: either way the body is not whole.
const CUT_SHORT: &str = "the request's body was cut short";

/// The host's request.
pub(crate) struct IncomingRequest(HostRequest);

impl IncomingRequest {
    pub(super) fn from_export(handle: u32) -> Self {
        Self(HostRequest::from_export(handle))
    }

    pub(crate) fn method(&self) -> Method {
        let (case, name) = self.0.method();
        head::method(case, name)
    }

    pub(crate) fn path_and_query(&self) -> String {
        self.0.path_with_query().unwrap_or_else(|| "/".to_owned())
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        head::headers(self.0.headers().entries(), || self.0.authority())
    }

    pub(crate) fn into_request(self) -> Request {
        let (method, path, headers) = (self.method(), self.path_and_query(), self.headers());
        head::request(method, path, headers, self.into_body())
    }

    pub(crate) fn into_body(self) -> Body {
        Body::local(IncomingBody::new(Some(self.0)))
    }
}

/// A message of the host's with a body. What reads it is linked for the kinds of messages alone that a
/// function has.
pub(super) trait Message: Unpin {
    /// The body, which can be taken once. The host's message is let go of.
    fn consume(&mut self) -> Option<(StreamReader, TrailersReader)>;

    /// The body has been read to its end.
    fn finish(&mut self) {}

    /// What the body's reader is told when the host says that it is not whole.
    fn error(&self, code: HostCode) -> BodyError;
}

impl Message for Option<HostRequest> {
    fn consume(&mut self) -> Option<(StreamReader, TrailersReader)> {
        Some(self.take()?.consume())
    }

    fn error(&self, _: HostCode) -> BodyError {
        BodyError::new(CUT_SHORT)
    }
}

/// The host's body, which nobody has asked for until it is polled.
pub(super) struct IncomingBody<M> {
    // In this order: what is read goes before what it is read of.
    reader: Reader,
    message: M,
}

impl<M> IncomingBody<M> {
    pub(super) fn new(message: M) -> Self {
        Self {
            reader: Reader::Unread,
            message,
        }
    }
}

impl<M: Message> HttpBody for IncomingBody<M> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { reader, message } = &mut *self;
        if matches!(reader, Reader::Unread) {
            *reader = match message.consume() {
                Some((stream, trailers)) => Reader::Reading(stream, trailers),
                None => Reader::Done,
            };
        }
        let frame = reader.poll_frame(context);
        if matches!(reader, Reader::Done) {
            message.finish();
        }
        frame.map(|frame| frame.map(|frame| frame.map_err(|code| message.error(code))))
    }
}

/// A body that is read.
enum Reader {
    Unread,
    Reading(StreamReader, TrailersReader),
    Trailers(TrailersReader),
    Done,
}

impl Reader {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HostCode>>> {
        loop {
            match self {
                Self::Unread | Self::Done => return Poll::Ready(None),
                Self::Reading(stream, _) => {
                    if let Some(data) = ready!(stream.poll_read(READ_SIZE_MAX, context)) {
                        return Poll::Ready(Some(Ok(Frame::data(data.into()))));
                    }
                    // The stream has ended, and is dropped.
                    if let Self::Reading(_, trailers) = std::mem::replace(self, Self::Done) {
                        *self = Self::Trailers(trailers);
                    }
                }
                Self::Trailers(trailers) => {
                    let trailers = ready!(trailers.poll_read(context));
                    *self = Self::Done;
                    return Poll::Ready(match trailers {
                        Ok(None) => None,
                        Ok(Some(fields)) => {
                            let trailers = head::headers(fields.entries(), || None);
                            Some(Ok(Frame::trailers(trailers)))
                        }
                        Err(code) => Some(Err(code)),
                    });
                }
            }
        }
    }
}
