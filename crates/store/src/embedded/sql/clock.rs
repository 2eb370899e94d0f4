//! Deadlines of those that wait for a connection. Owns the thread that wakes them: the port's futures need no
//! particular runtime, so they can't ask one for its timers.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Instant;

/// Wakes futures when their time has come.
#[derive(Debug)]
pub(super) struct Clock {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    earlier: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Those that wait, of whom there are as many as may wait for connections.
    wakers: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    is_over: bool,
}

impl Clock {
    pub(super) fn start() -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store-sql-clock".to_owned())
            .spawn(move || of_thread.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// What a future gives, if it does in time.
    pub(super) async fn until<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        let mut alarm = Alarm {
            shared: &self.shared,
            key: None,
        };
        std::future::poll_fn(move |context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            Pin::new(&mut alarm).poll(deadline, context).map(|()| None)
        })
        .await
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.earlier.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // It doesn't panic: nothing it calls does.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.state();
        // Between a look at the state and a wait the lock is held: what is told meanwhile is heard.
        while !state.is_over {
            let now = Instant::now();
            let Some(first) = state.wakers.first_entry() else {
                let waited = self.earlier.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let at = first.key().0;
            if at > now {
                let waited = self.earlier.wait_timeout(state, at - now);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let waker = first.remove();
            drop(state);
            waker.wake();
            state = self.state();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock leaves anything half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One future's place, which ends with it.
struct Alarm<'a> {
    shared: &'a Shared,
    key: Option<(Instant, u64)>,
}

impl Alarm<'_> {
    fn poll(mut self: Pin<&mut Self>, deadline: Instant, context: &Context<'_>) -> Poll<()> {
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        let mut state = self.shared.state();
        let key = self.key.unwrap_or((deadline, state.next));
        state.next = state.next.max(key.1 + 1);
        state.wakers.insert(key, context.waker().clone());
        drop(state);
        self.shared.earlier.notify_all();
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.state().wakers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn clock_that_is_dropped_while_it_wakes_somebody_ends() {
        struct Dropping(Mutex<Option<Clock>>);
        impl std::task::Wake for Dropping {
            fn wake(self: Arc<Self>) {
                // As another thread may, in the moment in which the lock is free.
                drop(self.0.lock().unwrap().take());
            }
        }
        let clock = Clock::start().unwrap();
        let (shared, dropping) = (Arc::clone(&clock.shared), Dropping(Mutex::new(Some(clock))));
        let waker = Waker::from(Arc::new(dropping));
        let soon = Instant::now() + Duration::from_millis(1);
        shared.state().wakers.insert((soon, 0), waker);
        shared.earlier.notify_all();
        let thread = Arc::downgrade(&shared);
        drop(shared);
        let deadline = Instant::now() + Duration::from_secs(10);
        while thread.strong_count() > 0 {
            assert!(Instant::now() < deadline, "its thread waits on");
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn who_waits_too_long_is_woken_and_leaves_nothing() {
        let clock = Clock::start().unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        let never = std::future::pending::<()>();
        assert_eq!(clock.until(soon, never).await, None);
        assert!(Instant::now() >= soon);
        let later = Instant::now() + Duration::from_mins(10);
        assert_eq!(clock.until(later, async { 7 }).await, Some(7));
        assert!(clock.shared.state().wakers.is_empty());
    }
}
