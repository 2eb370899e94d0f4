//! Clients: one connection, HTTP/1.1 or HTTP/2, with bodies that a test sends piece by piece.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::deadline::within;
use crate::reply::{Open, Reply};

type RequestBody = UnsyncBoxBody<Bytes, Infallible>;

/// A request that isn't sent yet.
#[derive(Debug)]
pub struct Request(http::Request<RequestBody>);

impl Request {
    /// Any request without a body.
    ///
    /// # Panics
    ///
    /// When the path is none.
    pub fn new(method: Method, path: &str) -> Self {
        let mut request = http::Request::new(Empty::new().boxed_unsync());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("the path is one");
        Self(request)
    }

    /// A GET.
    ///
    /// # Panics
    ///
    /// When the path is none.
    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    /// A POST with a body whose length is declared.
    ///
    /// # Panics
    ///
    /// When the path is none.
    pub fn post(path: &str, body: impl Into<Bytes>) -> Self {
        Self::with_body(Method::POST, path, body)
    }

    /// Any request with a body whose length is declared.
    ///
    /// # Panics
    ///
    /// When the path is none.
    pub fn with_body(method: Method, path: &str, body: impl Into<Bytes>) -> Self {
        let request = Self::new(method, path);
        Self(request.0.map(|_| Full::new(body.into()).boxed_unsync()))
    }

    /// A POST whose body comes through the sender, and ends when that is dropped.
    ///
    /// # Panics
    ///
    /// When the path is none.
    pub fn stream(path: &str) -> (Self, BodySender) {
        Self::stream_with(Method::POST, path)
    }

    /// As [`Self::stream`], with another method.
    ///
    /// # Panics
    ///
    /// When the path is none.
    pub fn stream_with(method: Method, path: &str) -> (Self, BodySender) {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
        let frames = futures_util::stream::poll_fn(move |cx| {
            receiver
                .poll_recv(cx)
                .map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
        });
        let request = Self::new(method, path);
        let request = request.0.map(|_| StreamBody::new(frames).boxed_unsync());
        (Self(request), BodySender(sender))
    }

    /// A POST with a body in one piece and trailers behind it, which the header `trailer` announces.
    ///
    /// # Panics
    ///
    /// When the path is none, or a trailer.
    pub fn with_trailers(path: &str, body: impl Into<Bytes>, trailers: &[(&str, &str)]) -> Self {
        let mut map = HeaderMap::new();
        let mut request = Self::new(Method::POST, path);
        for (name, value) in trailers {
            request = request.header("trailer", name);
            let name: HeaderName = name.parse().expect("the name is one");
            map.append(name, value.parse().expect("the value is one"));
        }
        let frames = [Frame::data(body.into()), Frame::trailers(map)].map(Ok);
        let frames = futures_util::stream::iter(frames);
        Self(request.0.map(|_| StreamBody::new(frames).boxed_unsync()))
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// When name or value are none.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("the name is one");
        let value: HeaderValue = value.parse().expect("the value is one");
        self.0.headers_mut().append(name, value);
        self
    }
}

/// The sending end of a request's body.
#[derive(Debug)]
pub struct BodySender(mpsc::Sender<Bytes>);

impl BodySender {
    /// Sends a piece, once the connection has taken the one before it.
    ///
    /// # Errors
    ///
    /// When the connection takes no more.
    pub async fn send(&self, chunk: impl Into<Bytes>) -> Result<(), ConnectionClosed> {
        let sent = within("room for a piece of the body", self.0.send(chunk.into()));
        sent.await.map_err(|_| ConnectionClosed)
    }
}

/// The connection takes no more of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionClosed;

enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// What a connection's bytes flow in.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// A connection. Dropping it closes it.
pub struct Connection {
    sender: Sender,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// A new HTTP/1.1 connection to any address.
    ///
    /// # Panics
    ///
    /// When there is none to be had.
    pub async fn http1(address: SocketAddr) -> Self {
        Self::http1_over(connect(address).await, address).await
    }

    /// As [`Self::http1`], where there may be none.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub async fn try_http1(address: SocketAddr) -> std::io::Result<Self> {
        let stream = within("a connection", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Ok(Self::http1_over(stream, address).await)
    }

    pub(crate) async fn http1_over(stream: impl Stream, address: SocketAddr) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .expect("HTTP/1.1 needs no handshake");
        let task = tokio::spawn(async move {
            // The request that it breaks tells of it.
            let _ = connection.await;
        });
        Self {
            sender: Sender::Http1(sender),
            address,
            task,
        }
    }

    pub(crate) async fn http2(address: SocketAddr) -> Self {
        Self::http2_over(connect(address).await, address).await
    }

    pub(crate) async fn http2_over(stream: impl Stream, address: SocketAddr) -> Self {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.expect("the server speaks HTTP/2");
        let task = tokio::spawn(async move {
            // The request that it breaks tells of it.
            let _ = connection.await;
        });
        Self {
            sender: Sender::Http2(sender),
            address,
            task,
        }
    }

    /// Sends a request. The future has the response's head.
    pub fn begin(
        &mut self,
        request: Request,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        let mut request = request.0;
        match &mut self.sender {
            Sender::Http1(sender) => {
                let host = self.address.to_string();
                if let (Ok(host), false) = (host.parse(), request.headers().contains_key("host")) {
                    request.headers_mut().insert("host", host);
                }
                futures_util::future::Either::Left(sender.send_request(request))
            }
            Sender::Http2(sender) => {
                let host = request.headers_mut().remove("host");
                let host = host.as_ref().and_then(|host| host.to_str().ok());
                let host = host.map_or_else(|| self.address.to_string(), ToOwned::to_owned);
                let path = request
                    .uri()
                    .path_and_query()
                    .map_or("/", |path| path.as_str());
                let uri: Uri = format!("http://{host}{path}")
                    .parse()
                    .expect("host and path are ones");
                *request.uri_mut() = uri;
                futures_util::future::Either::Right(sender.send_request(request))
            }
        }
    }

    /// Sends a request, and waits for the head of the response.
    ///
    /// # Errors
    ///
    /// When the connection broke before.
    pub async fn try_open(&mut self, request: Request) -> hyper::Result<Open> {
        if let Sender::Http1(sender) = &mut self.sender {
            within("the connection is free", sender.ready()).await?;
        }
        let response = self.begin(request);
        within("the head of a response", response)
            .await
            .map(Open::of)
    }

    /// As [`Self::try_open`].
    ///
    /// # Panics
    ///
    /// When the connection broke before.
    pub async fn open(&mut self, request: Request) -> Open {
        let response = self.try_open(request).await;
        response.unwrap_or_else(|error| panic!("the connection broke before a response: {error:?}"))
    }

    /// Sends a request, and reads the whole response.
    ///
    /// # Panics
    ///
    /// When there is no response at all.
    pub async fn send(&mut self, request: Request) -> Reply {
        self.open(request).await.read().await
    }

    /// As [`Self::get`], but without a response when the connection broke before its head.
    pub async fn try_get(&mut self, path: &str) -> Option<Reply> {
        match self.try_open(Request::get(path)).await {
            Ok(open) => Some(open.read().await),
            Err(_) => None,
        }
    }

    /// As [`Self::send`], a GET.
    ///
    /// # Panics
    ///
    /// As [`Self::send`].
    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(Request::get(path)).await
    }
}

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    let stream = within("a connection", TcpStream::connect(address)).await;
    let stream = stream.expect("the node listens");
    stream.set_nodelay(true).expect("TCP_NODELAY can be set");
    stream
}
