//! One request on its way out and its response on the way back: over a connection that waited, or a new one.
//!
//! Owns the time-outs, what is tried again, and when a connection may be used once more.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use everwarm_engine::outbound::{SendError, Timeouts};
use everwarm_engine::request::{BodyError, Request, RequestBody};
use everwarm_manifest::HttpTarget;
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, timeout};

use super::failure;
use super::open::Opener;
use super::pool::{Connection, Pool, Sender};
use crate::network::Unopened;

/// How long a connection may take to be made, unless the guest wants it sooner; it can't have longer.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a response's head may take, and each next piece of its body, unless the guest says otherwise.
const READ_TIME_DEFAULT: Duration = Duration::from_mins(10);
/// Connections that waited and turn out to be closed, before a new one is made.
const REUSED_MAX: usize = 3;

/// What a request needs on its way.
pub(super) struct Way {
    pub(super) opener: Opener,
    pub(super) pool: Arc<Pool>,
}

/// Sends `request` to `target`. `place` is given back when the response's body has ended.
pub(super) async fn carry(
    way: &Way,
    target: HttpTarget,
    request: Request,
    timeouts: Timeouts,
    place: OwnedSemaphorePermit,
) -> Result<http::Response<RequestBody>, Unopened> {
    let connect = timeouts
        .connect
        .unwrap_or(CONNECT_TIME_MAX)
        .min(CONNECT_TIME_MAX);
    let first_byte = timeouts.first_byte.unwrap_or(READ_TIME_DEFAULT);
    let between_bytes = timeouts.between_bytes.unwrap_or(READ_TIME_DEFAULT);
    let is_sent = Arc::new(AtomicBool::new(false));
    let mut again = repeatable(&request);
    let mut request = request.map(|body| SentBody::new(body, &is_sent));
    let mut reused = 0;
    loop {
        let waited = if reused < REUSED_MAX {
            way.pool.take(&target).await
        } else {
            None
        };
        let is_reused = waited.is_some();
        let mut connection = match waited {
            Some(connection) => connection,
            None => timeout(connect, open(way, &target))
                .await
                .unwrap_or(Err(SendError::ConnectionTimeout.into()))?,
        };
        reused += 1;
        connection.sender.shape(&mut request, &target)?;
        let sent = timeout(first_byte, connection.sender.try_send(request)).await;
        let mut failed = match sent.map_err(|_| SendError::ReadTimeout)? {
            Ok(response) => {
                let back = Back {
                    pool: Arc::clone(&way.pool),
                    target,
                    connection,
                    is_sent,
                };
                return Ok(receive(response, back, between_bytes, place)?);
            }
            Err(failed) => failed,
        };
        request = match (failed.take_message(), again.take()) {
            // Nothing of it was written.
            (Some(unsent), copy) if is_reused => {
                again = copy;
                unsent
            }
            // The other side closed the connection while the request was on its way (RFC 9110, section 9.2.2).
            (None, Some(copy)) if is_reused && is_gone(failed.error()) => {
                copy.map(|()| SentBody::new(RequestBody::Empty, &is_sent))
            }
            _ => return Err(failure::of_hyper(failed.error()).into()),
        };
    }
}

async fn open(way: &Way, target: &HttpTarget) -> Result<Connection, Unopened> {
    let connection = way.opener.open(target, &way.pool).await?;
    if let Some(shared) = connection.shared() {
        way.pool.put(target, shared);
    }
    Ok(connection)
}

/// The request once more, if it may be sent twice.
fn repeatable(request: &Request) -> Option<http::Request<()>> {
    let may_repeat =
        request.method().is_idempotent() && matches!(request.body(), RequestBody::Empty);
    may_repeat.then(|| {
        let mut copy = http::Request::new(());
        copy.method_mut().clone_from(request.method());
        copy.uri_mut().clone_from(request.uri());
        copy.headers_mut().clone_from(request.headers());
        copy
    })
}

fn is_gone(error: &hyper::Error) -> bool {
    matches!(failure::of_hyper(error), SendError::ConnectionTerminated)
}

impl Sender {
    /// Puts a request's target where this version of HTTP has it.
    fn shape(
        &self,
        request: &mut http::Request<SentBody>,
        target: &HttpTarget,
    ) -> Result<(), SendError> {
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        match self {
            Self::H1(_) => {
                let host = HeaderValue::try_from(target.authority());
                let host = host.map_err(|_| SendError::UriInvalid)?;
                request.headers_mut().insert(HOST, host);
                *request.uri_mut() = Uri::from(path);
            }
            Self::H2(_) => {
                request.headers_mut().remove(HOST);
                let uri = Uri::builder()
                    .scheme(Scheme::HTTPS)
                    .authority(target.authority())
                    .path_and_query(path)
                    .build();
                *request.uri_mut() = uri.map_err(|_| SendError::UriInvalid)?;
            }
        }
        Ok(())
    }

    async fn try_send(
        &mut self,
        request: http::Request<SentBody>,
    ) -> Result<http::Response<Incoming>, TrySendError<http::Request<SentBody>>> {
        match self {
            Self::H1(sender) => sender.try_send_request(request).await,
            Self::H2(sender) => sender.try_send_request(request).await,
        }
    }
}

fn receive(
    response: http::Response<Incoming>,
    back: Back,
    between_bytes: Duration,
    place: OwnedSemaphorePermit,
) -> Result<http::Response<RequestBody>, SendError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(SendError::Protocol("it switched protocols unasked".into()));
    }
    Ok(response.map(|incoming| {
        if incoming.is_end_stream() {
            back.give();
            return RequestBody::Empty;
        }
        RequestBody::Stream(Box::pin(ReceivedBody {
            incoming,
            back: Some(back),
            between_bytes,
            timer: None,
            _place: place,
        }))
    }))
}

/// The way of a connection back into its pool.
struct Back {
    pool: Arc<Pool>,
    target: HttpTarget,
    connection: Connection,
    is_sent: Arc<AtomicBool>,
}

impl Back {
    /// The response is complete. A connection on which the request isn't is of no use to others.
    fn give(self) {
        let is_h1 = matches!(self.connection.sender, Sender::H1(_));
        if is_h1 && self.is_sent.load(Ordering::Acquire) {
            self.pool.put(&self.target, self.connection);
        }
    }
}

/// The body of a response. Dropped before its end, it has its connection closed.
struct ReceivedBody {
    incoming: Incoming,
    back: Option<Back>,
    between_bytes: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Body for ReceivedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.timer = None;
                let has_ended = frame.is_none() || self.incoming.is_end_stream();
                if has_ended && let Some(back) = self.back.take() {
                    back.give();
                }
                let frame = frame.map(|frame| frame.map_err(|e| failure::of_hyper(&e).into()));
                Poll::Ready(frame)
            }
            Poll::Pending => {
                let between_bytes = self.between_bytes;
                let timer = self
                    .timer
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(between_bytes)));
                std::task::ready!(timer.as_mut().poll(cx));
                self.back = None;
                Poll::Ready(Some(Err(SendError::ReadTimeout.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The body of a request, which remembers when all of it was taken.
pub(super) struct SentBody {
    body: RequestBody,
    is_sent: Arc<AtomicBool>,
}

impl SentBody {
    fn new(body: RequestBody, is_sent: &Arc<AtomicBool>) -> Self {
        let is_empty = matches!(body, RequestBody::Empty);
        is_sent.store(is_empty, Ordering::Release);
        Self {
            body,
            is_sent: Arc::clone(is_sent),
        }
    }

    fn note_end(&self) {
        self.is_sent.store(true, Ordering::Release);
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let RequestBody::Stream(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(body.as_mut().poll_frame(cx));
        if frame.is_none() || body.is_end_stream() {
            self.note_end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            RequestBody::Empty => true,
            RequestBody::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Stream(body) => body.size_hint(),
        }
    }
}
