//! Requests that share an instance (`concurrent`, WASI 0.3 only).
//!
//! A [`Hub`] is one instance and its driver, a task of the lane that polls it; requests come to it
//! through a queue. Wasmtime cancels a guest's tasks only by dropping their store. So a trap or a
//! CPU limit ends the instance and every request in it. A request over its wall time is answered
//! and its instance retired: it takes no more requests and ends with the last of those it has.
//! Limits are watched outside `run_concurrent`, which can starve timers inside it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::time::Instant;
use wasmtime::component::Accessor;

use super::wasi03;
use crate::exchange::{Answer, Exchange};
use crate::fault::Fault;
use crate::function::Function;
use crate::instance::{Exports, Instance};
use crate::lane::{Chore, LaneInner};
use crate::meter::{Meter, Payer};
use crate::request::Incoming;
use crate::runtime::Runtime;
use crate::sandbox::Sandbox;
use crate::task::{Conditions, GuestTask};
use crate::usage::Books;
use crate::wasi03::bindings::Wasi03;

/// Requests that one instance works on before another instance is made.
const REQUESTS_PER_INSTANCE_MAX: usize = 128;
/// Sweeps (one a second) that an instance may be idle.
const IDLE_SWEEPS_MAX: u32 = 10;

/// See the module's documentation.
pub(crate) struct Hub {
    function: Arc<Function>,
    meter: Arc<Meter>,
    work: Mutex<Work>,
    retired: AtomicBool,
    idle_sweeps: AtomicU32,
}

#[derive(Default)]
struct Work {
    queue: VecDeque<Job>,
    /// In the order of their deadlines, which is the order they came in.
    active: Vec<Active>,
    ended: bool,
    driver: Option<Waker>,
}

struct Job {
    incoming: Incoming,
    exchange: Arc<Exchange>,
}

struct Active {
    exchange: Arc<Exchange>,
    deadline: Instant,
    /// The books of a request that is over for its client and not for the guest: they close, and
    /// give the permit back, when the guest has done with it.
    books: Option<Books>,
}

impl Work {
    fn place_of(&self, exchange: &Arc<Exchange>) -> Option<usize> {
        self.active
            .iter()
            .position(|active| Arc::ptr_eq(&active.exchange, exchange))
    }
}

impl Hub {
    /// Makes a hub; the future is its driver, which has to be spawned on the lane.
    pub(crate) fn start(
        runtime: &Arc<Runtime>,
        function: &Arc<Function>,
    ) -> (Arc<Self>, impl Future<Output = ()> + 'static) {
        let hub = Arc::new(Self {
            function: Arc::clone(function),
            meter: Arc::default(),
            work: Mutex::default(),
            retired: AtomicBool::new(false),
            idle_sweeps: AtomicU32::new(0),
        });
        let task = GuestTask::new(
            run(Arc::clone(&hub), Arc::clone(runtime)),
            Conditions {
                meter: Arc::clone(&hub.meter),
                payer: Arc::clone(&hub) as _,
                ticker: Arc::clone(&runtime.ticker),
                heavy: runtime.heavy.handle().clone(),
                start_away: function.weight.is_heavy(),
            },
        );
        let driver = drive(Arc::clone(&hub), task);
        (hub, driver)
    }

    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    pub(crate) fn takes_requests(&self) -> bool {
        !self.retired.load(Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.work.lock().active.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.in_flight() < REQUESTS_PER_INSTANCE_MAX
    }

    /// No more requests: the instance ends with those it has.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.wake_driver();
    }

    /// Retires the hub when it has been idle for long. Called once a second.
    pub(crate) fn sweep(&self) {
        if self.in_flight() > 0 {
            self.idle_sweeps.store(0, Ordering::Relaxed);
        } else if self.idle_sweeps.fetch_add(1, Ordering::Relaxed) >= IDLE_SWEEPS_MAX {
            self.retire();
        }
    }

    fn push(&self, incoming: Incoming, exchange: &Arc<Exchange>, wall_time: Duration) {
        let mut work = self.work.lock();
        if work.ended {
            exchange.fail(Fault::InstanceEnded);
            return;
        }
        work.active.push(Active {
            exchange: Arc::clone(exchange),
            deadline: Instant::now() + wall_time,
            books: None,
        });
        work.queue.push_back(Job {
            incoming,
            exchange: Arc::clone(exchange),
        });
        let driver = work.driver.take();
        drop(work);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    fn poll_job(&self, cx: &mut Context<'_>) -> Poll<Option<Job>> {
        let mut work = self.work.lock();
        if let Some(job) = work.queue.pop_front() {
            return Poll::Ready(Some(job));
        }
        if !self.takes_requests() {
            return Poll::Ready(None);
        }
        work.driver = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The guest has done with a request.
    fn leave(&self, exchange: &Arc<Exchange>) {
        let mut work = self.work.lock();
        let place = work.place_of(exchange);
        let left = place.map(|place| work.active.remove(place));
        // Closing books runs foreign code: not under the lock.
        drop(work);
        drop(left);
    }

    /// Keeps a request's books until the guest has done with it; returns them if it has already.
    fn keep_books(&self, exchange: &Arc<Exchange>, books: Books) -> Option<Books> {
        let mut work = self.work.lock();
        match work.place_of(exchange) {
            Some(place) => {
                work.active[place].books = Some(books);
                None
            }
            None => Some(books),
        }
    }

    fn wake_driver(&self) {
        let driver = self.work.lock().driver.take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Answers the requests whose wall time is over, and says when the next one's will be.
    fn answer_overdue(&self, now: Instant) -> Option<Instant> {
        let mut work = self.work.lock();
        let overdue = work
            .active
            .iter()
            .take_while(|active| active.deadline <= now)
            .count();
        let overdue: Vec<_> = work.active.drain(..overdue).collect();
        let next = work.active.first().map(|active| active.deadline);
        drop(work);
        if !overdue.is_empty() {
            self.retire();
        }
        for active in overdue {
            active.exchange.fail_or_break(Fault::WallLimit);
        }
        next
    }

    /// The instance is gone: so are all its requests. With one, it is clear whose fault it was.
    fn end(&self, fault: Option<&Fault>) {
        self.retired.store(true, Ordering::Relaxed);
        let mut work = self.work.lock();
        work.ended = true;
        work.queue.clear();
        let active = std::mem::take(&mut work.active);
        drop(work);
        let shared = active.len() > 1;
        if let Some(fault) = fault {
            let spec = &self.function.spec;
            tracing::warn!(
                app = %spec.app,
                function = %spec.name,
                code = fault.code(),
                detail = fault.detail_for_log(),
                requests = active.len(),
                "shared instance ended"
            );
        }
        for Active { exchange, .. } in active {
            exchange.fail_or_break(match fault {
                Some(fault) if !shared => fault.clone(),
                _ => Fault::InstanceEnded,
            });
        }
    }
}

impl Payer for Hub {
    /// Splits the time evenly: which request's task ran, Wasmtime doesn't tell. A run that ended by
    /// itself starts the clock of the CPU limit anew, so that the limit is on one run of one guest.
    fn charge(&self, ns: u64, interrupted: bool) {
        if !interrupted {
            self.function.weight.observe(self.meter.cpu.used_ns());
            self.meter.cpu.reset();
        }
        let work = self.work.lock();
        let share = ns / (work.active.len().max(1) as u64);
        for active in &work.active {
            active.exchange.charge(share, interrupted);
        }
    }
}

/// Polls the instance, and ends it when its limits say so.
async fn drive(hub: Arc<Hub>, mut task: GuestTask<Option<Fault>>) {
    let mut timer = Box::pin(tokio::time::sleep(Duration::ZERO));
    let mut timer_is_set = false;
    let background_time = hub.function.spec.limits.background_time.duration();
    let fault = poll_fn(|cx| {
        loop {
            if let Poll::Ready(fault) = task.poll(cx) {
                return Poll::Ready(fault.unwrap_or(Some(Fault::Draining)));
            }
            if timer_is_set && timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match hub.answer_overdue(Instant::now()) {
                Some(next) => timer.as_mut().reset(next),
                None if hub.takes_requests() => {
                    timer_is_set = false;
                    return Poll::Pending;
                }
                None if timer_is_set => return Poll::Ready(None),
                None => timer.as_mut().reset(Instant::now() + background_time),
            }
            timer_is_set = true;
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
    drop(task);
    hub.end(fault.as_ref());
}

/// The guest's side: makes the instance and takes requests until the hub is retired.
async fn run(hub: Arc<Hub>, runtime: Arc<Runtime>) -> Option<Fault> {
    let function = Arc::clone(&hub.function);
    let mut instance = match Instance::create(&runtime, function, Arc::clone(&hub.meter)).await {
        Ok(instance) => instance,
        Err(fault) => return Some(fault),
    };
    let Instance { store, exports } = &mut instance;
    let Exports::Wasi03(exports) = exports else {
        return Some(Fault::Instantiation(
            "only WASI 0.3 functions can be concurrent".into(),
        ));
    };
    let result = store
        .run_concurrent(async |accessor| serve(&hub, accessor, exports).await)
        .await
        .and_then(|result| result);
    result.err().map(|error| instance.fault(&error))
}

async fn serve(hub: &Hub, accessor: &Accessor<Sandbox>, exports: &Wasi03) -> wasmtime::Result<()> {
    let mut calls = FuturesUnordered::new();
    poll_fn(|cx| {
        loop {
            match calls.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(()))) => continue,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) | Poll::Pending => {}
            }
            match hub.poll_job(cx) {
                Poll::Ready(Some(job)) => calls.push(serve_one(hub, accessor, exports, job)),
                Poll::Ready(None) if calls.is_empty() => {
                    return accessor.poll_no_interesting_tasks(cx).map(Ok);
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

async fn serve_one(
    hub: &Hub,
    accessor: &Accessor<Sandbox>,
    exports: &Wasi03,
    Job { incoming, exchange }: Job,
) -> wasmtime::Result<()> {
    wasi03::call(accessor, exports, incoming, &exchange).await?;
    poll_fn(|cx| exchange.poll_body_ended(cx)).await;
    hub.leave(&exchange);
    Ok(())
}

/// One request's side of a hub.
pub(crate) struct Shared {
    hub: Arc<Hub>,
    exchange: Arc<Exchange>,
    books: Option<Books>,
    lane: Rc<LaneInner>,
}

impl Shared {
    pub(crate) fn start(
        lane: &Rc<LaneInner>,
        hub: Arc<Hub>,
        incoming: Incoming,
        exchange: Arc<Exchange>,
        books: Books,
    ) -> Self {
        let wall_time = hub.function.spec.limits.wall_time.duration();
        hub.push(incoming, &exchange, wall_time);
        Self {
            hub,
            exchange,
            books: Some(books),
            lane: Rc::clone(lane),
        }
    }

    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Fault>> {
        self.exchange.poll_answer(cx)
    }

    pub(super) fn books_mut(&mut self) -> Option<&mut Books> {
        self.books.as_mut()
    }

    /// The request is over for its client. What the guest still does for it is bounded by the
    /// hub's driver, and its permit is given back when that is over too.
    pub(super) fn end(&mut self, bytes_out: u64, fault: Option<Fault>) {
        let Some(mut books) = self.books.take() else {
            return;
        };
        books.end(bytes_out, fault);
        if let Some(books) = self.hub.keep_books(&self.exchange, books) {
            let function = Arc::clone(&self.hub.function);
            self.lane.defer(Chore::End(function, None, books));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.end(0, Some(Fault::ClientGone));
    }
}
