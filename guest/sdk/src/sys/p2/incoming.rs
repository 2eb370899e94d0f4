//! A request as WASI 0.2 gives it, and the body of any message that it gives.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, Method};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use super::super::abi::HostCode;
use super::super::head;
use super::abi::{
    FutureTrailers, IncomingBody as HostBody, InputStream, IoError, Pollable,
    Request as HostRequest, StreamEnd,
};
use crate::Request;
use crate::body::{Body, BodyError};
use crate::executor::blocking::Ready;

/// The most that one read asks for, in bytes. A host gives what it has, up to this.
const READ_SIZE_MAX: u64 = 64 * 1024;

/// The host's own codes say no more to a handler: either way the body is not whole.
const CUT_SHORT: &str = "the request's body was cut short";
const TAKEN: &str = "the request's body has been taken already";

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
    fn consume(&mut self) -> Option<HostBody>;

    /// What the host says of a stream that broke, if that is of use.
    fn code(error: IoError) -> Option<HostCode>;

    /// What the body's reader is told.
    fn error(&self, end: Broken) -> BodyError;
}

impl Message for Option<HostRequest> {
    fn consume(&mut self) -> Option<HostBody> {
        self.take()?.consume()
    }

    fn code(_: IoError) -> Option<HostCode> {
        None
    }

    fn error(&self, end: Broken) -> BodyError {
        BodyError::new(match end {
            Broken::Taken => TAKEN,
            Broken::Stream(_) | Broken::Trailers(_) => CUT_SHORT,
        })
    }
}

/// Why a body is not whole.
pub(super) enum Broken {
    /// It was taken before.
    Taken,
    Stream(Option<HostCode>),
    Trailers(HostCode),
}

/// The host's body, which nobody has asked for until it is polled.
pub(super) struct IncomingBody<M> {
    message: M,
    reader: Reader,
}

impl<M> IncomingBody<M> {
    pub(super) fn new(message: M) -> Self {
        let reader = Reader {
            wait: None,
            state: State::Unread,
        };
        Self { message, reader }
    }
}

impl<M: Message> HttpBody for IncomingBody<M> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { message, reader } = &mut *self;
        if matches!(reader.state, State::Unread) {
            reader.state = State::Done;
            match open(message) {
                Some(state) => reader.state = state,
                None => return Poll::Ready(Some(Err(message.error(Broken::Taken)))),
            }
        }
        let frame = reader.poll_frame(M::code, context);
        frame.map(|frame| frame.map(|frame| frame.map_err(|end| message.error(end))))
    }
}

fn open(message: &mut impl Message) -> Option<State> {
    let body = message.consume()?;
    let stream = body.stream()?;
    Some(State::Reading(stream, body))
}

/// A body that is read.
struct Reader {
    // Before `state`: a pollable must go before what it watches.
    wait: Option<Ready<Pollable>>,
    state: State,
}

enum State {
    Unread,
    // In this order: the stream must go before the body that it belongs to.
    Reading(InputStream, HostBody),
    Trailers(FutureTrailers),
    Done,
}

impl Reader {
    fn poll_frame(
        &mut self,
        code: fn(IoError) -> Option<HostCode>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(Pin::new(wait).poll(context));
                self.wait = None;
            }
            match std::mem::replace(&mut self.state, State::Done) {
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
                    Err(StreamEnd::Failed(error)) => {
                        // A host may demand that each goes before what it came from.
                        let code = code(error);
                        drop(stream);
                        return Poll::Ready(Some(Err(Broken::Stream(code))));
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
                    Some(Err(code)) => return Poll::Ready(Some(Err(Broken::Trailers(code)))),
                    Some(Ok(None)) => {}
                },
                State::Unread | State::Done => return Poll::Ready(None),
            }
        }
    }
}
