//! Drives a request on hosts that block: when none of its futures is woken, it waits on everything
//! that they wait for at once. It doesn't know what a pollable is.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread::LocalKey;

use super::{Progress, Queue, Tasks};
use crate::local::LocalFuture;

/// Something outside that becomes ready.
pub(crate) trait Pollable: Sized + 'static {
    /// Blocks until at least one is ready. Returns the indices of those that are.
    fn wait(pollables: &[&Self]) -> Vec<u32>;
}

/// What the futures of one instance have started, and what they wait for.
///
/// Without destructors: what lives as long as its thread needs none, and a `thread_local!` that has
/// one registers it at its first use, which a fresh instance would pay for.
pub(crate) struct Executor<P> {
    queue: ManuallyDrop<Queue>,
    waits: ManuallyDrop<RefCell<Vec<Wait<P>>>>,
    next_key: Cell<u64>,
}

struct Wait<P> {
    key: u64,
    pollable: P,
    waker: Waker,
}

impl<P: Pollable> Executor<P> {
    pub(crate) const fn new() -> Self {
        Self {
            queue: ManuallyDrop::new(Queue::new()),
            waits: ManuallyDrop::new(RefCell::new(Vec::new())),
            next_key: Cell::new(0),
        }
    }

    /// Starts a future beside those that run.
    pub(crate) fn spawn(&self, future: LocalFuture) {
        self.queue.spawn(future);
    }

    /// Starts a future once the main one has ended.
    pub(crate) fn after_main(&self, future: LocalFuture) {
        self.queue.after_main(future);
    }

    /// Runs `main` and all that it starts to the end.
    pub(crate) fn run<T>(&self, main: impl Future<Output = T>) -> T {
        let mut output = None;
        self.drive(pin!(async { output = Some(main.await) }));
        output.expect("the main future has ended")
    }

    fn drive(&self, main: Pin<&mut impl Future<Output = ()>>) {
        let mut tasks = Tasks::new(main, (), &self.queue);
        loop {
            match tasks.pass(&self.queue) {
                Progress::Woken => {}
                Progress::Waiting => self.wait(),
                Progress::Ended => return,
            }
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
