//! Whether a request of this thread waits for what another of its tasks is about to do, as one does that sends a request or calls
//! another function.
//!
//! Owns that mark, one a thread, between those who wait and the janitor of the thread's lane. What the janitor does about it is
//! the lane's. A thread without a lane leaves it where it is.

use std::cell::Cell;

thread_local! {
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Has what can run on this thread go before its lane's chores. Otherwise the request would wait for the making of instances
/// that nobody needs yet.
pub fn ask() {
    ASKED.set(true);
}

/// Whether somebody asked. Once true, it is false until the next one does.
pub(crate) fn was_asked() -> bool {
    ASKED.take()
}
