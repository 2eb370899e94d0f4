//! One connection: HTTP/1.1 or HTTP/2, in TLS or without.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use everwarm_engine::lane::Lane;
use everwarm_engine::own::Own;
use everwarm_engine::request::RequestBody;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::{HeaderValue, Request, Response, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::activity::{Activity, Attended, Inside};
use super::head_timer::HeadTimer;
use super::limits::Limits;
use super::patience::Patient;
use super::plain::Plain;
use super::scanned::{Scanned, Verdict};
use super::{CONNECTION_ENDED, Drain, Ending, LAST_REQUEST_TIME_MAX, Orders};
use crate::compress::ResponseBody;
use crate::dispatch::{Edge, Origin, Peer, dispatch};

/// Bytes of a request's head, and of what is read ahead.
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Requests of one HTTP/2 connection that are worked on at once.
const STREAMS_MAX: u32 = 256;
/// Streams of an HTTP/2 connection that its client has reset before they were taken up.
const RESETS_WAITING_MAX: usize = 32;
/// Streams of an HTTP/2 connection that were reset because of what its client did wrong.
const WRONG_STREAMS_MAX: usize = 128;
/// Bytes of one HTTP/2 response that wait for its client.
const SEND_BUFFER_BYTES_MAX: usize = 128 << 10;
/// How long a connection must have been idle to make room for another.
const IDLE_TO_GO: Duration = Duration::from_secs(1);
/// How long a connection that was told to end may take over it, if nothing is going on in it.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(5);

/// Spawns the parts of an HTTP/2 connection on its lane.
#[derive(Clone)]
struct OnLane;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnLane
where
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Who asks, and who answers.
pub(super) struct Asked {
    pub(super) client: SocketAddr,
    pub(super) edge: Own<Edge>,
    pub(super) lane: Lane,
    pub(super) limits: Limits,
    pub(super) orders: watch::Receiver<Orders>,
}

/// What a connection's bytes came in.
#[derive(Clone)]
pub(super) enum Speaks {
    Plain(Option<Arc<Plain>>),
    Tls,
}

/// What all requests of a connection share.
struct Shared {
    plain: Option<Arc<Plain>>,
    edge: Own<Edge>,
    lane: Lane,
    peer: Arc<Peer>,
    verdict: Verdict,
    /// Requests that have come.
    heads: Cell<u64>,
    /// The protocol of the last request.
    version: Cell<Option<Version>>,
    /// The next response says that the connection ends.
    closing: Cell<bool>,
    body_idle_max: Duration,
}

/// How a connection is over, or what it is told.
enum Event {
    Ended(Result<(), Box<dyn std::error::Error + Send + Sync>>),
    Flood,
    Drain(Option<Drain>),
    Idle,
}

/// Serves a connection until it ends; after a drain was told, until its requests have.
pub(super) async fn serve(
    connection: impl Read + Write + Unpin + 'static,
    asked: Asked,
    speaks: Speaks,
) {
    let Asked {
        client,
        edge,
        lane,
        limits,
        orders,
    } = asked;
    let (connection, verdict) = Scanned::new(connection);
    let activity = Activity::new();
    let (https, plain) = match speaks {
        Speaks::Tls => (true, None),
        Speaks::Plain(plain) => (false, plain),
    };
    let shared = Rc::new(Shared {
        plain,
        peer: Arc::new(Peer::new(client.ip(), https, edge.trusted_proxies())),
        edge: edge.clone(),
        lane,
        verdict,
        heads: Cell::new(0),
        version: Cell::default(),
        closing: Cell::default(),
        body_idle_max: limits.body_idle_max,
    });
    let service = service_fn({
        let (shared, activity) = (Rc::clone(&shared), Rc::clone(&activity));
        move |request| answer(Rc::clone(&shared), activity.enter(), request)
    });
    let builder = builder(&limits);
    let mut connection = std::pin::pin!(builder.serve_connection(connection, service));
    let clock = Box::pin(tokio::time::sleep(limits.head_time_max));
    let mut aside = FuturesUnordered::new();
    aside.push(look_aside(orders, clock));
    let event = loop {
        let over = poll_fn(|cx| {
            // Looked at on the way, since what makes a flood comes by it.
            if activity.is_flood() {
                return Poll::Ready(Event::Flood);
            }
            connection.as_mut().poll(cx).map(Event::Ended)
        });
        tokio::select! {
            biased;
            event = over => break event,
            Some((seen, orders, mut clock)) = aside.next() => {
                match seen {
                    Aside::Drain(drain) => break Event::Drain(drain),
                    Aside::NoRoom => {
                        if activity.idle_time().is_some_and(|idle| idle >= IDLE_TO_GO) {
                            break Event::Idle;
                        }
                    }
                    Aside::Time => {
                        activity.expire();
                        let idle = activity.idle_time().unwrap_or_default();
                        let left = limits.head_time_max.checked_sub(idle);
                        let Some(left) = left.filter(|left| !left.is_zero()) else {
                            break Event::Idle;
                        };
                        clock.as_mut().reset(Instant::now() + left);
                    }
                }
                aside.push(look_aside(orders, clock));
            }
        }
    };
    match event {
        Event::Ended(ended) => log_end(ended.err().as_deref()),
        Event::Flood => {
            edge.failures().count(CONNECTION_ENDED);
            tracing::debug!(%client, "a connection gave up most of its requests, and was closed");
        }
        Event::Drain(drain) => {
            if let Some(drain) = drain
                && shared.may_ask_once_more(drain.ending)
            {
                let patience = LAST_REQUEST_TIME_MAX.min(drain.limit);
                tokio::select! {
                    ended = connection.as_mut() => return log_end(ended.err().as_deref()),
                    () = tokio::time::sleep(patience) => {}
                }
            }
            connection.as_mut().graceful_shutdown();
            log_end(connection.await.err().as_deref());
        }
        Event::Idle => {
            connection.as_mut().graceful_shutdown();
            // What doesn't end by then is cut off: a head that never ends, an end that nobody reads.
            let _ = tokio::time::timeout(CLOSING_TIME_MAX, connection).await;
        }
    }
}

/// What a connection hears of besides its own bytes.
enum Aside {
    Drain(Option<Drain>),
    NoRoom,
    Time,
}

/// Waits for an order or the clock. Its connection keeps it in a set that polls it only when it was woken itself:
/// there is something to read for each request, and here hardly ever.
async fn look_aside(
    mut orders: watch::Receiver<Orders>,
    mut clock: Pin<Box<Sleep>>,
) -> (Aside, watch::Receiver<Orders>, Pin<Box<Sleep>>) {
    let seen = tokio::select! {
        biased;
        // Fails only when the data plane is gone, which is a drain as well.
        order = orders.changed() => {
            let drain = orders.borrow_and_update().drain;
            if order.is_err() || drain.is_some() {
                Aside::Drain(drain)
            } else {
                Aside::NoRoom
            }
        }
        () = clock.as_mut() => Aside::Time,
    };
    (seen, orders, clock)
}

fn builder(limits: &Limits) -> auto::Builder<OnLane> {
    let mut builder = auto::Builder::new(OnLane);
    builder
        .http1()
        .timer(HeadTimer::default())
        .header_read_timeout(limits.head_time_max)
        .max_buf_size(READ_BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_WAITING_MAX)
        .max_local_error_reset_streams(WRONG_STREAMS_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .max_header_list_size(64 << 10);
    builder
}

async fn answer(
    shared: Rc<Shared>,
    inside: Inside,
    request: Request<Incoming>,
) -> Result<Response<Attended>, Infallible> {
    let head = shared.heads.get() + 1;
    shared.heads.set(head);
    let origin = Origin {
        peer: Some(Arc::clone(&shared.peer)),
        refused: shared.verdict.of(head),
        routes: None,
    };
    let refused = origin.refused.is_some();
    let version = request.version();
    shared.version.set(Some(version));
    let plain = shared.plain.as_ref().filter(|_| !refused);
    // Boxed, so that the futures of all other requests stay as small as they are.
    let answer = plain.and_then(|plain| plain.answer(&request)).map(Box::new);
    let mut response = if let Some(answer) = answer {
        (*answer).map(ResponseBody::from)
    } else {
        let request = request.map(|body| request_body(body, shared.body_idle_max));
        dispatch(&shared.edge, &shared.lane, origin, request).await
    };
    // What follows a request that is refused may be a part of it in somebody else's eyes.
    let closing = refused || shared.closing.get() || shared.edge.is_draining();
    if closing && version != Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response.map(|body| Attended::new(body, inside)))
}

impl Shared {
    /// Whether the end of the connection waits for a request whose answer says so. In HTTP/2 the end has a frame of
    /// its own (RFC 9113, section 6.8), which loses none.
    fn may_ask_once_more(&self, ending: Ending) -> bool {
        let waits = match (self.version.get(), ending) {
            (Some(Version::HTTP_2), _) => false,
            // Nothing came yet. It was accepted, so it gets an answer.
            (None, _) => true,
            (Some(_), ending) => ending == Ending::HandedOver,
        };
        self.closing.set(waits);
        waits
    }
}

fn log_end(error: Option<&(dyn std::error::Error + Send + Sync + 'static)>) {
    if let Some(error) = error {
        tracing::debug!(error = %error, "connection ended with an error");
    }
}

fn request_body(body: Incoming, idle_max: Duration) -> RequestBody {
    if body.is_end_stream() {
        RequestBody::Empty
    } else {
        RequestBody::Stream(Box::pin(Patient::new(body, idle_max)))
    }
}
