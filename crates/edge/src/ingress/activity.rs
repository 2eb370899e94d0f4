//! What one connection is doing: whether requests are in, since when not, and how many of them were given up.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_engine::fault::Fault;
use http_body::{Body, Frame, SizeHint};

use crate::compress::ResponseBody;

/// Requests that a client may give up before it has to have more that it didn't: a page that is left in the
/// middle gives up dozens. What is beyond is a flood, which HTTP/2 makes cheap for the client alone.
const GIVEN_UP_MAX: u64 = 200;
/// Streams that have ended are forgotten when there are so many: at most as many as requests of a connection at
/// once, and this.
const STREAMS_FORGOTTEN_AT: usize = 16;

/// See the module's documentation. One thread has it, that of the connection's lane.
pub(super) struct Activity {
    /// Responses that are still to come, and when their requests' wall time is over.
    streams: RefCell<Vec<(Instant, Weak<Stream>)>>,
    inside: Cell<u32>,
    /// When it was first seen at rest since its last request. Requests read no clock for it.
    rest_seen: Cell<Option<Instant>>,
    requests: Cell<u64>,
    given_up: Cell<u64>,
}

/// A request that is in until its response has been handed over.
pub(super) struct Inside {
    activity: Rc<Activity>,
    is_over: bool,
}

impl Activity {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            streams: RefCell::default(),
            inside: Cell::new(0),
            rest_seen: Cell::new(Some(Instant::now())),
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

    /// For how long no request has been in, as far as is known: from when this was first asked since the last one.
    /// `None` while one is in.
    pub(super) fn idle_time(&self) -> Option<Duration> {
        if self.inside.get() > 0 {
            return None;
        }
        let now = Instant::now();
        let since = self.rest_seen.get().unwrap_or(now);
        self.rest_seen.set(Some(since));
        Some(now.duration_since(since))
    }

    /// Ends the requests whose wall time is over. They do so themselves when they are asked for their bodies; a
    /// client that takes nothing has nobody ask.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        let mut expired = Vec::new();
        self.streams.borrow_mut().retain(|(deadline, stream)| {
            let stream = stream.upgrade();
            let is_over = *deadline <= now;
            expired.extend(stream.iter().filter(|_| is_over).cloned());
            stream.is_some() && !is_over
        });
        for stream in expired {
            let held = stream.borrow_mut().take();
            if let Some(Held { body, mut inside }) = held {
                inside.is_over = true;
                body.expire();
            }
        }
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
        activity.rest_seen.set(None);
    }
}

/// A response's body, whose request is in as long as the body is.
pub(super) struct Attended(Kind);

enum Kind {
    Own(Held),
    /// One that is still to come. The connection can end it when its time is over.
    Shared(Rc<Stream>),
}

struct Held {
    body: ResponseBody,
    inside: Inside,
}

/// `None` when it was ended.
type Stream = RefCell<Option<Held>>;

impl Attended {
    pub(super) fn new(body: ResponseBody, inside: Inside) -> Self {
        let deadline = body.deadline();
        let activity = Rc::clone(&inside.activity);
        let held = Held { body, inside };
        let Some(deadline) = deadline else {
            return Self(Kind::Own(held));
        };
        let stream = Rc::new(RefCell::new(Some(held)));
        let mut streams = activity.streams.borrow_mut();
        if streams.len() >= STREAMS_FORGOTTEN_AT {
            streams.retain(|(_, stream)| stream.strong_count() > 0);
        }
        streams.push((deadline, Rc::downgrade(&stream)));
        Self(Kind::Shared(stream))
    }
}

impl Held {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // What breaks off by itself wasn't given up by the client.
        self.inside.is_over |= matches!(frame, Poll::Ready(None | Some(Err(_))));
        frame
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        let settle = |held: &mut Held| held.inside.is_over |= held.body.is_handed_over();
        match &mut self.0 {
            Kind::Own(held) => settle(held),
            Kind::Shared(stream) => {
                if let Some(held) = stream.borrow_mut().as_mut() {
                    settle(held);
                }
            }
        }
    }
}

impl Body for Attended {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.0 {
            Kind::Own(held) => held.poll_frame(cx),
            Kind::Shared(stream) => match &mut *stream.borrow_mut() {
                Some(held) => held.poll_frame(cx),
                None => Poll::Ready(Some(Err(Fault::WallLimit))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Own(held) => held.body.is_end_stream(),
            Kind::Shared(stream) => {
                let stream = stream.borrow();
                stream
                    .as_ref()
                    .is_some_and(|held| held.body.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Own(held) => held.body.size_hint(),
            Kind::Shared(stream) => {
                let stream = stream.borrow();
                stream
                    .as_ref()
                    .map_or_else(SizeHint::default, |held| held.body.size_hint())
            }
        }
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
