//! The futures of one request, each of which is polled only when it was woken. It doesn't know what
//! they wait for: that is `blocking` on hosts that block, and `sys::p3` on WASI 0.3.

#[cfg(not(all(target_family = "wasm", feature = "wasi-0-3")))]
pub(crate) mod blocking;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::local::LocalFuture;

/// What a request's futures have started, until it is polled with them.
pub(crate) struct Queue {
    spawned: RefCell<Vec<LocalFuture>>,
    after: RefCell<Vec<LocalFuture>>,
    main_ended: Cell<bool>,
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self {
            spawned: RefCell::new(Vec::new()),
            after: RefCell::new(Vec::new()),
            main_ended: Cell::new(false),
        }
    }

    /// Starts a future beside those that run.
    pub(crate) fn spawn(&self, future: LocalFuture) {
        self.spawned.borrow_mut().push(future);
    }

    /// Starts a future once the main one has ended.
    pub(crate) fn after_main(&self, future: LocalFuture) {
        if self.main_ended.get() {
            self.spawn(future);
        } else {
            self.after.borrow_mut().push(future);
        }
    }

    fn begin_main(&self) {
        self.main_ended.set(false);
    }

    fn end_main(&self) {
        self.main_ended.set(true);
        let after = self.after.take();
        self.spawned.borrow_mut().extend(after);
    }
}

/// Told of every wake-up, for a host where the futures may be asleep when one of them is woken.
pub(crate) trait Alarm: Clone + Send + Sync + 'static {
    fn ring(&self);
}

impl Alarm for () {
    fn ring(&self) {}
}

/// The futures of one request: the main one, and what was started beside it.
pub(crate) struct Tasks<M, A> {
    main: Option<M>,
    main_woken: Arc<Woken<A>>,
    others: Vec<Task<A>>,
}

struct Task<A> {
    future: LocalFuture,
    woken: Arc<Woken<A>>,
}

/// Whether a future was woken. All its wakers are clones of this one's `Arc`.
struct Woken<A> {
    flag: AtomicBool,
    alarm: A,
}

/// Where a request's futures are after a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// One at least has to be polled again.
    Woken,
    /// Each of them waits for something.
    Waiting,
    /// None is left.
    Ended,
}

impl<M: Future<Output = ()> + Unpin, A: Alarm> Tasks<M, A> {
    pub(crate) fn new(main: M, alarm: A, queue: &Queue) -> Self {
        queue.begin_main();
        Self {
            main: Some(main),
            main_woken: Woken::new(alarm),
            others: Vec::new(),
        }
    }

    /// Polls what was woken, once each, and takes up what that has started.
    #[cfg(any(test, not(all(target_family = "wasm", feature = "wasi-0-3"))))]
    pub(crate) fn pass(&mut self, queue: &Queue) -> Progress {
        self.pass_main(queue);
        self.pass_others(queue)
    }

    /// The first half of a pass: the main future.
    pub(crate) fn pass_main(&mut self, queue: &Queue) {
        if let Some(main) = &mut self.main
            && self.main_woken.take()
            && poll(main, &self.main_woken).is_ready()
        {
            self.main = None;
            queue.end_main();
        }
    }

    /// Whether anything was woken, or started and not polled yet.
    pub(crate) fn is_woken(&self, queue: &Queue) -> bool {
        !queue.spawned.borrow().is_empty()
            || self.main.is_some() && self.main_woken.is_set()
            || self.others.iter().any(|task| task.woken.is_set())
    }

    /// The second half of a pass: the futures beside the main one.
    pub(crate) fn pass_others(&mut self, queue: &Queue) -> Progress {
        let spawned = queue.spawned.take().into_iter();
        let alarm = &self.main_woken.alarm;
        self.others
            .extend(spawned.map(|future| Task::new(future, alarm.clone())));
        self.others.retain_mut(Task::goes_on);
        if self.is_woken(queue) {
            Progress::Woken
        } else if self.main.is_none() && self.others.is_empty() {
            Progress::Ended
        } else {
            Progress::Waiting
        }
    }

    /// Drops all of them, and what they have started.
    #[cfg(all(target_family = "wasm", feature = "wasi-0-3"))]
    pub(crate) fn clear(&mut self, queue: &Queue) {
        self.main = None;
        self.others.clear();
        drop(queue.spawned.take());
        drop(queue.after.take());
    }

    /// How many wakers there are that could wake one of the futures.
    #[cfg(any(test, all(target_family = "wasm", feature = "wasi-0-3")))]
    pub(crate) fn wakers_len(&self) -> usize {
        let all = self.all_woken();
        all.map(|woken| Arc::strong_count(woken) - 1).sum()
    }

    /// Whether this waker is itself one of those, and not one that passes the wake-up on.
    #[cfg(any(test, all(target_family = "wasm", feature = "wasi-0-3")))]
    pub(crate) fn made(&self, waker: &Waker) -> bool {
        let mut all = self.all_woken();
        all.any(|woken| std::ptr::eq(Arc::as_ptr(woken).cast(), waker.data()))
    }

    #[cfg(any(test, all(target_family = "wasm", feature = "wasi-0-3")))]
    fn all_woken(&self) -> impl Iterator<Item = &Arc<Woken<A>>> {
        let main = self.main.is_some().then_some(&self.main_woken);
        let others = self.others.iter().map(|task| &task.woken);
        main.into_iter().chain(others)
    }
}

fn poll<M, A: Alarm>(future: &mut M, woken: &Arc<Woken<A>>) -> Poll<()>
where
    M: Future<Output = ()> + Unpin,
{
    let waker = Waker::from(Arc::clone(woken));
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

impl<A: Alarm> Task<A> {
    fn new(future: LocalFuture, alarm: A) -> Self {
        Self {
            future,
            woken: Woken::new(alarm),
        }
    }

    /// Polls the task if it was woken. Says whether it has more to do.
    fn goes_on(&mut self) -> bool {
        !self.woken.take() || poll(&mut self.future, &self.woken).is_pending()
    }
}

impl<A> Woken<A> {
    /// New futures have to be polled once before anything can wake them.
    fn new(alarm: A) -> Arc<Self> {
        Arc::new(Self {
            flag: AtomicBool::new(true),
            alarm,
        })
    }

    fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    fn take(&self) -> bool {
        self.flag.swap(false, Ordering::Relaxed)
    }
}

impl<A: Alarm> Wake for Woken<A> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.flag.store(true, Ordering::Relaxed);
        self.alarm.ring();
    }
}

#[cfg(test)]
mod tests;
