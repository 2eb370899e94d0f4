//! What belongs to one lane: its stock of prepared instances (`request`) and idle ones (`serial`),
//! its shared instances (`concurrent`), its background work, and its chores.
//!
//! Single-threaded: nothing in it is locked or shared. Knows no request: requests leave chores here
//! and come back for instances.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use everwarm_manifest::Isolation;
use hashbrown::HashMap;
use tokio::task::JoinSet;

use crate::cpu;
use crate::fault::Fault;
use crate::function::Function;
use crate::instance::{Finished, Instance};
use crate::invoke::hub::Hub;
use crate::meter::Meter;
use crate::own::Own;
use crate::runtime::Runtime;
use crate::stock::Stock;
use crate::usage::Books;

/// Chores that may wait; one more is done at once.
const CHORES_MAX: usize = 256;
/// Background work that one lane keeps; more is ended with its response.
const BACKGROUND_MAX: usize = 1_024;
/// Shared instances of one `concurrent` function in one lane.
const HUBS_MAX: usize = 8;

pub(crate) struct LaneInner {
    pub(crate) runtime: Own<Runtime>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    functions: HashMap<usize, PerFunction>,
    chores: VecDeque<Chore>,
    background: JoinSet<()>,
    janitor: Option<Waker>,
    /// The janitor was called for something other than chores.
    called: bool,
}

struct PerFunction {
    /// Keeps the key, which is the function's address, from being used again.
    function: Own<Function>,
    stock: Stock<Instance>,
    hubs: Vec<Arc<Hub>>,
}

/// Work that can wait until the response is written.
pub(crate) enum Chore {
    /// Closes a request's books, and keeps or drops its instance.
    End(Own<Function>, Option<Finished>, Books),
    /// Makes an instance ahead of its request.
    Prepare(Own<Function>),
}

impl LaneInner {
    pub(super) fn new(runtime: Arc<Runtime>) -> Self {
        Self {
            runtime: Own::new(runtime),
            state: RefCell::default(),
        }
    }

    fn key(function: &Arc<Function>) -> usize {
        Arc::as_ptr(function) as usize
    }

    /// The function as this lane has it, and an instance that is there already. A function that had none is given
    /// one more ahead.
    pub(super) fn take(&self, function: &Arc<Function>) -> (Own<Function>, Option<Instance>) {
        let mut state = self.state.borrow_mut();
        let entry = state.entry(function);
        let function = entry.function.clone();
        let instance = entry.stock.take();
        let prepare = function.spec.isolation == Isolation::Request && entry.stock.wants_one();
        if prepare {
            entry.stock.ordered();
            state.chores.push_back(Chore::Prepare(function.clone()));
            state.wake_janitor();
        }
        (function, instance)
    }

    /// A shared instance with room for one more request.
    pub(super) fn hub(&self, function: &Arc<Function>) -> Arc<Hub> {
        let mut state = self.state.borrow_mut();
        let PerFunction { function, hubs, .. } = state.entry(function);
        hubs.retain(|hub| hub.takes_requests());
        if let Some(hub) = hubs.iter().find(|hub| hub.has_room()) {
            return Arc::clone(hub);
        }
        if hubs.len() >= HUBS_MAX
            && let Some(hub) = hubs.iter().min_by_key(|hub| hub.in_flight())
        {
            return Arc::clone(hub);
        }
        let (hub, driver) = Hub::start(&self.runtime, function);
        hubs.push(Arc::clone(&hub));
        state.background.spawn_local(driver);
        hub
    }

    /// Leaves work for the janitor.
    pub(crate) fn defer(&self, chore: Chore) {
        let mut state = self.state.borrow_mut();
        if state.chores.len() < CHORES_MAX {
            state.chores.push_back(chore);
            state.wake_janitor();
            return;
        }
        drop(state);
        if let Chore::End(function, finished, books) = chore {
            self.end(&function, finished, books);
        }
    }

    /// Runs work for which its function has this much background time. Work that may not run is
    /// dropped.
    pub(crate) fn run_in_background(
        &self,
        limit: Duration,
        work: impl Future<Output = ()> + 'static,
    ) {
        let mut state = self.state.borrow_mut();
        while state.background.try_join_next().is_some() {}
        if state.background.len() < BACKGROUND_MAX && !limit.is_zero() {
            state.background.spawn_local(work);
        }
    }

    /// Retires the shared instances and hands over all background work, theirs among it.
    pub(super) fn give_up_background(&self) -> JoinSet<()> {
        let mut state = self.state.borrow_mut();
        let hubs = state.functions.values().flat_map(|entry| &entry.hubs);
        hubs.for_each(|hub| hub.retire());
        std::mem::take(&mut state.background)
    }

    pub(super) fn poll_due(
        &self,
        cx: &mut Context<'_>,
        sweep: &mut tokio::time::Interval,
    ) -> Poll<()> {
        {
            let mut state = self.state.borrow_mut();
            if std::mem::take(&mut state.called) || !state.chores.is_empty() {
                return Poll::Ready(());
            }
        }
        // Only with nothing else to do, which comes at the end of each turn: chores leave no chores.
        if sweep.poll_tick(cx).is_ready() {
            self.sweep();
        }
        let mut state = self.state.borrow_mut();
        state.janitor = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn call_janitor(&self) {
        let mut state = self.state.borrow_mut();
        state.called = true;
        state.wake_janitor();
    }

    /// How many chores there are.
    pub(super) fn chores(&self) -> usize {
        self.state.borrow().chores.len()
    }

    pub(super) fn next_chore(&self) -> Option<Chore> {
        self.state.borrow_mut().chores.pop_front()
    }

    pub(super) async fn perform(&self, chore: Chore) {
        match chore {
            Chore::End(function, finished, books) => self.end(&function, finished, books),
            Chore::Prepare(function) => self.prepare(function).await,
        }
    }

    fn end(&self, function: &Own<Function>, finished: Option<Finished>, books: Books) {
        drop(books);
        if let Some(instance) = finished.and_then(|finished| finished.reusable(function)) {
            instance.meter().cpu.reset();
            self.state
                .borrow_mut()
                .entry(Own::shared(function))
                .stock
                .put_back(instance);
        }
    }

    async fn prepare(&self, function: Own<Function>) {
        let meter = Arc::new(Meter::default());
        let make = Instance::create(&self.runtime, function.clone(), Arc::clone(&meter));
        let mut make = Box::pin(make);
        // A start function that doesn't end at once is the request's own business, on its own time.
        let result = poll_fn(|cx| Poll::Ready(self.poll_making(make.as_mut(), cx, &meter))).await;
        let mut state = self.state.borrow_mut();
        let stock = &mut state.entry(Own::shared(&function)).stock;
        match result {
            Poll::Ready(Ok(instance)) => stock.arrived(instance),
            Poll::Ready(Err(_)) | Poll::Pending => stock.failed(),
        }
    }

    fn poll_making(
        &self,
        make: Pin<&mut impl Future<Output = Result<Instance, Fault>>>,
        cx: &mut Context<'_>,
        meter: &Meter,
    ) -> Poll<Result<Instance, Fault>> {
        let running = self.runtime.ticker.enter();
        let (poll, ns) = cpu::measure(|| make.poll(cx));
        drop(running);
        meter.cpu.add_ns(ns);
        poll
    }

    /// Gives up what nobody has asked for since the last look.
    fn sweep(&self) {
        let mut surplus = Vec::new();
        let mut state = self.state.borrow_mut();
        while state.background.try_join_next().is_some() {}
        state.functions.retain(|_, entry| {
            surplus.extend(entry.stock.sweep());
            entry.hubs.iter().for_each(|hub| hub.sweep());
            entry.hubs.retain(|hub| hub.takes_requests());
            !(entry.stock.is_empty() && entry.hubs.is_empty())
        });
    }
}

impl State {
    fn entry(&mut self, function: &Arc<Function>) -> &mut PerFunction {
        self.functions
            .entry(LaneInner::key(function))
            .or_insert_with(|| PerFunction {
                function: Own::new(Arc::clone(function)),
                stock: Stock::default(),
                hubs: Vec::new(),
            })
    }

    fn wake_janitor(&mut self) {
        if let Some(janitor) = self.janitor.take() {
            janitor.wake();
        }
    }
}
