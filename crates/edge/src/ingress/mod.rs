//! Sockets and threads: one lane a thread, and an acceptor that hands connections to them.
//!
//! Owns the data plane's threads from start to drain. A lane runs on a single-threaded runtime, so
//! a request stays on one core from its bytes to its response. Connections go to the lane with the
//! fewest. Guests that compute leave the lane (see the engine's `heavy`), so a lane that is behind
//! is so for a slice at most.

mod accept;
mod connection;
mod head_timer;
mod lane;
mod outbox;
mod plain;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use everwarm_engine::request::Request;
use everwarm_engine::runtime::Runtime;
use http::Response;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

pub use accept::{BindError, Listener};
pub use plain::{Challenges, Plain};
pub use tls::{HandshakeFailure, Tls, refuse_plain};

use crate::dispatch::{Edge, Route};
use crate::router::RouteTable;

/// Connections and requests that may wait for one lane to take them up.
const WAITING_MAX: usize = 1_024;

/// The running data plane of a node.
pub struct DataPlane {
    lanes: Vec<LaneHandle>,
    drain: watch::Sender<Option<Duration>>,
    next: AtomicUsize,
}

struct LaneHandle {
    sender: mpsc::Sender<Work>,
    connections: Arc<AtomicUsize>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a listener's connections speak.
#[derive(Debug, Clone)]
pub enum Front {
    /// HTTP.
    Plain(Option<Arc<Plain>>),
    /// HTTP in TLS.
    Tls(Arc<Tls>),
}

/// What comes to a lane from outside its thread.
enum Work {
    Connection(std::net::TcpStream, SocketAddr, Front),
    Request(
        Box<Request>,
        Option<Arc<RouteTable<Route>>>,
        oneshot::Sender<Result<Response<Bytes>, InvokeError>>,
    ),
}

/// A request without a socket failed outside of what a response can say.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// The body of the response broke off.
    #[error("the response's body broke off: {0}")]
    Body(#[from] everwarm_engine::fault::Fault),
    /// The data plane is shutting down.
    #[error("the node is shutting down")]
    Draining,
}

impl DataPlane {
    /// Starts `threads` lanes.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a thread.
    pub fn start(threads: usize, edge: &Arc<Edge>, runtime: &Arc<Runtime>) -> io::Result<Self> {
        let (drain, drained) = watch::channel(None);
        let lanes = (0..threads.max(1))
            .map(|index| {
                let (sender, receiver) = mpsc::channel(WAITING_MAX);
                let connections = Arc::new(AtomicUsize::new(0));
                let start = lane::Start {
                    edge: Arc::clone(edge),
                    runtime: Arc::clone(runtime),
                    work: receiver,
                    drain: drained.clone(),
                    connections: Arc::clone(&connections),
                };
                let thread = std::thread::Builder::new()
                    .name(format!("everwarm-lane-{index}"))
                    .spawn(move || lane::run(start))?;
                Ok(LaneHandle {
                    sender,
                    connections,
                    thread: Mutex::new(Some(thread)),
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            lanes,
            drain,
            next: AtomicUsize::new(0),
        })
    }

    /// Serves one request without a socket, on the same way as any other. With `routes`, by these instead of the
    /// node's.
    ///
    /// # Errors
    ///
    /// When the response's body broke off, or the data plane is shutting down.
    pub async fn invoke(
        &self,
        request: Request,
        routes: Option<Arc<RouteTable<Route>>>,
    ) -> Result<Response<Bytes>, InvokeError> {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len();
        let (sender, receiver) = oneshot::channel();
        let work = Work::Request(Box::new(request), routes, sender);
        self.lanes[index]
            .sender
            .send(work)
            .await
            .map_err(|_| InvokeError::Draining)?;
        receiver.await.map_err(|_| InvokeError::Draining)?
    }

    /// Gives a connection to the lane with the fewest. Says whether one could take it.
    async fn hand_over(
        &self,
        stream: std::net::TcpStream,
        client: SocketAddr,
        front: Front,
    ) -> bool {
        let load = |lane: &&LaneHandle| lane.connections.load(Ordering::Relaxed);
        let Some(lane) = self.lanes.iter().min_by_key(load) else {
            return false;
        };
        lane.connections.fetch_add(1, Ordering::Relaxed);
        lane.sender
            .send(Work::Connection(stream, client, front))
            .await
            .is_ok()
    }

    /// Connections that are open, in all lanes.
    pub fn connections(&self) -> usize {
        self.lanes
            .iter()
            .map(|lane| lane.connections.load(Ordering::Relaxed))
            .sum()
    }

    /// Lets requests in flight and background work finish for at most `limit`, then ends the
    /// threads. Blocks until they have ended.
    pub fn drain(&self, limit: Duration) {
        self.drain.send_replace(Some(limit));
        for lane in &self.lanes {
            let thread = lane.thread.lock().take();
            if let Some(thread) = thread {
                // A lane that panicked has nothing left to drain.
                let _ = thread.join();
            }
        }
    }
}

impl std::fmt::Debug for DataPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataPlane")
            .field("lanes", &self.lanes.len())
            .finish_non_exhaustive()
    }
}
