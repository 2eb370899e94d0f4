//! What one connection is doing: whether requests are in, since when not, and how many of them were given up.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body::{Body, Frame, SizeHint};

/// Requests that a client may give up before it has to have more that it didn't: a page that is left in the
/// middle gives up dozens. What is beyond is a flood, which HTTP/2 makes cheap for the client alone.
const GIVEN_UP_MAX: u64 = 200;

/// See the module's documentation. One thread has it, that of the connection's lane.
#[derive(Debug)]
pub(super) struct Activity {
    inside: Cell<u32>,
    /// When the last request ended, or the connection began.
    rest_began: Cell<Instant>,
    requests: Cell<u64>,
    given_up: Cell<u64>,
}

/// A request that is in until its response has been handed over.
#[derive(Debug)]
pub(super) struct Inside {
    activity: Rc<Activity>,
    is_over: bool,
}

impl Activity {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            inside: Cell::new(0),
            rest_began: Cell::new(Instant::now()),
            requests: Cell::new(0),
            given_up: Cell::new(0),
        })
    }

    pub(super) fn enter(self: &Rc<Self>) -> Inside {
        self.inside.set(self.inside.get() + 1);
        self.requests.set(self.requests.get() + 1);
        Inside {
            activity: Rc::clone(self),
            is_over: false,
        }
    }

    /// For how long no request has been in. `None` while one is.
    pub(super) fn idle_time(&self) -> Option<Duration> {
        (self.inside.get() == 0).then(|| self.rest_began.get().elapsed())
    }

    /// Whether the client gives its requests up, most of them.
    pub(super) fn is_flood(&self) -> bool {
        let given_up = self.given_up.get();
        given_up > GIVEN_UP_MAX && 2 * given_up > self.requests.get()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let activity = &self.activity;
        activity
            .given_up
            .update(|count| count + u64::from(!self.is_over));
        activity.inside.update(|count| count - 1);
        if activity.inside.get() == 0 {
            activity.rest_began.set(Instant::now());
        }
    }
}

/// A response's body whose request is in as long as the body is.
#[derive(Debug)]
pub(super) struct Attended<B> {
    body: B,
    inside: Inside,
}

impl<B> Attended<B> {
    pub(super) fn new(body: B, inside: Inside) -> Self {
        Self { body, inside }
    }
}

impl<B: Body + Unpin> Body for Attended<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // What breaks off by itself wasn't given up by the client.
        self.inside.is_over |= matches!(frame, Poll::Ready(None | Some(Err(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_is_idle_when_its_last_request_has_ended() {
        let activity = Activity::new();
        assert!(activity.idle_time().is_some());
        let (one, two) = (activity.enter(), activity.enter());
        drop(one);
        assert!(activity.idle_time().is_none());
        drop(two);
        assert!(activity.idle_time().is_some());
    }

    #[test]
    fn client_that_gives_up_most_of_its_requests_is_a_flood() {
        let activity = Activity::new();
        let finish = || activity.enter().is_over = true;
        for _ in 0..GIVEN_UP_MAX {
            drop(activity.enter());
        }
        assert!(!activity.is_flood());
        for _ in 0..=GIVEN_UP_MAX {
            finish();
        }
        drop(activity.enter());
        assert!(!activity.is_flood(), "it takes more than it gives up");
        drop(activity.enter());
        assert!(activity.is_flood());
    }
}
