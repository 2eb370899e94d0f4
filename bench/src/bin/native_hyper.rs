//! The physical limit that everything is measured against: a hyper hello with no sandbox at all, or as many bytes as are asked
//! for, or a hello that comes once a page is on the disk.
//!
//! One single-threaded runtime a core, each with a listening socket of its own on the same port, so
//! that no connection crosses cores. Nothing but the answer is computed: no routing, limits or log.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

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
/// What is asked for when a page is to be written first.
const SET: &str = "/set";
const PAGE: [u8; 4_096] = [1; 4_096];
const USAGE: &str = "usage: native_hyper ADDRESS [BYTES | --write FILE]";
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

fn main() -> anyhow::Result<()> {
    let address: SocketAddr = std::env::args()
        .nth(1)
        .context(USAGE)?
        .parse()
        .context("the address is not of the form 127.0.0.1:3000")?;
    let mut body = Bytes::from_static(HELLO);
    let mut written = None;
    match std::env::args().nth(2).as_deref() {
        None => {}
        Some("--write") => written = Some(std::env::args().nth(3).context(USAGE)?),
        Some(bytes) => body = vec![b'x'; bytes.parse().context(USAGE)?].into(),
    }
    let cores = std::thread::available_parallelism()?.get();
    let listeners = (0..cores)
        .map(|_| listen(address))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let body = body.clone();
            let pages = written.as_deref().map(Pages::open).transpose()?;
            Ok(std::thread::spawn(move || serve(listener, &body, pages)))
        })
        .collect::<anyhow::Result<_>>()?;
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

/// A file that is written over, page by page.
struct Pages {
    file: File,
    count: u64,
    next: Cell<u64>,
}

impl Pages {
    /// A file of whole pages: one that grew would take a sync of the file system's journal as well.
    fn open(path: &str) -> anyhow::Result<Self> {
        let opened = OpenOptions::new().write(true).open(path);
        let file = opened.with_context(|| format!("could not open {path}"))?;
        let count = file.metadata()?.len() / PAGE.len() as u64;
        anyhow::ensure!(count > 0, "{path} has no page");
        Ok(Self {
            file,
            count,
            next: Cell::new(0),
        })
    }

    /// Writes the next one, and stands still until it is on the disk.
    fn write(&self) -> std::io::Result<()> {
        let page = self.next.replace((self.next.get() + 1) % self.count);
        self.file.write_all_at(&PAGE, page * PAGE.len() as u64)?;
        self.file.sync_data()
    }
}

fn serve(listener: TcpListener, body: &Bytes, pages: Option<Pages>) -> anyhow::Result<()> {
    let pages = pages.map(Rc::new);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (body, pages) = (body.clone(), pages.clone());
            // Ends with its connection, and with the process.
            tokio::task::spawn_local(http1::Builder::new().pipeline_flush(true).serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| answer(request, body.clone(), pages.clone())),
            ));
        }
    })
}

#[allow(clippy::unused_async, reason = "hyper's services are asynchronous")]
async fn answer<B>(
    request: Request<B>,
    body: Bytes,
    pages: Option<Rc<Pages>>,
) -> std::io::Result<Response<Full<Bytes>>> {
    if let Some(pages) = pages.filter(|_| request.uri().path() == SET) {
        pages.write()?;
    }
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Ok(response)
}
