//! The component model's task that a request is: its answer, its place for what the SDK keeps of it, and
//! the set of what it waits for.

use super::super::super::error_code::INTERNAL_ERROR;
use super::super::call::Running;
use super::{
    Response, set_drop, set_new, set_poll, slot_get, slot_set, task_cancel, task_return,
    waitable_join,
};

/// Answers the request. `None` says that there is no answer.
pub(in super::super) fn answer(response: Option<Response>) {
    let (case, payload) = match response {
        Some(response) => (0, response.into_handle()),
        None => (1, u32::from(INTERNAL_ERROR)),
    };
    // SAFETY: the response is given away; the words after it are the error's text, which is absent.
    unsafe { task_return(case, payload, 0, 0, 0, 0, 0, 0) };
}

/// Says that the request will have no answer, as the host asked.
pub(in super::super) fn cancel() {
    task_cancel();
}

/// Keeps what runs until the host calls again.
pub(in super::super) fn park(running: Box<Running>) {
    slot_set(Box::into_raw(running).expose_provenance());
}

/// What was kept when the host called last.
#[allow(clippy::unnecessary_box_returns, reason = "it is kept again as it is")]
pub(in super::super) fn unpark() -> Box<Running> {
    let kept = slot_get();
    assert!(kept != 0, "the host called for a request that has ended");
    slot_set(0);
    // SAFETY: each task has a place of its own, which is zero at first. `park` alone puts anything else
    // there, the only pointer to a box, and it was just taken out.
    unsafe { Box::from_raw(std::ptr::with_exposed_provenance_mut(kept)) }
}

/// What is waited for at once.
pub(in super::super) struct Set(u32);

impl Set {
    pub(in super::super) fn new() -> Self {
        Self(set_new())
    }

    pub(in super::super) fn handle(&self) -> u32 {
        self.0
    }

    /// Takes a waitable in, from the set that it is in.
    pub(in super::super) fn join(&self, waitable: u32) {
        waitable_join(waitable, self.0);
    }

    /// The waitable and the code of an event that has come already.
    pub(in super::super) fn poll(&self) -> Option<(u32, u32)> {
        let mut event = [0; 2];
        // SAFETY: the area is the event's.
        let kind = unsafe { set_poll(self.0, &raw mut event) };
        (kind != 0).then(|| event.into())
    }
}

impl Drop for Set {
    /// It must be empty.
    fn drop(&mut self) {
        set_drop(self.0);
    }
}

/// Takes a waitable out of the set that it is in.
pub(in super::super) fn join_none(waitable: u32) {
    waitable_join(waitable, 0);
}
