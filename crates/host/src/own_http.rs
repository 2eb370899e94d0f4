//! Requests of the node's own, to a server that its operator has chosen: HTTP/1.1 as `object_store` asks for it, over the
//! network that functions' requests go over.
//!
//! Owns the connections, and that nobody waits for ever: to connect, for a head, and for each piece of a body there is a
//! time. Knows nothing of what is asked. Whoever asks bounds how much there is at once.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_manifest::{HttpScheme, HttpTarget};
use http::header::HOST;
use http::{HeaderValue, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi::async_trait;

use crate::network::{EgressConfig, EgressError, Network, Stream, Unopened};

/// How long a connection may take, TLS included.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request's body that are handed to the connection at once: what it takes shows that somebody reads.
const PIECE_BYTES: usize = 64 << 10;
/// Connections that wait for their next request, and how long.
const IDLE_MAX: usize = 32;
const IDLE_TIME_MAX: Duration = Duration::from_secs(15);
/// How long a connection may take to be through with the request before.
const READY_TIME_MAX: Duration = Duration::from_millis(500);
/// Bytes of a response's head, and its fields.
const HEAD_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 128;
/// Bytes of an answer that isn't a part of something: lists, what failed.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// What carries out requests of the node's own, on a runtime of the node's: callers may be lanes. A server may be silent for
/// `patience`.
///
/// # Errors
///
/// When the network can't be set up as `egress` says.
pub fn own_http(
    egress: &EgressConfig,
    runtime: Handle,
    patience: Duration,
) -> Result<HttpClient, EgressError> {
    Ok(HttpClient::new(OwnHttp(Arc::new(Inner {
        network: Network::new(egress)?,
        tls: OnceLock::new(),
        runtime,
        patience,
        anywhere: ["0.0.0.0/0", "::/0"]
            .iter()
            .filter_map(|network| network.parse().ok())
            .collect(),
        idle: Mutex::default(),
    }))))
}

/// See the module's documentation.
struct OwnHttp(Arc<Inner>);

struct Inner {
    network: Network,
    /// Reading whom the system trusts takes longer than the rest of a start: the first connection with TLS has it done.
    tls: OnceLock<Arc<ClientConfig>>,
    runtime: Handle,
    patience: Duration,
    /// The operator may have chosen any address.
    anywhere: Vec<IpNet>,
    idle: Mutex<Vec<Idle>>,
}

/// A connection that waits for its next request.
struct Idle {
    target: HttpTarget,
    sender: Sender,
    since: Instant,
}

type Sender = SendRequest<Sending>;

impl fmt::Debug for OwnHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnHttp").finish_non_exhaustive()
    }
}

/// Why a request failed, in words: whoever hears it knows what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Fault(String);

fn fault(kind: HttpErrorKind, text: impl fmt::Display) -> HttpError {
    HttpError::new(kind, Fault(text.to_string()))
}

fn of_hyper(error: &hyper::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_parse() || error.is_parse_status() {
        HttpErrorKind::Decode
    } else {
        HttpErrorKind::Interrupted
    };
    fault(kind, error)
}

#[async_trait]
impl HttpService for OwnHttp {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let inner = Arc::clone(&self.0);
        let task = self
            .0
            .runtime
            .spawn(async move { inner.send(request).await });
        let done = AbortOnDropHandle::new(task).await;
        done.unwrap_or_else(|_| Err(fault(HttpErrorKind::Unknown, "the node ends")))
    }
}

impl Inner {
    async fn send(self: Arc<Self>, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (request, target) = prepared(request)?;
        let progress = Progress::default();
        let mut request = request.map(|body| Sending {
            body,
            piece: Bytes::new(),
            progress: progress.clone(),
        });
        let late = || fault(HttpErrorKind::Timeout, "it doesn't answer in time");
        // One that waited may be gone: then nothing of the request was sent on it.
        while let Some(mut sender) = self.take_idle(&target).await {
            let sent = sender.try_send_request(request);
            match progress.wait(self.patience, sent).await {
                Some(Ok(answer)) => return Ok(self.answer(answer, target, sender)),
                Some(Err(mut failed)) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(of_hyper(failed.error())),
                },
                None => return Err(late()),
            }
        }
        let connect = timeout(CONNECT_TIME_MAX, self.connect(&target)).await;
        let mut sender = connect
            .map_err(|_| fault(HttpErrorKind::Connect, "it takes too long to connect"))??;
        progress.touch();
        let sent = sender.send_request(request);
        match progress.wait(self.patience, sent).await {
            Some(Ok(answer)) => Ok(self.answer(answer, target, sender)),
            Some(Err(error)) => Err(of_hyper(&error)),
            None => Err(late()),
        }
    }

    async fn take_idle(&self, target: &HttpTarget) -> Option<Sender> {
        loop {
            let mut sender = {
                let mut idle = self.idle.lock();
                idle.retain(|idle| idle.since.elapsed() < IDLE_TIME_MAX);
                let place = idle.iter().rposition(|idle| idle.target == *target)?;
                idle.swap_remove(place).sender
            };
            let is_ready = timeout(READY_TIME_MAX, sender.ready()).await;
            if matches!(is_ready, Ok(Ok(()))) {
                return Some(sender);
            }
        }
    }

    /// How TLS is spoken, where it is. What blocks on the system's files does so beside the runtime's threads.
    async fn tls(self: &Arc<Self>, scheme: HttpScheme) -> Result<Arc<ClientConfig>, HttpError> {
        if scheme == HttpScheme::Http {
            // Nobody asks it whom to trust.
            let nobody = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
            return Ok(Arc::new(nobody.with_no_client_auth()));
        }
        if let Some(tls) = self.tls.get() {
            return Ok(Arc::clone(tls));
        }
        let inner = Arc::clone(self);
        let read = self.runtime.spawn_blocking(move || {
            let tls = inner.tls.get_or_init(|| inner.network.tls(&[b"http/1.1"]));
            Arc::clone(tls)
        });
        read.await
            .map_err(|_| fault(HttpErrorKind::Unknown, "whom to trust can't be read"))
    }

    async fn connect(self: &Arc<Self>, target: &HttpTarget) -> Result<Sender, HttpError> {
        let connect = |why: &dyn fmt::Display| fault(HttpErrorKind::Connect, why);
        let tls = self.tls(target.scheme).await?;
        let stream = self.network.connect(target, &tls, &self.anywhere).await;
        match stream {
            Ok(Stream::Plain(stream)) => self.speak(TokioIo::new(stream)).await,
            Ok(Stream::Tls(stream)) => self.speak(TokioIo::new(*stream)).await,
            Err(Unopened::Failed(error)) => Err(connect(&error)),
            Err(Unopened::Prohibited(_)) => Err(connect(&"its address can't be connected to")),
        }
    }

    async fn speak<T>(&self, io: TokioIo<T>) -> Result<Sender, HttpError>
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(FIELDS_MAX)
            .handshake(io)
            .await
            .map_err(|error| of_hyper(&error))?;
        // It ends when nobody can send on it any more: whoever has its sender has a time.
        self.runtime.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection of the node's own ended with an error");
            }
        });
        Ok(sender)
    }

    fn answer(
        self: &Arc<Self>,
        answer: http::Response<Incoming>,
        target: HttpTarget,
        sender: Sender,
    ) -> HttpResponse {
        let (head, body) = answer.into_parts();
        let mut answer = Answer {
            left_max: (head.status != StatusCode::PARTIAL_CONTENT).then_some(ANSWER_BYTES_MAX),
            body,
            silence: Box::pin(sleep(self.patience)),
            is_silent: false,
            connection: Some((target, sender)),
            inner: Arc::clone(self),
        };
        answer.give_back_at_end();
        HttpResponse::from_parts(head, HttpResponseBody::new(answer))
    }
}

/// When something was last taken of a request.
#[derive(Debug, Clone)]
struct Progress(Arc<Mutex<tokio::time::Instant>>);

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(tokio::time::Instant::now())))
    }
}

impl Progress {
    fn touch(&self) {
        *self.0.lock() = tokio::time::Instant::now();
    }

    /// Waits as long as there is progress, and `patience` after the last; `None` when it is over.
    async fn wait<T>(&self, patience: Duration, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = pin!(answer);
        loop {
            let until = *self.0.lock() + patience;
            if let Ok(answer) = timeout_at(until, &mut answer).await {
                return Some(answer);
            }
            if *self.0.lock() + patience <= until {
                return None;
            }
        }
    }
}

/// A request's body, in pieces.
struct Sending {
    body: HttpRequestBody,
    piece: Bytes,
    progress: Progress,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.progress.touch();
        if self.piece.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => self.piece = piece,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        let len = self.piece.len().min(PIECE_BYTES);
        let piece = self.piece.split_to(len);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint().exact().unwrap_or(0);
        SizeHint::with_exact(rest + self.piece.len() as u64)
    }
}

/// The request as it is sent, and to whom.
fn prepared(request: HttpRequest) -> Result<(HttpRequest, HttpTarget), HttpError> {
    let wrong = |why: &str| fault(HttpErrorKind::Unknown, why);
    let (mut head, body) = request.into_parts();
    let scheme = match head.uri.scheme_str() {
        Some("http") => HttpScheme::Http,
        Some("https") => HttpScheme::Https,
        _ => return Err(wrong("its address is no URL of HTTP")),
    };
    let authority = head.uri.authority();
    let authority = authority.ok_or_else(|| wrong("its address has no host"))?;
    let target = HttpTarget::parse(scheme, authority.as_str());
    let target = target.map_err(|error| fault(HttpErrorKind::Unknown, error))?;
    if !head.headers.contains_key(HOST) {
        let host = HeaderValue::from_str(authority.as_str());
        let host = host.map_err(|_| wrong("its address has no host"))?;
        head.headers.insert(HOST, host);
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = Uri::try_from(path).map_err(|_| wrong("its address has no path"))?;
    Ok((HttpRequest::from_parts(head, body), target))
}

/// A response's body, with a time for each piece. Read to its end, its connection waits for the next request.
struct Answer {
    body: Incoming,
    /// Bytes that are still taken; any number when `None`.
    left_max: Option<u64>,
    silence: Pin<Box<Sleep>>,
    /// Whether somebody waits.
    is_silent: bool,
    connection: Option<(HttpTarget, Sender)>,
    inner: Arc<Inner>,
}

impl Answer {
    fn give_back_at_end(&mut self) {
        if !self.body.is_end_stream() {
            return;
        }
        let Some((target, sender)) = self.connection.take() else {
            return;
        };
        let mut idle = self.inner.idle.lock();
        if idle.len() < IDLE_MAX && !sender.is_closed() {
            idle.push(Idle {
                target,
                sender,
                since: Instant::now(),
            });
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if !this.is_silent {
                this.is_silent = true;
                let until = tokio::time::Instant::now() + this.inner.patience;
                this.silence.as_mut().reset(until);
            }
            ready!(this.silence.as_mut().poll(cx));
            let late = fault(
                HttpErrorKind::Timeout,
                "it stopped in the middle of its answer",
            );
            return Poll::Ready(Some(Err(late)));
        };
        this.is_silent = false;
        let frame = frame.map(|frame| frame.map_err(|error| of_hyper(&error)));
        if let (Some(left), Some(Ok(frame))) = (&mut this.left_max, &frame) {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            let Some(rest) = left.checked_sub(bytes) else {
                let large = fault(HttpErrorKind::Decode, "its answer is too large");
                return Poll::Ready(Some(Err(large)));
            };
            *left = rest;
        }
        this.give_back_at_end();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
