//! One instance that many requests share (`concurrent`, WASI 0.3 only), and its driver.
//!
//! A [`Hub`] is one instance and its driver, a task of the lane that polls it; requests come to it
//! through a queue. Wasmtime cancels a guest's tasks only by dropping their store. So a trap or a
//! CPU limit ends the instance and every request in it. A request over its wall time is answered
//! and its instance retired: it takes no more requests and ends with the last of those it has.
//! Limits are watched outside `run_concurrent`, which can starve timers inside it.
//!
//! Work that requests leave behind is bounded in the same way, since Wasmtime doesn't say whose it
//! is: with no request left it has its background time, and an instance that was never without
//! requests or such work for as long as a request may take in all is retired.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::time::Instant;
use wasmtime::component::Accessor;

use super::{report_background_cut, wasi03};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::function::Function;
use crate::instance::{Exports, Instance};
use crate::meter::{Meter, Payer};
use crate::own::Own;
use crate::request::Incoming;
use crate::runtime::Runtime;
use crate::sandbox::Sandbox;
use crate::task::{Conditions, GuestTask};
use crate::usage::Books;
use crate::wasi03::bindings::Wasi03;

/// Requests that one instance works on before another instance is made.
pub(crate) const REQUESTS_PER_INSTANCE_MAX: u32 = 128;
/// Sweeps (one a second) that an instance may be idle.
const IDLE_SWEEPS_MAX: u32 = 10;

/// See the module's documentation.
pub(crate) struct Hub {
    function: Own<Function>,
    meter: Arc<Meter>,
    work: Mutex<Work>,
    retired: AtomicBool,
    idle_sweeps: AtomicU32,
}

struct Work {
    queue: VecDeque<Job>,
    /// In the order of their deadlines.
    active: Vec<Active>,
    ended: bool,
    driver: Option<Waker>,
    /// Since when there is no request, but what some left behind.
    idle_since: Option<Instant>,
    /// The instance works on nothing, neither requests nor what they left behind.
    quiet: bool,
    /// When it was quiet last.
    quiet_at: Instant,
}

/// What a driver has to do about the clock.
enum Due {
    Nothing,
    Wait(Instant),
    End,
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
    fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            active: Vec::new(),
            ended: false,
            driver: None,
            idle_since: None,
            quiet: true,
            quiet_at: Instant::now(),
        }
    }

    fn place_of(&self, exchange: &Arc<Exchange>) -> Option<usize> {
        self.active
            .iter()
            .position(|active| Arc::ptr_eq(&active.exchange, exchange))
    }
}

impl Hub {
    /// Makes a hub; the future is its driver, which has to be spawned on the lane.
    pub(crate) fn start(
        runtime: &Own<Runtime>,
        function: &Own<Function>,
    ) -> (Arc<Self>, impl Future<Output = ()> + 'static) {
        let hub = Arc::new(Self {
            function: function.clone(),
            meter: Arc::default(),
            work: Mutex::new(Work::new()),
            retired: AtomicBool::new(false),
            idle_sweeps: AtomicU32::new(0),
        });
        let task = GuestTask::new(
            run(Arc::clone(&hub), runtime.clone()),
            Conditions {
                meter: Arc::clone(&hub.meter),
                payer: Arc::clone(&hub) as _,
                runtime: runtime.clone(),
                start_away: function.weight.is_heavy(),
            },
        );
        let driver = drive(Arc::clone(&hub), task);
        (hub, driver)
    }

    pub(super) fn function(&self) -> &Own<Function> {
        &self.function
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
        self.in_flight() < REQUESTS_PER_INSTANCE_MAX as usize
    }

    /// No more requests: the instance ends with those it has.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.wake_driver();
    }

    /// Retires the hub when it has been idle for long, or at work for longer than any request and
    /// what it leaves behind may take. Called once a second.
    pub(crate) fn sweep(&self) {
        if self.in_flight() > 0 {
            self.idle_sweeps.store(0, Ordering::Relaxed);
            let limits = &self.function.spec.limits;
            let at_work_max = limits.wall_time.duration() + limits.background_time.duration();
            if self.at_work_for() > at_work_max {
                self.retire();
            }
        } else if self.idle_sweeps.fetch_add(1, Ordering::Relaxed) >= IDLE_SWEEPS_MAX {
            self.retire();
        }
    }

    pub(super) fn push(&self, incoming: Incoming, exchange: &Arc<Exchange>, deadline: Instant) {
        let mut work = self.work.lock();
        if work.ended {
            exchange.fail(Fault::InstanceEnded);
            return;
        }
        let place = work
            .active
            .partition_point(|active| active.deadline <= deadline);
        let active = Active {
            exchange: Arc::clone(exchange),
            deadline,
            books: None,
        };
        work.active.insert(place, active);
        work.idle_since = None;
        if std::mem::take(&mut work.quiet) {
            work.quiet_at = Instant::now();
        }
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
    pub(super) fn keep_books(&self, exchange: &Arc<Exchange>, books: Books) -> Option<Books> {
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

    /// The guest works on nothing.
    fn become_quiet(&self) {
        let mut work = self.work.lock();
        if work.active.is_empty() {
            work.quiet = true;
            work.idle_since = None;
        }
    }

    fn at_work_for(&self) -> Duration {
        let work = self.work.lock();
        if work.quiet {
            Duration::ZERO
        } else {
            work.quiet_at.elapsed()
        }
    }

    /// Answers the requests whose wall time is over, and says what the clock is watched for next:
    /// the wall time of a request or, with none left, the background time of their work.
    fn attend(&self, now: Instant) -> Due {
        let mut work = self.work.lock();
        let overdue = work
            .active
            .iter()
            .take_while(|active| active.deadline <= now)
            .count();
        let overdue: Vec<_> = work.active.drain(..overdue).collect();
        let next = if let Some(active) = work.active.first() {
            Due::Wait(active.deadline)
        } else if work.quiet && self.takes_requests() {
            Due::Nothing
        } else {
            let background_time = self.function.spec.limits.background_time.duration();
            match *work.idle_since.get_or_insert(now) + background_time {
                end if end <= now => Due::End,
                end => Due::Wait(end),
            }
        };
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
    let fault = poll_fn(|cx| {
        if let Poll::Ready(fault) = task.poll(cx) {
            return Poll::Ready(fault.unwrap_or(Some(Fault::Draining)));
        }
        loop {
            let due = match hub.attend(Instant::now()) {
                Due::Wait(due) => due,
                Due::Nothing => return Poll::Pending,
                Due::End => {
                    report_background_cut(&hub.function.spec);
                    return Poll::Ready(None);
                }
            };
            // A timer that is set too early is let fire: under load that is once in a while,
            // instead of setting it anew for each request.
            if !timer_is_set || timer.deadline() > due {
                timer.as_mut().reset(due);
                timer_is_set = true;
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            timer_is_set = false;
        }
    })
    .await;
    drop(task);
    hub.end(fault.as_ref());
}

/// The guest's side: makes the instance and takes requests until the hub is retired.
async fn run(hub: Arc<Hub>, runtime: Own<Runtime>) -> Option<Fault> {
    let function = hub.function.clone();
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
                Poll::Ready(None) | Poll::Pending => {
                    if calls.is_empty() && accessor.poll_no_interesting_tasks(cx).is_ready() {
                        hub.become_quiet();
                    }
                    return Poll::Pending;
                }
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
