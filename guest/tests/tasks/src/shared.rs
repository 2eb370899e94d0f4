//! What one request leaves for another: a waker, and a timer that it has begun to wait for.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Poll, Waker};

use everwarm_sdk::{Error, Result, sleep};

use crate::SHORT;

type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    static WAITING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    static WOKEN: RefCell<u64> = const { RefCell::new(0) };
    static LENT: RefCell<Vec<Timer>> = const { RefCell::new(Vec::new()) };
}

/// Waits until another request wakes all that wait.
pub(crate) async fn wait() -> String {
    let before = WOKEN.with_borrow(|woken| *woken);
    poll_fn(|context| {
        if WOKEN.with_borrow(|woken| *woken) > before {
            return Poll::Ready(());
        }
        WAITING.with_borrow_mut(|waiting| waiting.push(context.waker().clone()));
        Poll::Pending
    })
    .await;
    "woken\n".to_owned()
}

/// Wakes all that wait, and says how many that were.
pub(crate) fn wake() -> String {
    let waiting = WAITING.take();
    WOKEN.with_borrow_mut(|woken| *woken += u64::from(!waiting.is_empty()));
    let len = waiting.len();
    for waker in waiting {
        waker.wake_by_ref();
        waker.wake();
    }
    format!("{len}\n")
}

/// Begins to wait, and leaves the rest of it to another request.
pub(crate) async fn lend_timer() -> String {
    let mut timer: Timer = Box::pin(sleep(SHORT * 50));
    let polled = poll_fn(|context| Poll::Ready(timer.as_mut().poll(context))).await;
    LENT.with_borrow_mut(|lent| lent.push(timer));
    format!("{}\n", polled.is_pending())
}

/// Ends what another request began.
pub(crate) async fn borrow_timer() -> Result<String> {
    let timer = LENT.with_borrow_mut(Vec::pop);
    timer
        .ok_or_else(|| Error::not_found("nothing was lent"))?
        .await;
    Ok("borrowed\n".to_owned())
}
