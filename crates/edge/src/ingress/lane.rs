//! The thread of one lane: its runtime, its connections, its drain.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use everwarm_engine::hurry;
use everwarm_engine::lane::Lane;
use everwarm_engine::own::Own;
use everwarm_engine::request::Request;
use everwarm_engine::runtime::Runtime;
use http::Response;
use http_body_util::BodyExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::LocalSet;

use super::connection::{self, Speaks};
use super::limits::Limits;
use super::outbox::{Connection, Outbox};
use super::{Front, InvokeError, LAST_REQUEST_TIME_MAX, Orders, Tls, Work};
use crate::dispatch::{Edge, Origin, dispatch};
use crate::services::{self, CallDesk, ServiceCall};

/// What a lane's thread is started with.
pub(super) struct Start {
    pub(super) edge: Arc<Edge>,
    pub(super) runtime: Arc<Runtime>,
    pub(super) work: mpsc::Receiver<Work>,
    pub(super) calls: mpsc::Receiver<ServiceCall>,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) limits: Limits,
    pub(super) connections: Arc<AtomicUsize>,
}

/// Counts the tasks of a lane, so that a drain knows when the last has ended.
#[derive(Default)]
struct Tasks {
    running: Cell<usize>,
    none_left: Notify,
}

struct Running(Rc<Tasks>);

impl Tasks {
    fn begin(self: &Rc<Self>) -> Running {
        self.running.set(self.running.get() + 1);
        Running(Rc::clone(self))
    }

    async fn wait_for_all(&self) {
        while self.running.get() > 0 {
            self.none_left.notified().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let left = self.0.running.get() - 1;
        self.0.running.set(left);
        if left == 0 {
            self.0.none_left.notify_one();
        }
    }
}

/// The lane's thread. Ends after a drain; every task it spawned ends with it.
pub(super) fn run(start: Start) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a lane could not start its event loop");
            return;
        }
    };
    let local = LocalSet::new();
    runtime.block_on(local.run_until(serve(start)));
}

async fn serve(start: Start) {
    let Start {
        edge,
        runtime,
        mut work,
        mut calls,
        mut orders,
        limits,
        connections,
    } = start;
    let (edge, lane) = (Own::new(edge), Lane::new(runtime));
    let outbox = Outbox::new({
        let lane = lane.clone();
        move || lane.call_janitor()
    });
    let janitor = tokio::task::spawn_local({
        let (lane, outbox) = (lane.clone(), outbox.clone());
        async move { lane.janitor(|| outbox.post()).await }
    });
    let tasks = Rc::new(Tasks::default());
    // Connections look for orders whenever they are woken: in a place of the lane's own.
    let (pass_on, passed_on) = watch::channel(Orders::default());
    let desk = Rc::new(Desk {
        edge,
        lane: lane.clone(),
        outbox,
        orders: passed_on,
        limits,
        connections,
        tasks: Rc::clone(&tasks),
    });
    services::set_desk(&desk);
    let limit = loop {
        let next = tokio::select! {
            next = work.recv() => next,
            Some(call) = calls.recv() => {
                desk.begin_call(call);
                continue;
            }
            changed = orders.changed() => {
                let now = *orders.borrow_and_update();
                pass_on.send_replace(now);
                match now.drain {
                    Some(drain) => break drain.limit,
                    None if changed.is_err() => break Duration::ZERO,
                    None => continue,
                }
            }
        };
        let Some(next) = next else {
            break Duration::ZERO;
        };
        desk.begin(next);
    };
    // Whoever comes now hears at once that nobody is here, not when the drain is over. What has come is dealt with:
    // a connection that was accepted isn't dropped unanswered.
    work.close();
    while let Ok(last) = work.try_recv() {
        desk.begin(last);
    }
    drop(work);
    let deadline = tokio::time::Instant::now() + limit;
    // Requests that are in may still call others. What is not over by the deadline is cut off.
    let rest = async {
        tokio::select! {
            () = tasks.wait_for_all() => {}
            () = async {
                while let Some(call) = calls.recv().await {
                    desk.begin_call(call);
                }
                std::future::pending::<()>().await;
            } => {}
        }
    };
    let _ = tokio::time::timeout_at(deadline, rest).await;
    lane.drain(deadline.duration_since(tokio::time::Instant::now()))
        .await;
    janitor.abort();
}

/// Where work begins, each as a task of the lane.
struct Desk {
    edge: Own<Edge>,
    lane: Lane,
    outbox: Outbox,
    orders: watch::Receiver<Orders>,
    limits: Limits,
    connections: Arc<AtomicUsize>,
    tasks: Rc<Tasks>,
}

impl Desk {
    fn begin(&self, work: Work) {
        let (edge, lane, running) = (self.edge.clone(), self.lane.clone(), self.tasks.begin());
        match work {
            // A caller that has gone doesn't want the answer.
            Work::Ping(reply) => drop(reply.send(())),
            Work::Connection(stream, client, front, counted) => {
                let open = Open(Arc::clone(&self.connections));
                let (orders, outbox) = (self.orders.clone(), self.outbox.clone());
                let limits = self.limits;
                tokio::task::spawn_local(async move {
                    let _held = (running, open, counted);
                    let Ok(stream) = TcpStream::from_std(stream) else {
                        return;
                    };
                    // Without it a small response waits for the client's delayed acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let asked = connection::Asked {
                        client,
                        edge,
                        lane,
                        limits,
                        orders,
                    };
                    match front {
                        Front::Plain(plain) => {
                            let connection = Connection::new(stream, outbox);
                            connection::serve(connection, asked, Speaks::Plain(plain)).await;
                        }
                        // In a box, so that tasks without TLS stay as small as they are.
                        Front::Tls(tls) => Box::pin(serve_tls(tls, stream, outbox, asked)).await,
                    }
                });
            }
            Work::Request(request, routes, reply) => {
                tokio::task::spawn_local(async move {
                    let _running = running;
                    let origin = Origin {
                        routes,
                        ..Origin::default()
                    };
                    let _ = reply.send(invoke(&edge, &lane, origin, *request).await);
                });
            }
        }
    }
}

/// A connection in TLS. A drain gives a handshake that has begun as much time as a client that hasn't asked yet.
async fn serve_tls(tls: Arc<Tls>, stream: TcpStream, outbox: Outbox, mut asked: connection::Asked) {
    let accepted = {
        let mut accept = std::pin::pin!(tls.accept(stream, outbox));
        tokio::select! {
            accepted = accept.as_mut() => accepted,
            _ = asked.orders.wait_for(|orders| orders.drain.is_some()) => {
                let in_time = tokio::time::timeout(LAST_REQUEST_TIME_MAX, accept);
                in_time.await.ok().flatten()
            }
        }
    };
    if let Some(stream) = accepted {
        connection::serve(stream, asked, Speaks::Tls).await;
    }
}

impl CallDesk for Desk {
    fn begin_call(&self, call: ServiceCall) {
        let (edge, lane, running) = (self.edge.clone(), self.lane.clone(), self.tasks.begin());
        // It may come from another thread, whose janitor was asked.
        hurry::ask();
        tokio::task::spawn_local(async move {
            let _running = running;
            services::answer(edge, lane, call).await;
        });
    }
}

async fn invoke(
    edge: &Own<Edge>,
    lane: &Lane,
    origin: Origin,
    request: Request,
) -> Result<Response<Bytes>, InvokeError> {
    let response = dispatch(edge, lane, origin, request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(parts, body))
}

/// An open connection, for the count that the acceptor goes by.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
