//! One connection: HTTP/1.1 or HTTP/2, whichever its first bytes are: by ALPN in TLS, by prior knowledge without.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use everwarm_engine::lane::Lane;
use everwarm_engine::request::RequestBody;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tokio::sync::watch;

use super::head_timer::HeadTimer;
use super::plain::Plain;
use super::{Drain, Ending, LAST_REQUEST_TIME_MAX};
use crate::dispatch::{Edge, Origin, dispatch};

/// How long a client may take to send a request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of a request's head, and of what is read ahead.
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Requests of one HTTP/2 connection that are worked on at once.
const STREAMS_MAX: u32 = 256;

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
    pub(super) edge: Arc<Edge>,
    pub(super) lane: Lane,
    pub(super) drain: watch::Receiver<Option<Drain>>,
}

/// What a connection's bytes came in.
#[derive(Clone)]
pub(super) enum Speaks {
    Plain(Option<Arc<Plain>>),
    Tls,
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
    connection: impl Read + Write + Unpin + 'static,
    asked: Asked,
    speaks: Speaks,
) {
    let Asked {
        client,
        edge,
        lane,
        mut drain,
    } = asked;
    let origin = Origin {
        client: Some(client.ip()),
        routes: None,
    };
    let told = Rc::new(Told::default());
    let service = service_fn({
        let told = Rc::clone(&told);
        move |mut request: http::Request<Incoming>| {
            let answer = match &speaks {
                Speaks::Plain(None) => None,
                // Boxed, so that the futures of all other requests stay as small as they are.
                Speaks::Plain(Some(plain)) => plain.answer(&request).map(Box::new),
                Speaks::Tls => {
                    set_https(&mut request);
                    None
                }
            };
            let (edge, lane, origin) = (Arc::clone(&edge), lane.clone(), origin.clone());
            let told = Rc::clone(&told);
            async move {
                let version = request.version();
                told.version.set(Some(version));
                let mut response = match answer {
                    Some(answer) => *answer,
                    None => dispatch(&edge, &lane, origin, request.map(request_body)).await,
                };
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

/// Says in the address of a request that it came in TLS: in HTTP/1.1 it has no scheme, in HTTP/2 the client's word for
/// it. Where it names no host that an address could have, it stays as it is.
fn set_https<B>(request: &mut http::Request<B>) {
    let host = request.headers().get(header::HOST);
    let uri = request.uri();
    let authority = match uri.authority() {
        Some(_) if uri.scheme() == Some(&Scheme::HTTPS) => return,
        Some(authority) => Some(authority.clone()),
        None => host.and_then(|host| Authority::try_from(host.as_bytes()).ok()),
    };
    if authority.is_none() || !uri.path().starts_with('/') {
        return;
    }
    let mut parts = uri.clone().into_parts();
    (parts.scheme, parts.authority) = (Some(Scheme::HTTPS), authority);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

fn request_body(body: Incoming) -> RequestBody {
    if body.is_end_stream() {
        RequestBody::Empty
    } else {
        RequestBody::Stream(Box::pin(body.map_err(Into::into)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: Option<&str>, target: &str) -> String {
        let mut request = http::Request::get(target).body(()).unwrap();
        if let Some(host) = host {
            let host = host.parse().unwrap();
            request.headers_mut().insert(header::HOST, host);
        }
        set_https(&mut request);
        request.uri().to_string()
    }

    #[test]
    fn scheme_is_what_the_bytes_came_in() {
        let host = Some("a.example:8443");
        assert_eq!(address(host, "/x?y=1"), "https://a.example:8443/x?y=1");
        assert_eq!(address(None, "http://b.example/x"), "https://b.example/x");
        assert_eq!(address(host, "https://b.example/x"), "https://b.example/x");
        assert_eq!(address(host, "*"), "*");
        for unusable in [None, Some(""), Some("a b")] {
            assert_eq!(address(unusable, "/x"), "/x");
        }
    }
}
