//! Calls to the host that go on after they have returned: subtasks of the component model.

use std::task::{Context, Poll, ready};

use super::super::waits::Wait;
use super::{join_none, subtask_cancel, subtask_drop, wait_for};

/// The state of a call that has ended with a result.
const RETURNED: u32 = 2;

/// A call that goes on. What the host may write its result to has to stay until it has ended.
pub(super) struct Subtask {
    wait: Wait,
    is_over: bool,
}

impl Subtask {
    /// Takes over what a call returned: its state, and its handle. `None` when the call has ended.
    pub(super) fn of(packed: u32) -> Option<Self> {
        (packed & 0xf != RETURNED).then(|| Self {
            wait: Wait::new(packed >> 4),
            is_over: false,
        })
    }

    /// Is ready once the call has ended.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.is_over {
            self.is_over = ready!(self.wait.poll(context)) == RETURNED;
        }
        Poll::Ready(())
    }

    /// Ends the call. Says whether it had a result by then.
    pub(super) fn cancel(&mut self) -> bool {
        if std::mem::replace(&mut self.is_over, true) {
            return true;
        }
        let handle = self.wait.handle();
        let state = match self.wait.leave() {
            Some(RETURNED) => RETURNED,
            came => {
                if came.is_some() {
                    // The event was one on the way, and the call is still among what is waited for.
                    join_none(handle);
                }
                subtask_cancel(handle)
            }
        };
        state == RETURNED
    }
}

impl Drop for Subtask {
    fn drop(&mut self) {
        self.cancel();
        subtask_drop(self.wait.handle());
    }
}

/// A while to wait.
pub(in super::super) struct Timer(Subtask);

impl Timer {
    /// Starts to wait this long. `None` when that is over at once.
    pub(in super::super) fn start(nanoseconds: u64) -> Option<Self> {
        Subtask::of(wait_for(nanoseconds)).map(Self)
    }

    pub(in super::super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll(context)
    }
}
