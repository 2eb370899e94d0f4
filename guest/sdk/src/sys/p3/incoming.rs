//! A request as WASI 0.3 gives it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, Method};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use super::super::head;
use super::abi::{CutShort, Request as HostRequest, StreamReader, TrailersReader};
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
        Body::local(IncomingBody(State::Unread(self.0)))
    }
}

/// The host's request body, which nobody has asked for until it is polled.
struct IncomingBody(State);

enum State {
    Unread(HostRequest),
    Reading(StreamReader, TrailersReader),
    Trailers(TrailersReader),
    Done,
}

impl HttpBody for IncomingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match &mut self.0 {
                State::Unread(_) | State::Done => {}
                State::Reading(stream, _) => {
                    if let Some(data) = ready!(stream.poll_read(READ_SIZE_MAX, context)) {
                        return Poll::Ready(Some(Ok(Frame::data(data.into()))));
                    }
                }
                State::Trailers(trailers) => {
                    let trailers = ready!(trailers.poll_read(context));
                    self.0 = State::Done;
                    return Poll::Ready(match trailers {
                        Ok(None) => None,
                        Ok(Some(fields)) => {
                            let trailers = head::headers(fields.entries(), || None);
                            Some(Ok(Frame::trailers(trailers)))
                        }
                        Err(CutShort) => Some(Err(BodyError::new(CUT_SHORT))),
                    });
                }
            }
            self.0 = match std::mem::replace(&mut self.0, State::Done) {
                State::Unread(request) => {
                    let (stream, trailers) = request.consume();
                    State::Reading(stream, trailers)
                }
                // The stream has ended, and is dropped.
                State::Reading(_, trailers) => State::Trailers(trailers),
                State::Trailers(_) | State::Done => return Poll::Ready(None),
            };
        }
    }
}
