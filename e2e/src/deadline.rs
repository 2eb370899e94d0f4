//! Waiting: nothing in a test waits for ever, and nothing waits for a time to pass.

use std::time::{Duration, Instant};

/// The longest that anything is waited for. It only bounds a test that fails: none waits it out.
pub const DEADLINE: Duration = Duration::from_mins(1);
/// The longest that a build is waited for, which begins with an empty target folder.
pub const BUILD_DEADLINE: Duration = Duration::from_mins(10);
/// Time between two looks at something that can't be waited for otherwise.
pub const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Waits for a future; a test that waits longer than [`DEADLINE`] fails and says for what.
///
/// # Panics
///
/// At the deadline.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(DEADLINE, future).await;
    waited.unwrap_or_else(|_| panic!("{what}: not within {} s", DEADLINE.as_secs()))
}

/// Asks again and again until there is an answer.
///
/// # Panics
///
/// At [`DEADLINE`].
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = within(what, ask()).await {
            return value;
        }
        assert!(
            Instant::now() < end,
            "{what}: not within {} s",
            DEADLINE.as_secs()
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
