//! Requests of one instance that wait for each other, and futures of the `wasip3` crate in a handler on
//! the SDK. The path says which.

mod foreign;
mod shared;

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use everwarm_sdk::{Error, LazyRequest, Result, sleep};
use futures_util::future::{Either, join_all, select};

#[everwarm_sdk::http]
async fn tasks(request: LazyRequest) -> Result<String> {
    match request.path_and_query().as_str() {
        "/wait" => Ok(shared::wait().await),
        "/wake" => Ok(shared::wake()),
        "/lend-timer" => Ok(shared::lend_timer().await),
        "/borrow-timer" => shared::borrow_timer().await,
        "/drop-timers" => Ok(drop_timers().await),
        "/many-timers" => Ok(many_timers().await),
        "/busy-until-timer" => Ok(busy_until_timer().await),
        "/wait-for-nothing" => pending().await,
        "/foreign-timer" => Ok(foreign::timer().await),
        "/foreign-spawn" => Ok(foreign::spawn().await),
        "/foreign-stream" => Ok(foreign::stream().await),
        "/foreign-cancel" => Ok(foreign::cancel().await),
        "/foreign-after" => Ok(foreign::after()),
        "/foreign-ended" => Ok(foreign::ended()),
        path => Err(Error::not_found(format!("no behaviour is called {path}"))),
    }
}

const SHORT: Duration = Duration::from_millis(1);
const NEVER: Duration = Duration::from_hours(1);

/// Timers that are given up while the host still counts.
async fn drop_timers() -> String {
    for _ in 0..20 {
        let never = pin!(sleep(NEVER));
        let short = pin!(sleep(SHORT));
        if let Either::Left(_) = select(never, short).await {
            return "an hour has passed\n".to_owned();
        }
    }
    "dropped\n".to_owned()
}

/// Timers whose wakers are not the request's own.
async fn many_timers() -> String {
    let timers = (0..100).map(|number| async move {
        sleep(SHORT * (number % 7)).await;
        u64::from(number)
    });
    let sum: u64 = join_all(timers).await.into_iter().sum();
    format!("{sum}\n")
}

/// A future that always has more to do, beside one that waits for the host.
async fn busy_until_timer() -> String {
    let mut turns = 0u64;
    let busy = poll_fn(|context| {
        turns += 1;
        context.waker().wake_by_ref();
        Poll::<()>::Pending
    });
    select(pin!(busy), pin!(sleep(SHORT * 20))).await;
    format!("{}\n", turns > 1)
}
