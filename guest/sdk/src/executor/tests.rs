//! Futures whose wakers the test holds.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Wake, Waker};

use super::{Alarm, Progress, Queue, Tasks};
use crate::local::LocalFuture;

/// How often it was rung.
#[derive(Clone, Default)]
struct Rings(Arc<AtomicU32>);

impl Alarm for Rings {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A future that ends when it is told so, and what is known of it.
#[derive(Clone, Default)]
struct Probe {
    polls: Rc<Cell<u32>>,
    ends: Rc<Cell<bool>>,
    wakers: Rc<RefCell<Vec<Waker>>>,
}

impl Probe {
    fn future(&self) -> LocalFuture {
        let probe = self.clone();
        Box::pin(poll_fn(move |context| {
            probe.polls.set(probe.polls.get() + 1);
            if probe.ends.get() {
                return Poll::Ready(());
            }
            probe.wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        }))
    }

    fn wake(&self) {
        for waker in self.wakers.take() {
            waker.wake();
        }
    }
}

#[test]
fn what_was_not_woken_is_not_polled() {
    let (main, other, queue) = (Probe::default(), Probe::default(), Queue::new());
    let mut tasks = Tasks::new(main.future(), (), &queue);
    queue.spawn(other.future());
    assert_eq!(tasks.pass(&queue), Progress::Waiting);
    other.wake();
    assert_eq!(tasks.pass(&queue), Progress::Waiting);
    assert_eq!((main.polls.get(), other.polls.get()), (1, 2));
}

#[test]
fn all_has_ended_when_what_was_started_has() {
    let (main, other, queue) = (Probe::default(), Probe::default(), Queue::new());
    let mut tasks = Tasks::new(main.future(), (), &queue);
    queue.after_main(other.future());
    main.ends.set(true);
    assert_eq!(tasks.pass(&queue), Progress::Waiting);
    other.ends.set(true);
    other.wake();
    assert_eq!(tasks.pass(&queue), Progress::Ended);
}

#[test]
fn every_wake_up_rings_the_alarm() {
    let (main, rings, queue) = (Probe::default(), Rings::default(), Queue::new());
    let mut tasks = Tasks::new(main.future(), rings.clone(), &queue);
    assert_eq!(tasks.pass(&queue), Progress::Waiting);
    main.wakers.borrow()[0].wake_by_ref();
    main.wake();
    assert_eq!(rings.0.load(Ordering::Relaxed), 2);
    assert_eq!(tasks.pass(&queue), Progress::Waiting);
    assert_eq!(main.polls.get(), 2);
}

#[test]
fn wakers_are_counted_wherever_they_are() {
    struct PassedOn(Waker);

    impl Wake for PassedOn {
        fn wake(self: Arc<Self>) {
            self.0.wake_by_ref();
        }
    }

    let (main, queue) = (Probe::default(), Queue::new());
    let mut tasks = Tasks::new(main.future(), (), &queue);
    assert_eq!(tasks.pass(&queue), Progress::Waiting);
    assert_eq!(tasks.wakers_len(), 1);
    let waker = main.wakers.borrow()[0].clone();
    assert!(tasks.made(&waker));
    let passed_on = Waker::from(Arc::new(PassedOn(waker)));
    assert!(!tasks.made(&passed_on));
    assert_eq!(tasks.wakers_len(), 2);
    drop(passed_on);
    main.wakers.take();
    assert_eq!(tasks.wakers_len(), 0);
}
