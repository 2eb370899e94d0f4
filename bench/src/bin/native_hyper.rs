//! The physical limit that everything is measured against: a hyper hello with no sandbox at all, or as many bytes as are asked
//! for.
//!
//! One single-threaded runtime a core, each with a listening socket of its own on the same port, so
//! that no connection crosses cores. Nothing but the answer is computed: no routing, limits or log.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};

const HELLO: &[u8] = b"Hello from Everwarm\n";
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

fn main() -> anyhow::Result<()> {
    let address: SocketAddr = std::env::args()
        .nth(1)
        .context("usage: native_hyper ADDRESS [BYTES]")?
        .parse()
        .context("the address is not of the form 127.0.0.1:3000")?;
    let body: Bytes = match std::env::args().nth(2) {
        None => Bytes::from_static(HELLO),
        Some(bytes) => vec![b'x'; bytes.parse().context("BYTES is no number")?].into(),
    };
    let cores = std::thread::available_parallelism()?.get();
    let listeners = (0..cores)
        .map(|_| listen(address))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let body = body.clone();
            std::thread::spawn(move || serve(listener, &body))
        })
        .collect();
    for thread in threads {
        match thread.join() {
            Ok(served) => served?,
            Err(_) => anyhow::bail!("a serving thread panicked"),
        }
    }
    Ok(())
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket
        .bind(&address.into())
        .with_context(|| format!("could not bind {address}"))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn serve(listener: TcpListener, body: &Bytes) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let body = body.clone();
            // Ends with its connection, and with the process.
            tokio::task::spawn_local(http1::Builder::new().pipeline_flush(true).serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| answer(request, body.clone())),
            ));
        }
    })
}

#[allow(clippy::unused_async, reason = "hyper's services are asynchronous")]
async fn answer<B>(_request: Request<B>, body: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Ok(response)
}
