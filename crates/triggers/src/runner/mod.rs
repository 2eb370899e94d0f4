//! The tasks that deliver messages and fire schedules: one for each trigger of the apps that serve, and one more for each
//! schedule's clock.
//!
//! Owns which there are, that each ends with its trigger or with the runner, and that nothing is taken from the store
//! while the runner rests. What one does is in `worker` and `clock`.

mod clock;
mod worker;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use everwarm_manifest::triggers::{CallPath, Overlap, Queue, Retry, Schedule};
use everwarm_manifest::{AppName, FunctionName, Millis, TenantId};
use everwarm_store::Store;
use everwarm_store::triggers::{Outcome, Trigger, TriggerId, TriggerQuota};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::call::Caller;
use clock::Clock;
use worker::Worker;

/// Calls of one schedule at the same time, where its runs may overlap.
const OVERLAPPING_MAX: NonZeroU32 = NonZeroU32::new(8).expect("8 isn't zero");

/// What an app's manifest declares.
#[derive(Debug, Clone, Default)]
pub struct AppTriggers {
    /// Its queues.
    pub queues: Vec<Queue>,
    /// Its schedules.
    pub schedules: Vec<Schedule>,
}

/// When triggers come to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The node has started: what was due meanwhile was missed.
    Start,
    /// A version was deployed: what is new in it begins now.
    Deploy,
}

/// See the module's documentation. Dropping it ends all tasks, and the calls that they make.
pub struct Runner {
    shared: Arc<Shared>,
    desks: Mutex<HashMap<TriggerId, Desk>>,
    /// Those of triggers that are gone, until their last calls have ended.
    ending: Mutex<Vec<Ending>>,
}

/// What all tasks share.
struct Shared {
    store: Arc<dyn Store>,
    caller: Arc<dyn Caller>,
    quota: Box<dyn Fn(&TenantId) -> TriggerQuota + Send + Sync>,
    /// Whether messages are taken from the store.
    takes: watch::Sender<bool>,
    /// How many have something of the store's in hand, or are about to.
    busy: watch::Sender<usize>,
    counts: CountsKept,
}

/// Somebody has something in hand.
struct Busy(Arc<Shared>);

impl Busy {
    /// One more has a part of it.
    fn also(&self) -> Self {
        self.0.busy.send_modify(|busy| *busy += 1);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| *busy -= 1);
    }
}

impl Shared {
    /// Leave to take something from the store; `None` while the runner rests. Whoever rests waits for it to be given back.
    fn take(self: &Arc<Self>) -> Option<Busy> {
        self.busy.send_modify(|busy| *busy += 1);
        let busy = Busy(Arc::clone(self));
        self.takes.borrow().then_some(busy)
    }
}

/// Where a trigger's tasks are reached.
struct Desk {
    wake: Arc<Notify>,
    consumer: watch::Sender<Consumer>,
    clock: Option<(Arc<Notify>, watch::Sender<Schedule>)>,
    tasks: Ending,
}

/// Tasks that end with their owner.
struct Ending(Vec<JoinHandle<()>>);

impl Drop for Ending {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Who handles the messages of a trigger, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Consumer {
    function: FunctionName,
    path: CallPath,
    batch: NonZeroU32,
    batch_wait: Millis,
    concurrency: NonZeroU32,
    visibility: Millis,
    retry: Retry,
}

impl From<&Queue> for Consumer {
    fn from(queue: &Queue) -> Self {
        Self {
            function: queue.function.clone(),
            path: queue.path.clone(),
            batch: queue.batch,
            batch_wait: queue.batch_wait,
            concurrency: queue.concurrency,
            visibility: queue.visibility,
            retry: queue.retry(),
        }
    }
}

impl From<&Schedule> for Consumer {
    fn from(schedule: &Schedule) -> Self {
        Self {
            function: schedule.function.clone(),
            path: schedule.path.clone(),
            batch: NonZeroU32::MIN,
            batch_wait: Millis::new(0),
            concurrency: match schedule.overlap {
                Overlap::Skip | Overlap::Wait => NonZeroU32::MIN,
                Overlap::Allow => OVERLAPPING_MAX,
            },
            visibility: schedule.visibility,
            retry: schedule.retry(),
        }
    }
}

/// What became of messages since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries that were acknowledged.
    pub acknowledged: u64,
    /// Deliveries that failed and are tried again.
    pub again: u64,
    /// Messages that failed too often.
    pub dead: u64,
    /// Deliveries that weren't tried, because there was too much to do.
    pub released: u64,
    /// Runs of schedules that were left out.
    pub left_out: u64,
}

#[derive(Default)]
struct CountsKept {
    acknowledged: AtomicU64,
    again: AtomicU64,
    dead: AtomicU64,
    released: AtomicU64,
    left_out: AtomicU64,
}

impl CountsKept {
    fn add(&self, outcome: &Outcome) {
        let count = match outcome {
            Outcome::Acknowledged => &self.acknowledged,
            Outcome::Again { .. } => &self.again,
            Outcome::Dead { .. } => &self.dead,
            Outcome::Released => &self.released,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Runner {
    /// Messages are in `store`, functions are called through `caller`. `quota` says how much each app of a tenant may keep: it
    /// holds for the runs of schedules.
    pub fn new(
        store: Arc<dyn Store>,
        caller: Arc<dyn Caller>,
        quota: impl Fn(&TenantId) -> TriggerQuota + Send + Sync + 'static,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                caller,
                quota: Box::new(quota),
                takes: watch::Sender::new(true),
                busy: watch::Sender::new(0),
                counts: CountsKept::default(),
            }),
            desks: Mutex::default(),
            ending: Mutex::default(),
        }
    }

    /// From now on these are the triggers of an app. Called within the runtime that tasks are to run on.
    pub fn set(&self, tenant: &TenantId, app: &AppName, triggers: AppTriggers, occasion: Occasion) {
        let id = |trigger| TriggerId {
            tenant: tenant.clone(),
            app: app.clone(),
            trigger,
        };
        let mut wanted: HashMap<TriggerId, (Consumer, Option<Schedule>)> = HashMap::new();
        for queue in &triggers.queues {
            wanted.insert(id(Trigger::Queue(queue.name.clone())), (queue.into(), None));
        }
        for schedule in triggers.schedules {
            let trigger = Trigger::Schedule(schedule.name.clone());
            wanted.insert(id(trigger), ((&schedule).into(), Some(schedule)));
        }
        let mut desks = self.desks.lock();
        let is_gone =
            |of: &TriggerId| of.tenant == *tenant && of.app == *app && !wanted.contains_key(of);
        let gone: Vec<Desk> = desks
            .extract_if(|of, _| is_gone(of))
            .map(|(_, desk)| desk)
            .collect();
        self.end_later(gone);
        for (of, (consumer, schedule)) in wanted {
            let Some(desk) = desks.get(&of) else {
                let desk = self.open(of.clone(), consumer, schedule, occasion);
                desks.insert(of, desk);
                continue;
            };
            desk.consumer.send_if_modified(|now| changed(now, consumer));
            if let (Some((_, clock)), Some(schedule)) = (&desk.clock, schedule) {
                clock.send_if_modified(|now| changed(now, schedule));
            }
        }
    }

    /// An app is gone, and its triggers with it. Calls that are under way end.
    pub fn remove(&self, tenant: &TenantId, app: &AppName) {
        self.set(tenant, app, AppTriggers::default(), Occasion::Deploy);
    }

    /// Apps that `serves` doesn't know are gone, as by [`Runner::remove`].
    pub fn remove_all_but(&self, serves: impl Fn(&TenantId, &AppName) -> bool) {
        let mut desks = self.desks.lock();
        let gone = desks.extract_if(|of, _| !serves(&of.tenant, &of.app));
        self.end_later(gone.map(|(_, desk)| desk).collect());
    }

    /// There is something new for a trigger: a message, or it goes on after a pause.
    pub fn wake(&self, of: &TriggerId) {
        if let Some(desk) = self.desks.lock().get(of) {
            desk.wake.notify_one();
            if let Some((clock, _)) = &desk.clock {
                clock.notify_one();
            }
        }
    }

    /// Takes nothing more from the store, and waits until the calls that are under way have ended and what came of them is
    /// stored, for `limit` at most. Says whether all have.
    pub async fn rest(&self, limit: Duration) -> bool {
        self.shared.takes.send_replace(false);
        let mut busy = self.shared.busy.subscribe();
        let nobody = busy.wait_for(|busy| *busy == 0);
        tokio::time::timeout(limit, nobody).await.is_ok()
    }

    /// Takes from the store again.
    pub fn go_on(&self) {
        self.shared.takes.send_replace(true);
    }

    /// All triggers that are served, in no order.
    pub fn all(&self) -> Vec<TriggerId> {
        self.desks.lock().keys().cloned().collect()
    }

    /// What became of messages since the start.
    pub fn counts(&self) -> Counts {
        let counts = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            acknowledged: read(&counts.acknowledged),
            again: read(&counts.again),
            dead: read(&counts.dead),
            released: read(&counts.released),
            left_out: read(&counts.left_out),
        }
    }

    /// Starts the tasks of a trigger.
    fn open(
        &self,
        of: TriggerId,
        consumer: Consumer,
        schedule: Option<Schedule>,
        occasion: Occasion,
    ) -> Desk {
        let wake = Arc::<Notify>::default();
        let (consumer, orders) = watch::channel(consumer);
        let mut tasks = Vec::new();
        let clock = schedule.map(|schedule| {
            let (schedule, orders) = watch::channel(schedule);
            let for_clock = Arc::<Notify>::default();
            let clock = Clock {
                of: of.clone(),
                shared: Arc::clone(&self.shared),
                wake: Arc::clone(&for_clock),
                worker: Arc::clone(&wake),
                orders,
            };
            tasks.push(tokio::spawn(clock.run(occasion)));
            (for_clock, schedule)
        });
        let worker = Worker {
            of,
            shared: Arc::clone(&self.shared),
            wake: Arc::clone(&wake),
            orders,
        };
        tasks.push(tokio::spawn(worker.run()));
        Desk {
            wake,
            consumer,
            clock,
            tasks: Ending(tasks),
        }
    }

    /// Lets the calls of triggers that are gone end; their visibility time-outs end them at the latest.
    fn end_later(&self, gone: Vec<Desk>) {
        let mut ending = self.ending.lock();
        ending.retain(|tasks| !tasks.0.iter().all(JoinHandle::is_finished));
        // What else is in a desk tells its tasks to end by being dropped.
        ending.extend(gone.into_iter().map(|desk| desk.tasks));
    }
}

/// Puts `new` in the place of `now`, if it is something else.
fn changed<T: PartialEq>(now: &mut T, new: T) -> bool {
    let is_new = *now != new;
    *now = new;
    is_new
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}
