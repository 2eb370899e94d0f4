//! What is on its way into a guest: a request, and the body of a request or of a response to one that the
//! guest sent.
//!
//! Owns the limit on the body and the pull of its frames: nothing is read from the other side before
//! the guest asks for it, which is the back-pressure. Knows neither WASI version.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, request};
use http_body::Body;
use parking_lot::Mutex;

use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::fields::Fields;
use crate::outbound::{Chain, SendError};

/// What a request body may fail with on its way from the client.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The error of a body that the client stopped sending: the request fails with a fault of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing came of the rest of the request body for too long")]
pub struct TooSlow;

/// A request's body.
pub enum RequestBody {
    /// Nothing.
    Empty,
    /// Frames that are still to come.
    Stream(Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>),
}

/// A request as the engine takes it. `scheme` and authority are in the URI or the `Host` field.
pub type Request = http::Request<RequestBody>;

/// Adds the fields that a node says by itself. Most guests don't look at any, so they are made when one does.
pub type MoreFields = Box<dyn FnOnce(&mut HeaderMap) + Send>;

/// A request that a guest holds as a resource.
pub(crate) struct Incoming {
    pub(crate) parts: request::Parts,
    /// The `Host` field, once the fields were taken out of `parts`: guests see it as authority.
    host: Option<HeaderValue>,
    fields: Option<Fields>,
    more: Option<MoreFields>,
    body: Option<SharedReader>,
    pub(crate) chain: Chain,
}

pub(crate) type SharedReader = Arc<Mutex<BodyReader>>;

impl Incoming {
    pub(crate) fn new(
        request: Request,
        more: MoreFields,
        exchange: &Arc<Exchange>,
        limit: u64,
        chain: Chain,
    ) -> Self {
        let (parts, body) = request.into_parts();
        let body = BodyReader::new(body, Some(Arc::clone(exchange)), limit);
        Self {
            parts,
            host: None,
            fields: None,
            more: Some(more),
            body: Some(body.shared()),
            chain,
        }
    }

    /// The request's fields; taken out of the request when first asked for.
    pub(crate) fn fields(&mut self) -> Fields {
        let (parts, host, more) = (&mut self.parts, &mut self.host, &mut self.more);
        self.fields
            .get_or_insert_with(|| {
                *host = parts.headers.get(HOST).cloned();
                if let Some(more) = more.take() {
                    more(&mut parts.headers);
                }
                Fields::received(std::mem::take(&mut parts.headers))
            })
            .clone()
    }

    /// The body, once.
    pub(crate) fn take_body(&mut self) -> Option<SharedReader> {
        self.body.take()
    }

    /// The authority of the URI, or of the `Host` field.
    pub(crate) fn authority(&self) -> Option<String> {
        if let Some(authority) = self.parts.uri.authority() {
            return Some(authority.to_string());
        }
        let host = self
            .host
            .as_ref()
            .or_else(|| self.parts.headers.get(HOST))?;
        host.to_str().ok().map(ToOwned::to_owned)
    }

    pub(crate) fn path_with_query(&self) -> Option<String> {
        self.parts.uri.path_and_query().map(ToString::to_string)
    }
}

/// Why no more of a body can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// It is complete.
    Complete,
    /// The other side broke off, or sent more than the limit.
    Broken(Broken),
}

/// Why a body broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) reason: Arc<str>,
    /// What `wasi:http` has a word for, if it has one.
    pub(crate) code: Option<SendError>,
}

impl From<String> for Broken {
    fn from(reason: String) -> Self {
        Self {
            reason: reason.into(),
            code: None,
        }
    }
}

/// Reads a body frame by frame.
pub(crate) struct BodyReader {
    body: RequestBody,
    chunk: Bytes,
    end: Option<ReadEnd>,
    trailers: Option<HeaderMap>,
    end_waiter: Option<Waker>,
    left: u64,
    limit: u64,
    /// The exchange whose request's body this is; `None` for other bodies.
    exchange: Option<Arc<Exchange>>,
}

impl std::fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyReader")
            .field("end", &self.end)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl BodyReader {
    fn new(body: RequestBody, exchange: Option<Arc<Exchange>>, limit: u64) -> Self {
        let end = matches!(body, RequestBody::Empty).then_some(ReadEnd::Complete);
        Self {
            body,
            chunk: Bytes::new(),
            end,
            trailers: None,
            end_waiter: None,
            left: limit,
            limit,
            exchange,
        }
    }

    /// Reads a body that isn't the request's own: nobody counts it.
    pub(crate) fn received(body: RequestBody, limit: u64) -> Self {
        Self::new(body, None, limit)
    }

    pub(crate) fn shared(self) -> SharedReader {
        Arc::new(Mutex::new(self))
    }

    /// Ready once there are bytes to read, or the body has ended.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.chunk.is_empty() && self.end.is_none() {
            let RequestBody::Stream(body) = &mut self.body else {
                self.finish(ReadEnd::Complete);
                break;
            };
            let frame = std::task::ready!(body.as_mut().poll_frame(cx));
            self.take_frame(frame);
        }
        Poll::Ready(())
    }

    fn take_frame(&mut self, frame: Option<Result<http_body::Frame<Bytes>, BodyError>>) {
        match frame {
            None => self.finish(ReadEnd::Complete),
            Some(Err(error)) => {
                if let Some(exchange) = &self.exchange
                    && error.is::<TooSlow>()
                {
                    // Which the function hears as well, if it has answered already.
                    exchange.fail(Fault::RequestBodyTooSlow);
                }
                self.finish(ReadEnd::Broken(Broken {
                    reason: error.to_string().into(),
                    code: error.downcast_ref().cloned(),
                }));
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => self.take_data(data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            },
        }
    }

    fn take_data(&mut self, data: Bytes) {
        let len = data.len() as u64;
        if len > self.left {
            let broken = self.too_large();
            self.finish(ReadEnd::Broken(broken));
            return;
        }
        self.left -= len;
        if let Some(exchange) = &self.exchange {
            exchange.count_bytes_in(len);
        }
        self.chunk = data;
    }

    fn too_large(&mut self) -> Broken {
        // What is still to come isn't wanted: its sender is told by the end of its body.
        self.body = RequestBody::Empty;
        if let Some(exchange) = &self.exchange {
            exchange.fail(Fault::RequestBodyTooLarge);
            return Fault::RequestBodyTooLarge.to_string().into();
        }
        let error = SendError::ResponseBodyTooLarge(self.limit);
        Broken {
            reason: error.to_string().into(),
            code: Some(error),
        }
    }

    /// Up to `len` bytes that are there already. Nothing means wait; an end comes after the bytes.
    pub(crate) fn read(&mut self, len: usize) -> Result<Bytes, ReadEnd> {
        if self.chunk.is_empty() {
            return match &self.end {
                Some(end) => Err(end.clone()),
                None => Ok(Bytes::new()),
            };
        }
        Ok(self.chunk.split_to(len.min(self.chunk.len())))
    }

    /// Ready once the body has ended; what is left of it is thrown away.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.end.is_none() {
            self.chunk = Bytes::new();
            std::task::ready!(self.poll_ready(cx));
        }
        Poll::Ready(())
    }

    /// Ready once somebody who reads has seen the end. Unlike [`Self::poll_end`] this reads nothing.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.end.is_some() {
            return Poll::Ready(());
        }
        self.end_waiter = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.end.is_some() && self.chunk.is_empty()
    }

    fn finish(&mut self, end: ReadEnd) {
        self.end = Some(end);
        if let Some(waiter) = self.end_waiter.take() {
            waiter.wake();
        }
    }

    /// The trailers, once the body has ended.
    pub(crate) fn trailers(&mut self) -> Option<Result<Option<HeaderMap>, Broken>> {
        match self.end.as_ref()? {
            ReadEnd::Complete => Some(Ok(self.trailers.take())),
            ReadEnd::Broken(broken) => Some(Err(broken.clone())),
        }
    }
}
