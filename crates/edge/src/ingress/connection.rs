//! One connection: HTTP/1.1, or HTTP/2 by prior knowledge.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use everwarm_engine::lane::Lane;
use everwarm_engine::request::RequestBody;
use http::{HeaderValue, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tokio::sync::watch;

use super::head_timer::HeadTimer;
use super::outbox::Connection;
use super::{Drain, Ending};
use crate::dispatch::{Edge, Origin, dispatch};

/// How long a client may take to send a request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of a request's head, and of what is read ahead.
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Requests of one HTTP/2 connection that are worked on at once.
const STREAMS_MAX: u32 = 256;
/// How long a connection that is at rest is kept when the node ends and its client doesn't know: a request may be on
/// its way already.
const LAST_REQUEST_TIME_MAX: Duration = Duration::from_secs(1);

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

/// What is known of a connection's client.
#[derive(Default)]
struct Told {
    /// The protocol of its last request.
    version: Cell<Option<Version>>,
    /// Its next response says that the connection ends.
    closing: Cell<bool>,
}

/// Serves a connection until it ends; after `drain` was told, until its requests have.
pub(super) async fn serve(
    connection: Connection,
    client: SocketAddr,
    edge: Arc<Edge>,
    lane: Lane,
    mut drain: watch::Receiver<Option<Drain>>,
) {
    let origin = Origin {
        client: Some(client.ip()),
        routes: None,
    };
    let told = Rc::new(Told::default());
    let service = service_fn({
        let told = Rc::clone(&told);
        move |request: http::Request<Incoming>| {
            let (edge, lane, origin) = (Arc::clone(&edge), lane.clone(), origin.clone());
            let told = Rc::clone(&told);
            async move {
                let version = request.version();
                told.version.set(Some(version));
                let request = request.map(request_body);
                let mut response = dispatch(&edge, &lane, origin, request).await;
                let closing = told.closing.get() || edge.is_draining();
                if closing && version != Version::HTTP_2 {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                Ok::<_, Infallible>(response)
            }
        }
    });
    let mut builder = auto::Builder::new(OnLane);
    builder
        .http1()
        .timer(HeadTimer::default())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(READ_BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(64 << 10);
    let mut connection = std::pin::pin!(builder.serve_connection(connection, service));
    let drain = tokio::select! {
        ended = connection.as_mut() => return log_end(ended.err().as_deref()),
        // Fails only when the data plane is gone, which is a drain as well.
        drain = drain.wait_for(Option::is_some) => drain.ok().and_then(|drain| *drain),
    };
    if let Some(drain) = drain
        && told.may_ask_once_more(drain.ending)
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

impl Told {
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

fn request_body(body: Incoming) -> RequestBody {
    if body.is_end_stream() {
        RequestBody::Empty
    } else {
        RequestBody::Stream(Box::pin(body.map_err(Into::into)))
    }
}
