//! A request's side of an instance that it shares with others (`concurrent`).

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::hub::Hub;
use crate::exchange::{Answer, Exchange};
use crate::fault::Fault;
use crate::lane::inner::{Chore, LaneInner};
use crate::request::Incoming;
use crate::usage::Books;

/// One request's side of a hub.
pub(crate) struct Shared {
    hub: Arc<Hub>,
    exchange: Arc<Exchange>,
    books: Option<Books>,
    lane: Rc<LaneInner>,
}

impl Shared {
    pub(crate) fn start(
        lane: &Rc<LaneInner>,
        hub: Arc<Hub>,
        incoming: Incoming,
        exchange: Arc<Exchange>,
        deadline: Instant,
        books: Books,
    ) -> Self {
        hub.push(incoming, &exchange, deadline.into());
        Self {
            hub,
            exchange,
            books: Some(books),
            lane: Rc::clone(lane),
        }
    }

    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Fault>> {
        self.exchange.poll_answer(cx)
    }

    pub(super) fn books_mut(&mut self) -> Option<&mut Books> {
        self.books.as_mut()
    }

    /// The request is over for its client. What the guest still does for it is bounded by the
    /// hub's driver, and its permit is given back when that is over too.
    pub(super) fn end(&mut self, bytes_out: u64, fault: Option<Fault>) {
        let Some(mut books) = self.books.take() else {
            return;
        };
        books.end(bytes_out, fault);
        if let Some(books) = self.hub.keep_books(&self.exchange, books) {
            let function = self.hub.function().clone();
            self.lane.defer(Chore::End(function, None, books));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.end(0, Some(Fault::ClientGone));
    }
}
