//! The clock that hyper watches while it waits for a request's head.
//!
//! hyper asks for a new timer for each request of a connection, and drops it when the head is there.
//! A timer of the runtime's would be registered and taken back each time. So a connection has one that stays, and each request only moves its deadline: the timer
//! fires too early once in a while and is set again then.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use parking_lot::Mutex;

/// The timers of one connection.
#[derive(Clone, Default)]
pub(super) struct HeadTimer(Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>);

/// One wait. Its deadline is what counts, not when the connection's timer fires.
struct Wait {
    deadline: Instant,
    timer: HeadTimer,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait {
            deadline,
            timer: self.clone(),
        })
    }
}

impl Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.into();
        let mut timer = self.timer.0.lock();
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_at_its_own_deadline() {
        let timer = HeadTimer::default();
        let mut unwoken = Context::from_waker(Waker::noop());
        let start = tokio::time::Instant::now();
        let at = |ms| (start + Duration::from_millis(ms)).into_std();
        // The second is dropped unfinished, as the wait for a head that has come.
        timer.sleep_until(at(50)).await;
        assert_eq!(start.elapsed().as_millis(), 50);
        let mut given_up = timer.sleep_until(at(60));
        assert!(given_up.as_mut().poll(&mut unwoken).is_pending());
        drop(given_up);
        timer.sleep_until(at(100)).await;
        assert_eq!(start.elapsed().as_millis(), 100);
        let mut long = timer.sleep_until(at(500));
        assert!(long.as_mut().poll(&mut unwoken).is_pending());
        timer.sleep_until(at(200)).await;
        assert_eq!(start.elapsed().as_millis(), 200);
    }
}
