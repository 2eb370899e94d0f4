//! A server outside the node, which functions send requests to: it counts its connections and requests, and does at
//! each path one thing that servers do, bad ones too.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::tls::{Pair, server_config};

type Body = UnsyncBoxBody<Bytes, Broken>;
type Answer = Result<Response<Body>, Broken>;

/// Has the connection closed where the response stands.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken on purpose")
    }
}

impl std::error::Error for Broken {}

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// See the module's documentation. It ends with this value.
///
/// | path | what it does |
/// |---|---|
/// | `/echo` | sends the request's body back as it comes, and its trailers |
/// | `/head` | says what the request's head was, a line a field |
/// | `/status/404` | answers with that status |
/// | `/redirect` | redirects to itself |
/// | `/never` | takes the request and never answers |
/// | `/close` | closes the connection without an answer |
/// | `/half` | sends a part of the body that it declares, and closes the connection |
/// | `/silence` | sends a part of the body, and then nothing |
/// | `/zeros?1000` | sends so many bytes, in pieces |
/// | `/slow?1000` | answers after so many milliseconds |
/// | `/fields?1000` | answers with a field of so many bytes |
/// | `/repos/a/b` | answers as GitHub does for the repository `a/b` |
/// | anything else | answers `hello` |
///
/// Every response has `x-connection`, the number of its connection, and `x-version`, its version of HTTP.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    open: AtomicU64,
    requests: AtomicU64,
    resumed: AtomicU64,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// One that speaks HTTP/1.1 in the clear, at any port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When there is no port.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One that speaks TLS with this certificate, and these protocols.
    ///
    /// # Panics
    ///
    /// When there is no port.
    pub async fn start_tls(pair: &Pair, alpn: &[&str]) -> Self {
        let mut config = Arc::unwrap_or_clone(server_config(pair));
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self::start_with(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let counts = Arc::<Counts>::default();
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&counts)));
        Self {
            address,
            counts,
            task,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path, by its address.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The grant that allows requests to it, by its address.
    pub fn grant(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections that came so far.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> u64 {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// TLS sessions that went on in a later connection.
    pub fn resumed(&self) -> u64 {
        self.counts.resumed.load(Ordering::SeqCst)
    }

    /// Requests that came so far.
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let number = counts.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let (tls, counts) = (tls.clone(), Arc::clone(&counts));
        connections.spawn(async move {
            counts.open.fetch_add(1, Ordering::SeqCst);
            // Small answers aren't to wait for each other; the connection works without as well.
            let _ = stream.set_nodelay(true);
            match tls {
                None => serve(stream, number, &counts).await,
                // A client that doesn't trust the certificate ends the handshake.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                            counts.resumed.fetch_add(1, Ordering::SeqCst);
                        }
                        serve(stream, number, &counts).await;
                    }
                }
            }
            counts.open.fetch_sub(1, Ordering::SeqCst);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve<S>(stream: S, connection: u64, counts: &Arc<Counts>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        counts.requests.fetch_add(1, Ordering::SeqCst);
        async move {
            let version = HeaderValue::from_str(&format!("{:?}", request.version()));
            let mut answer = answer(request).await?;
            let headers = answer.headers_mut();
            headers.insert("x-connection", connection.into());
            headers.insert("x-version", version.expect("a version is plain text"));
            Ok::<_, Broken>(answer)
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // The client may end the connection as it likes.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let number = request.uri().query().and_then(|query| query.parse().ok());
    let number: usize = number.unwrap_or_default();
    match path.as_str() {
        "/echo" => Ok(Response::new(echo(request))),
        "/head" => Ok(Response::new(full(head(&request)))),
        "/redirect" => {
            let mut response = Response::new(full("elsewhere"));
            *response.status_mut() = StatusCode::FOUND;
            let location = HeaderValue::from_static("/redirect");
            response.headers_mut().insert("location", location);
            Ok(response)
        }
        "/never" => std::future::pending().await,
        "/close" => Err(Broken),
        "/half" => Ok(declared(100, part("half").chain(broken()))),
        "/silence" => Ok(Response::new(
            StreamBody::new(part("then nothing").chain(futures_util::stream::pending()))
                .boxed_unsync(),
        )),
        "/zeros" => Ok(Response::new(zeros(number))),
        "/fields" => {
            let mut response = Response::new(full("with a long field"));
            let value = HeaderValue::from_str(&"x".repeat(number)).expect("it is plain text");
            response.headers_mut().insert("x-long", value);
            Ok(response)
        }
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(number as u64)).await;
            Ok(Response::new(full("slow")))
        }
        repository if repository.starts_with("/repos/") => {
            let name = repository.trim_start_matches("/repos/");
            Ok(Response::new(full(format!(
                r#"{{"full_name":"{name}","stargazers_count":1,"open_issues_count":2}}"#
            ))))
        }
        other => {
            let mut response = Response::new(full("hello"));
            let status = other.strip_prefix("/status/");
            if let Some(status) = status.and_then(|status| status.parse().ok()) {
                *response.status_mut() = status;
            }
            Ok(response)
        }
    }
}

fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(Broken::from).boxed_unsync()
}

fn echo(request: Request<Incoming>) -> Body {
    if http_body::Body::is_end_stream(request.body()) {
        return Empty::new().map_err(Broken::from).boxed_unsync();
    }
    request.into_body().map_err(|_| Broken).boxed_unsync()
}

/// The method, the target and each field, in the order of their names.
fn head(request: &Request<Incoming>) -> String {
    let lines = |headers: &HeaderMap| {
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        lines.sort();
        lines.join("\n")
    };
    let (method, uri) = (request.method(), request.uri());
    format!("{method} {uri}\n{}\n", lines(request.headers()))
}

type Frames =
    std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, Broken>> + Send>>;

fn part(text: &'static str) -> Frames {
    Box::pin(futures_util::stream::iter([Ok(Frame::data(text.into()))]))
}

fn broken() -> Frames {
    Box::pin(futures_util::stream::iter([Err(Broken)]))
}

fn declared(
    length: u64,
    frames: impl futures_util::Stream<Item = Result<Frame<Bytes>, Broken>> + Send + 'static,
) -> Response<Body> {
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response
        .headers_mut()
        .insert("content-length", length.into());
    response
}

fn zeros(bytes: usize) -> Body {
    const PIECE: usize = 16 << 10;
    let pieces = (0..bytes.div_ceil(PIECE)).map(move |index| {
        let left = bytes - index * PIECE;
        Ok(Frame::data(Bytes::from(vec![0; left.min(PIECE)])))
    });
    StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync()
}
