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
mod plain;
pub mod scan;
mod scanned;
mod tls;

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
pub use plain::{Challenges, Plain};
pub use tls::{HandshakeFailure, Tls, refuse_plain};

use self::addresses::{Addresses, Counted};
use crate::dispatch::{Edge, Route};
use crate::respond;
use crate::router::RouteTable;
use crate::services::ServiceCalls;

/// Connections and requests that may wait for one lane to take them up.
const WAITING_MAX: usize = 1_024;
/// Time between two requests to idle connections to make room.
const MAKE_ROOM_AGAIN: Duration = Duration::from_secs(1);
/// The code under which connections count that were closed for what they did.
const CONNECTION_ENDED: &str = "EW3023";

/// How long a connection that is at rest is kept when the node ends and its client doesn't know: a request may be on
/// its way already.
const LAST_REQUEST_TIME_MAX: Duration = Duration::from_secs(1);

/// The running data plane of a node.
pub struct DataPlane {
    edge: Arc<Edge>,
    lanes: Vec<LaneHandle>,
    orders: watch::Sender<Orders>,
    limits: Limits,
    addresses: Arc<Addresses>,
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

/// What becomes of new requests while a data plane drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// They are refused: nobody goes on.
    Stopped,
    /// Another process goes on with the listening socket. Connections that are open may ask once more, hear that
    /// theirs ends, and come back to that process: none has to lose a request.
    HandedOver,
}

/// How a data plane drains.
#[derive(Debug, Clone, Copy)]
struct Drain {
    limit: Duration,
    ending: Ending,
}

/// What all lanes and connections are told.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    /// How to drain, once there is a drain.
    drain: Option<Drain>,
    /// When there was last no room for a connection: those that are idle go.
    no_room: Option<Instant>,
}

/// What comes to a lane from outside its thread.
enum Work {
    /// Somebody asks whether the lane still turns.
    Ping(oneshot::Sender<()>),
    Connection(std::net::TcpStream, SocketAddr, Front, Option<Counted>),
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
    /// Starts `threads` lanes, to which `services` brings calls from then on.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a thread.
    pub fn start(
        threads: usize,
        edge: &Arc<Edge>,
        runtime: &Arc<Runtime>,
        limits: Limits,
        services: &ServiceCalls,
    ) -> io::Result<Self> {
        let (orders, ordered) = watch::channel(Orders::default());
        let mut callers = Vec::new();
        let lanes = (0..threads.max(1))
            .map(|index| {
                let (sender, receiver) = mpsc::channel(WAITING_MAX);
                let (caller, calls) = mpsc::channel(WAITING_MAX);
                callers.push(caller);
                let connections = Arc::new(AtomicUsize::new(0));
                let start = lane::Start {
                    edge: Arc::clone(edge),
                    runtime: Arc::clone(runtime),
                    work: receiver,
                    calls,
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
        services.set_lanes(callers);
        Ok(Self {
            edge: Arc::clone(edge),
            lanes,
            orders,
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
    async fn hand_over(
        &self,
        stream: std::net::TcpStream,
        client: SocketAddr,
        front: Front,
    ) -> bool {
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
            .send(Work::Connection(stream, client, front, counted))
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

    /// Whether every lane answers within `limit`. One that doesn't is stuck: no guest holds a lane up for longer
    /// than a slice.
    pub async fn turns(&self, limit: Duration) -> bool {
        let lanes = self.lanes.iter().map(|lane| &lane.sender);
        tokio::time::timeout(limit, all_answer(lanes))
            .await
            .is_ok_and(|answered| answered)
    }

    /// What a client is told that there is no file descriptor for.
    fn refusal(&self) -> String {
        self.edge.failures().count(respond::MACHINE_LIMIT);
        respond::no_descriptor_left(&self.edge.next_request_id())
    }

    /// Lets requests in flight and background work finish for at most `limit`, then ends the
    /// threads. Blocks until they have ended.
    pub fn drain(&self, limit: Duration, ending: Ending) {
        self.orders
            .send_modify(|orders| orders.drain = Some(Drain { limit, ending }));
        for lane in &self.lanes {
            let thread = lane.thread.lock().take();
            if let Some(thread) = thread {
                // A lane that panicked has nothing left to drain.
                let _ = thread.join();
            }
        }
    }
}

async fn all_answer(lanes: impl Iterator<Item = &mpsc::Sender<Work>>) -> bool {
    let mut answers = Vec::new();
    for lane in lanes {
        let (sender, receiver) = oneshot::channel();
        if lane.send(Work::Ping(sender)).await.is_err() {
            return false;
        }
        answers.push(receiver);
    }
    for answer in answers {
        if answer.await.is_err() {
            return false;
        }
    }
    true
}

impl std::fmt::Debug for DataPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataPlane")
            .field("lanes", &self.lanes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(mut work: mpsc::Receiver<Work>) {
        while let Some(Work::Ping(reply)) = work.recv().await {
            // Who asks may have given up.
            let _ = reply.send(());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lane_that_is_stuck_or_gone_is_noticed() {
        let lane = || mpsc::channel(1);
        let ((turning, work), (stuck, kept), (gone, dropped)) = (lane(), lane(), lane());
        drop(dropped);
        tokio::spawn(answer(work));
        let turn = async |lanes: &[&mpsc::Sender<Work>]| {
            let answers = all_answer(lanes.iter().copied());
            tokio::time::timeout(Duration::from_secs(1), answers).await == Ok(true)
        };
        assert!(turn(&[&turning]).await);
        assert!(!turn(&[&turning, &stuck]).await);
        assert!(!turn(&[&turning, &gone]).await);
        drop(kept);
    }
}
