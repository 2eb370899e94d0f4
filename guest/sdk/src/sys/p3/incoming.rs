//! A request as WASI 0.3 gives it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, Method};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use wasip3::http::types::{ErrorCode, Method as HostMethod, Request as HostRequest, Trailers};
use wasip3::wit_bindgen::rt::async_support::{FutureReader, StreamReader, StreamResult};
use wasip3::wit_future;

use super::super::head;
use crate::Request;
use crate::body::{Body, BodyError};

/// The most that one read asks for, in bytes. A host gives what it has, up to this.
const READ_SIZE_MAX: usize = 64 * 1024;

/// The host's own codes say no more to a handler: either way the body is not whole.
const CUT_SHORT: &str = "the request's body was cut short";

type Chunk = Result<Frame<Bytes>, BodyError>;
type HostTrailers = FutureReader<Result<Option<Trailers>, ErrorCode>>;

/// The host's request.
pub(crate) struct IncomingRequest(HostRequest);

impl IncomingRequest {
    pub(super) fn new(request: HostRequest) -> Self {
        Self(request)
    }

    pub(crate) fn method(&self) -> Method {
        match self.0.get_method() {
            HostMethod::Get => Method::GET,
            HostMethod::Head => Method::HEAD,
            HostMethod::Post => Method::POST,
            HostMethod::Put => Method::PUT,
            HostMethod::Delete => Method::DELETE,
            HostMethod::Connect => Method::CONNECT,
            HostMethod::Options => Method::OPTIONS,
            HostMethod::Trace => Method::TRACE,
            HostMethod::Patch => Method::PATCH,
            HostMethod::Other(name) => head::other_method(&name),
        }
    }

    pub(crate) fn path_and_query(&self) -> String {
        self.0
            .get_path_with_query()
            .unwrap_or_else(|| "/".to_owned())
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        head::headers(self.0.get_headers().copy_all(), || self.0.get_authority())
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
    Open(Source),
    Busy(Pin<Box<dyn Future<Output = (Option<Chunk>, State)>>>),
    Done,
}

struct Source {
    stream: StreamReader<u8>,
    trailers: HostTrailers,
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
                State::Busy(step) => {
                    let (chunk, next) = ready!(step.as_mut().poll(context));
                    self.0 = next;
                    return Poll::Ready(chunk);
                }
                State::Done => return Poll::Ready(None),
                State::Unread(_) | State::Open(_) => {
                    self.0 = match std::mem::replace(&mut self.0, State::Done) {
                        State::Unread(request) => State::Open(Source::open(request)),
                        State::Open(source) => State::Busy(Box::pin(source.next())),
                        busy_or_done => busy_or_done,
                    };
                }
            }
        }
    }
}

impl Source {
    fn open(request: HostRequest) -> Self {
        let (_, accepted) = wit_future::new(|| Ok(()));
        let (stream, trailers) = HostRequest::consume_body(request, accepted);
        Self { stream, trailers }
    }

    async fn next(mut self) -> (Option<Chunk>, State) {
        loop {
            let buffer = Vec::with_capacity(READ_SIZE_MAX);
            let (result, mut data) = self.stream.read(buffer).await;
            if !data.is_empty() {
                data.shrink_to_fit();
                return (Some(Ok(Frame::data(data.into()))), State::Open(self));
            }
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
        }
        drop(self.stream);
        let last = match self.trailers.await {
            Ok(None) => None,
            Ok(Some(fields)) => {
                let trailers = head::headers(fields.copy_all(), || None);
                Some(Ok(Frame::trailers(trailers)))
            }
            Err(_) => Some(Err(BodyError::new(CUT_SHORT))),
        };
        (last, State::Done)
    }
}
