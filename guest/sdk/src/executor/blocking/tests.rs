//! The executor with pollables that become ready in an order the test sets.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::{Executor, Pollable, Ready};

/// Becomes ready when the clock, which moves only while the executor waits, reaches it.
struct At(u32);

impl Pollable for At {
    fn wait(pollables: &[&Self]) -> Vec<u32> {
        WAITED_ON.with_borrow_mut(|counts| counts.push(pollables.len()));
        let first = pollables.iter().map(|at| at.0).min().expect("never empty");
        let ready = |(index, at): (usize, &&At)| {
            (at.0 == first).then(|| u32::try_from(index).expect("few pollables"))
        };
        pollables.iter().enumerate().filter_map(ready).collect()
    }
}

thread_local! {
    static EXECUTOR: Executor<At> = const { Executor::new() };
    static WAITED_ON: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

type Log = Rc<RefCell<Vec<&'static str>>>;

fn at(time: u32) -> Ready<At> {
    Ready::new(&EXECUTOR, At(time))
}

fn run<T>(main: impl Future<Output = T>) -> T {
    EXECUTOR.with(|executor| executor.run(main))
}

fn spawn(future: impl Future<Output = ()> + 'static) {
    EXECUTOR.with(|executor| executor.spawn(Box::pin(future)));
}

fn after_main(future: impl Future<Output = ()> + 'static) {
    EXECUTOR.with(|executor| executor.after_main(Box::pin(future)));
}

fn note(log: &Log, what: &'static str) {
    log.borrow_mut().push(what);
}

#[test]
fn a_future_that_is_ready_never_waits() {
    assert_eq!(run(async { 7 }), 7);
    WAITED_ON.with_borrow(|counts| assert!(counts.is_empty()));
}

#[test]
fn what_is_waited_for_is_waited_for_at_once() {
    run(async {
        spawn(at(2));
        spawn(at(1));
        at(3).await;
    });
    WAITED_ON.with_borrow(|counts| assert_eq!(*counts, [3, 2, 1]));
}

#[test]
fn spawned_work_outlives_the_main_future() {
    let log = Log::default();
    let inner = Rc::clone(&log);
    run(async move {
        let work = Rc::clone(&inner);
        spawn(async move {
            at(5).await;
            note(&work, "spawned");
        });
        note(&inner, "main");
    });
    assert_eq!(*log.borrow(), ["main", "spawned"]);
}

#[test]
fn work_for_after_main_starts_when_main_has_ended() {
    let log = Log::default();
    let inner = Rc::clone(&log);
    run(async move {
        let work = Rc::clone(&inner);
        after_main(async move {
            note(&work, "after");
            let more = Rc::clone(&work);
            after_main(async move { note(&more, "after that") });
        });
        at(1).await;
        note(&inner, "main");
    });
    assert_eq!(*log.borrow(), ["main", "after", "after that"]);
}

#[test]
fn a_future_that_wakes_itself_is_polled_again() {
    let mut turns = 0;
    run(poll_fn(|context| {
        turns += 1;
        if turns == 3 {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }));
    assert_eq!(turns, 3);
}

#[test]
fn a_wait_that_is_dropped_is_not_waited_for() {
    run(async {
        {
            let mut early = std::pin::pin!(at(1));
            let polled = poll_fn(|context| Poll::Ready(early.as_mut().poll(context)));
            assert!(polled.await.is_pending());
        }
        at(2).await;
    });
    WAITED_ON.with_borrow(|counts| assert_eq!(*counts, [1]));
}

#[test]
#[should_panic(expected = "nothing is left that could wake it")]
fn a_wait_for_nothing_is_an_error_and_not_a_hang() {
    run(std::future::pending::<()>());
}
