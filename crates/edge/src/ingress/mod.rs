//! Sockets and threads: one lane a thread, and an acceptor that hands connections to them.
//!
//! Owns the data plane's threads from start to drain. A lane runs on a single-threaded runtime, so
//! a request stays on one core from its bytes to its response. Connections go to the lane with the
//! fewest. Guests that compute leave the lane (see the engine's `heavy`), so a lane that is behind
//! is so for a slice at most.

mod accept;
mod activity;
mod addresses;
mod connection;
mod head_timer;
mod lane;
mod limits;
mod outbox;
mod patience;
pub mod scan;
mod scanned;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_engine::request::Request;
use everwarm_engine::runtime::Runtime;
use http::Response;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

pub use accept::{BindError, Listener};
pub use limits::Limits;

use self::addresses::{Addresses, Counted};
use crate::dispatch::{Edge, Route};
use crate::router::RouteTable;

/// Connections and requests that may wait for one lane to take them up.
const WAITING_MAX: usize = 1_024;
/// Time between two requests to idle connections to make room.
const MAKE_ROOM_AGAIN: Duration = Duration::from_secs(1);
/// The code under which connections count that were closed for what they did.
const CONNECTION_ENDED: &str = "EW3023";

/// What all lanes and connections are told.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    /// How long a drain may take, once there is one.
    drain: Option<Duration>,
    /// When there was last no room for a connection: those that are idle go.
    no_room: Option<Instant>,
}

/// The running data plane of a node.
pub struct DataPlane {
    lanes: Vec<LaneHandle>,
    orders: watch::Sender<Orders>,
    edge: Arc<Edge>,
    limits: Limits,
    addresses: Arc<Addresses>,
    next: AtomicUsize,
}

struct LaneHandle {
    sender: mpsc::Sender<Work>,
    connections: Arc<AtomicUsize>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What comes to a lane from outside its thread.
enum Work {
    Connection(std::net::TcpStream, SocketAddr, Option<Counted>),
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
    pub fn start(
        threads: usize,
        edge: &Arc<Edge>,
        runtime: &Arc<Runtime>,
        limits: Limits,
    ) -> io::Result<Self> {
        let (orders, ordered) = watch::channel(Orders::default());
        let lanes = (0..threads.max(1))
            .map(|index| {
                let (sender, receiver) = mpsc::channel(WAITING_MAX);
                let connections = Arc::new(AtomicUsize::new(0));
                let start = lane::Start {
                    edge: Arc::clone(edge),
                    runtime: Arc::clone(runtime),
                    work: receiver,
                    orders: ordered.clone(),
                    limits,
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
            orders,
            edge: Arc::clone(edge),
            limits,
            addresses: Arc::default(),
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

    /// Whether there is room for another connection. If not, those that are idle are asked to go.
    fn has_room(&self) -> bool {
        if self.connections() < self.limits.connections_max {
            return true;
        }
        self.orders.send_if_modified(|orders| {
            let now = Instant::now();
            let lately = |then| now.duration_since(then) < MAKE_ROOM_AGAIN;
            let ask = !orders.no_room.is_some_and(lately);
            if ask {
                orders.no_room = Some(now);
            }
            ask
        });
        false
    }

    /// Gives a connection to the lane with the fewest, unless its address has as many as it may. Says whether the
    /// data plane takes any more.
    async fn hand_over(&self, stream: std::net::TcpStream, client: SocketAddr) -> bool {
        let counted = if self.edge.trusted_proxies().has(client.ip()) {
            None
        } else {
            let max = self.limits.connections_per_address_max;
            let Some(counted) = self.addresses.take(client.ip(), max) else {
                self.edge.failures().count(CONNECTION_ENDED);
                tracing::debug!(%client, "a connection too many of one address was closed");
                return true;
            };
            Some(counted)
        };
        let load = |lane: &&LaneHandle| lane.connections.load(Ordering::Relaxed);
        let Some(lane) = self.lanes.iter().min_by_key(load) else {
            return false;
        };
        lane.connections.fetch_add(1, Ordering::Relaxed);
        lane.sender
            .send(Work::Connection(stream, client, counted))
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
        self.orders.send_modify(|orders| orders.drain = Some(limit));
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
