//! What egress is measured against: a hyper server without a sandbox whose every answer is that of another server,
//! which it asks over connections that it keeps. `/timed` says besides, in `x-took-ns`, how long that took.
//!
//! Built as `native_hyper` is: a single-threaded runtime a core, so that a request stays on its core on its way out.

#![forbid(unsafe_code)]

use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Empty, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

type Asking = Client<HttpConnector, Empty<Bytes>>;

fn main() -> anyhow::Result<()> {
    let usage = "usage: native_proxy ADDRESS URL";
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().context(usage)?.parse()?;
    let upstream: Uri = arguments.next().context(usage)?.parse()?;
    let cores = std::thread::available_parallelism()?.get();
    let listeners = (0..cores)
        .map(|_| listen(address))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let upstream = upstream.clone();
            std::thread::spawn(move || serve(listener, &upstream))
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
    let kind = Domain::for_address(address);
    let socket = Socket::new(kind, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket
        .bind(&address.into())
        .with_context(|| format!("could not bind {address}"))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn serve(listener: TcpListener, upstream: &Uri) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client: Asking = Client::builder(TokioExecutor::new()).build(connector);
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (client, upstream) = (client.clone(), upstream.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (client, upstream) = (client.clone(), upstream.clone());
                let is_timed = request.uri().path() == "/timed";
                async move {
                    if is_timed {
                        timed(&client, upstream).await
                    } else {
                        let passed = client.get(upstream).await?;
                        anyhow::Ok(passed.map(Either::Left))
                    }
                }
            });
            // Ends with its connection, and with the process.
            tokio::task::spawn_local(
                http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    })
}

/// The response once it is read, and how long it took to have it.
async fn timed(
    client: &Asking,
    upstream: Uri,
) -> anyhow::Result<Response<Either<Incoming, Full<Bytes>>>> {
    let began = Instant::now();
    let (mut head, body) = client.get(upstream).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    let took = began.elapsed().as_nanos().to_string();
    head.headers
        .insert("x-took-ns", HeaderValue::from_str(&took)?);
    Ok(Response::from_parts(head, Either::Right(Full::new(body))))
}
