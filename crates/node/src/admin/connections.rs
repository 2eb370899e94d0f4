//! The connections of the admin API: how many there are, how long one may stay that asks for nothing, and how they end.
//!
//! Nobody needs a token to connect, so a connection that isn't at work costs little and is nothing to rely on: it ends
//! when it is left alone for a while, and makes way for a newer one when there are too many.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::held::held;
use super::pace::Impatient;

/// Connections at once.
const CONNECTIONS_MAX: usize = 512;
/// How long a connection may be without a request, and a client may take for the head of one.
const IDLE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long requests that are in have when the node ends.
const END_TIME_MAX: Duration = Duration::from_mins(1);
/// Bytes of a request's head, and of what is read ahead.
const READ_BUFFER_BYTES_MAX: usize = 32 << 10;
/// The same of a head in HTTP/2.
const HEAD_BYTES_MAX: u32 = 16 << 10;
/// Requests of one HTTP/2 connection that are worked on at once.
const STREAMS_MAX: u32 = 32;

/// Serves connections until `stop`; requests that are in finish first, if they do so soon.
pub(super) async fn serve<L>(mut listener: L, router: Router, stop: impl Future<Output = ()>)
where
    L: Listener<Addr = SocketAddr>,
{
    let (end, ended) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut connections: Vec<Arc<Activity>> = Vec::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = tasks.join_next() => connections.retain(|activity| !activity.is_over()),
            // One more than there may be: it shows that somebody waits, and takes the place of who only sits there.
            (stream, client) = listener.accept(), if tasks.len() <= CONNECTIONS_MAX => {
                let activity = Arc::new(Activity::new());
                let connection = connection(stream, router.clone(), Arc::clone(&activity), ended.clone());
                tasks.spawn(async move {
                    if let Some(error) = connection.await.err() {
                        tracing::debug!(%error, %client, "a connection to the admin API ended with an error");
                    }
                });
                if tasks.len() > CONNECTIONS_MAX {
                    end_idlest(&connections);
                }
                connections.push(activity);
            }
        }
    }
    end.send_replace(true);
    drop(listener);
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(END_TIME_MAX, ended).await.is_err() {
        tracing::warn!("requests at the admin API took too long to end, and are broken off");
    }
}

/// Ends the connection that has asked for nothing for the longest time. If all are at work, nobody is accepted until
/// one of them has ended.
fn end_idlest(connections: &[Arc<Activity>]) {
    let idle = connections.iter().filter_map(|activity| {
        let since = activity.idle_since()?;
        Some((since, activity))
    });
    if let Some((_, idlest)) = idle.min_by_key(|(since, _)| *since) {
        idlest.state.lock().told_to_leave = true;
        idlest.leave.notify_one();
    }
}

async fn connection(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    router: Router,
    activity: Arc<Activity>,
    mut end: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let _over = Over(Arc::clone(&activity));
    let router = TowerToHyperService::new(router);
    let at_work = Arc::clone(&activity);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let work = Work::begin(&at_work);
        let answered = router.call(request.map(Body::new));
        async move {
            let response = answered.await.unwrap_or_else(|never| match never {});
            Ok::<_, Infallible>(held(response, work))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIME_MAX)
        .max_buf_size(READ_BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX);
    let stream = TokioIo::new(Impatient::new(stream));
    let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        // It has no request: nothing is lost when it is dropped.
        () = activity.left_alone() => return Ok(()),
        () = activity.leave.notified() => return Ok(()),
        // Fails only when nobody serves any more, which means the same.
        _ = end.wait_for(|end| *end) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// What a connection does.
struct Activity {
    state: Mutex<State>,
    leave: Notify,
}

struct State {
    requests: usize,
    idle_since: Instant,
    told_to_leave: bool,
    is_over: bool,
}

impl Activity {
    fn new() -> Self {
        Self {
            state: Mutex::new(State {
                requests: 0,
                idle_since: Instant::now(),
                told_to_leave: false,
                is_over: false,
            }),
            leave: Notify::new(),
        }
    }

    fn is_over(&self) -> bool {
        self.state.lock().is_over
    }

    /// Since when it has had no request, unless it has one or was told to leave.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (state.requests == 0 && !state.told_to_leave && !state.is_over).then_some(state.idle_since)
    }

    /// Until it has had no request for too long.
    async fn left_alone(&self) {
        loop {
            let now = Instant::now();
            let until = self.idle_since().unwrap_or(now) + IDLE_TIME_MAX;
            if until <= now {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A request of a connection, until its response has ended.
struct Work(Arc<Activity>);

impl Work {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.state.lock().requests += 1;
        Self(Arc::clone(activity))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.requests -= 1;
        state.idle_since = Instant::now();
    }
}

/// The end of a connection, however it comes.
struct Over(Arc<Activity>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.state.lock().is_over = true;
    }
}
