//! A request as WASI 0.2 gives it.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, Method};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use super::super::head;
use super::abi::{
    FutureTrailers, IncomingBody as HostBody, InputStream, Pollable, Request as HostRequest,
    StreamEnd,
};
use crate::Request;
use crate::body::{Body, BodyError};
use crate::executor::blocking::Ready;

/// The most that one read asks for, in bytes. A host gives what it has, up to this.
const READ_SIZE_MAX: u64 = 64 * 1024;

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
        Body::local(IncomingBody {
            wait: None,
            state: State::Unread(self.0),
        })
    }
}

/// The host's request body, which nobody has asked for until it is polled.
struct IncomingBody {
    // Before `state`: a pollable must go before what it watches.
    wait: Option<Ready<Pollable>>,
    state: State,
}

enum State {
    Unread(HostRequest),
    // In this order: the stream must go before the body that it belongs to.
    Reading(InputStream, HostBody),
    Trailers(FutureTrailers),
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
            if let Some(wait) = &mut self.wait {
                ready!(Pin::new(wait).poll(context));
                self.wait = None;
            }
            match std::mem::replace(&mut self.state, State::Done) {
                State::Unread(request) => self.state = open(&request)?,
                State::Reading(stream, body) => match stream.read(READ_SIZE_MAX) {
                    Ok(data) if data.is_empty() => {
                        self.wait = Some(super::ready(stream.subscribe()));
                        self.state = State::Reading(stream, body);
                    }
                    Ok(data) => {
                        self.state = State::Reading(stream, body);
                        return Poll::Ready(Some(Ok(Frame::data(data.into()))));
                    }
                    Err(StreamEnd::Closed) => {
                        drop(stream);
                        self.state = State::Trailers(body.finish());
                    }
                    Err(StreamEnd::Failed) => {
                        return Poll::Ready(Some(Err(BodyError::new(CUT_SHORT))));
                    }
                },
                State::Trailers(trailers) => match trailers.get() {
                    None => {
                        self.wait = Some(super::ready(trailers.subscribe()));
                        self.state = State::Trailers(trailers);
                    }
                    Some(Ok(Some(fields))) => {
                        let trailers = head::headers(fields.entries(), || None);
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                    Some(Err(_)) => {
                        return Poll::Ready(Some(Err(BodyError::new(CUT_SHORT))));
                    }
                    Some(Ok(None)) => {}
                },
                State::Done => return Poll::Ready(None),
            }
        }
    }
}

fn open(request: &HostRequest) -> Result<State, BodyError> {
    let gone = || BodyError::new("the request's body has been taken already");
    let body = request.consume().ok_or_else(gone)?;
    let stream = body.stream().ok_or_else(gone)?;
    Ok(State::Reading(stream, body))
}
