//! Drives one request's futures on hosts that block: polls what was woken and, when nothing was,
//! waits on everything that is waited for at once. It doesn't know what a pollable is.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::LocalKey;

use crate::local::LocalFuture;

/// Something outside that becomes ready.
pub(crate) trait Pollable: Sized + 'static {
    /// Blocks until at least one is ready. Returns the indices of those that are.
    fn wait(pollables: &[&Self]) -> Vec<u32>;
}

/// The futures of one instance, and what they wait for.
///
/// Without destructors: what lives as long as its thread needs none, and a `thread_local!` that has
/// one registers it at its first use, which a fresh instance would pay for.
pub(crate) struct Executor<P> {
    spawned: ManuallyDrop<RefCell<Vec<LocalFuture>>>,
    after: ManuallyDrop<RefCell<Vec<LocalFuture>>>,
    answered: Cell<bool>,
    waits: ManuallyDrop<RefCell<Vec<Wait<P>>>>,
    next_key: Cell<u64>,
}

struct Wait<P> {
    key: u64,
    pollable: P,
    waker: Waker,
}

struct Task {
    future: LocalFuture,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl<P: Pollable> Executor<P> {
    pub(crate) const fn new() -> Self {
        Self {
            spawned: ManuallyDrop::new(RefCell::new(Vec::new())),
            after: ManuallyDrop::new(RefCell::new(Vec::new())),
            answered: Cell::new(false),
            waits: ManuallyDrop::new(RefCell::new(Vec::new())),
            next_key: Cell::new(0),
        }
    }

    /// Starts a future beside those that run.
    pub(crate) fn spawn(&self, future: LocalFuture) {
        self.spawned.borrow_mut().push(future);
    }

    /// Starts a future once the main one has ended.
    pub(crate) fn after_main(&self, future: LocalFuture) {
        if self.answered.get() {
            self.spawn(future);
        } else {
            self.after.borrow_mut().push(future);
        }
    }

    /// Runs `main` and all that it starts to the end.
    pub(crate) fn run<T>(&self, main: impl Future<Output = T>) -> T {
        self.answered.set(false);
        let mut main = pin!(main);
        let main_woken = Woken::new();
        let main_waker = Waker::from(Arc::clone(&main_woken));
        let mut output = None;
        let mut tasks: Vec<Task> = Vec::new();
        loop {
            if output.is_none()
                && main_woken.take()
                && let Poll::Ready(value) =
                    main.as_mut().poll(&mut Context::from_waker(&main_waker))
            {
                output = Some(value);
                self.answered.set(true);
                let after = self.after.take();
                self.spawned.borrow_mut().extend(after);
            }
            tasks.extend(self.spawned.take().into_iter().map(Task::new));
            tasks.retain_mut(Task::goes_on);
            let idle = self.spawned.borrow().is_empty()
                && !tasks.iter().any(|task| task.woken.is_set())
                && (output.is_some() || !main_woken.is_set());
            if !idle {
                continue;
            }
            if tasks.is_empty()
                && let Some(output) = output.take()
            {
                return output;
            }
            self.wait();
        }
    }

    fn wait(&self) {
        let mut waits = self.waits.borrow_mut();
        assert!(
            !waits.is_empty(),
            "the handler waits for something that can't happen: nothing is left that could wake it"
        );
        let pollables: Vec<&P> = waits.iter().map(|wait| &wait.pollable).collect();
        let mut is_ready = vec![false; pollables.len()];
        for index in P::wait(&pollables) {
            if let Some(is_ready) = is_ready.get_mut(index as usize) {
                *is_ready = true;
            }
        }
        let mut is_ready = is_ready.into_iter();
        let woken: Vec<Wait<P>> = waits
            .extract_if(.., |_| is_ready.next().unwrap_or_default())
            .collect();
        drop(waits);
        for wait in woken {
            drop(wait.pollable);
            wait.waker.wake();
        }
    }
}

impl Task {
    fn new(future: LocalFuture) -> Self {
        Self {
            future,
            woken: Woken::new(),
        }
    }

    /// Polls the task if it was woken. Says whether it has more to do.
    fn goes_on(&mut self) -> bool {
        if !self.woken.take() {
            return true;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    }
}

impl Woken {
    /// New futures have to be polled once before anything can wake them.
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until a pollable is ready. Dropping it drops the pollable, which a host may demand before
/// it lets go of what the pollable watches.
pub(crate) struct Ready<P: Pollable> {
    executor: &'static LocalKey<Executor<P>>,
    state: State<P>,
}

enum State<P> {
    New(P),
    Waiting(u64),
    Done,
}

impl<P: Pollable> Ready<P> {
    pub(crate) fn new(executor: &'static LocalKey<Executor<P>>, pollable: P) -> Self {
        Self {
            executor,
            state: State::New(pollable),
        }
    }
}

impl<P: Pollable> Unpin for Ready<P> {}

impl<P: Pollable> Future for Ready<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker();
        match std::mem::replace(&mut self.state, State::Done) {
            State::Done => Poll::Ready(()),
            State::New(pollable) => {
                let key = self.executor.with(|executor| {
                    let key = executor.next_key.get();
                    executor.next_key.set(key + 1);
                    executor.waits.borrow_mut().push(Wait {
                        key,
                        pollable,
                        waker: waker.clone(),
                    });
                    key
                });
                self.state = State::Waiting(key);
                Poll::Pending
            }
            State::Waiting(key) => {
                let waits_still = self.executor.with(|executor| {
                    let mut waits = executor.waits.borrow_mut();
                    let wait = waits.iter_mut().find(|wait| wait.key == key);
                    wait.map(|wait| wait.waker.clone_from(waker)).is_some()
                });
                if !waits_still {
                    return Poll::Ready(());
                }
                self.state = State::Waiting(key);
                Poll::Pending
            }
        }
    }
}

impl<P: Pollable> Drop for Ready<P> {
    fn drop(&mut self) {
        if let State::Waiting(key) = self.state {
            self.executor.with(|executor| {
                executor.waits.borrow_mut().retain(|wait| wait.key != key);
            });
        }
    }
}

#[cfg(test)]
mod tests;
