//! One request in one instance, from the call to the end of background work.
//!
//! Owns the life of a [`Call`]: the guest is polled inside the future of the connection that waits
//! for it, so a response that is ready at once costs no task and no channel. `concurrent` functions
//! share an instance, which a driver of its own polls.

pub(crate) mod alone;
mod body;
pub(crate) mod hub;
pub(crate) mod shared;
mod wasi02;
mod wasi03;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

pub use body::{GuestBody, OtherBody, Tap};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use tokio::time::Sleep;

use crate::exchange::{Answer, may_have_content};
use crate::fault::Fault;
use crate::function::FunctionSpec;
use alone::Alone;
use shared::Shared;

/// A request that a guest is working on. Dropping it cancels the request.
pub struct Call {
    guest: Guest,
    deadline: Deadline,
    is_head: bool,
}

enum Guest {
    Alone(Box<Alone>),
    Shared(Box<Shared>),
}

/// The end of a request's wall time. The timer is made only when the guest first has to wait.
struct Deadline {
    at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn at(at: Instant) -> Self {
        Self { at, timer: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at.into();
        self.timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)))
            .as_mut()
            .poll(cx)
    }
}

impl Call {
    pub(crate) fn alone(alone: Alone, deadline: Instant, is_head: bool) -> Self {
        Self {
            guest: Guest::Alone(Box::new(alone)),
            deadline: Deadline::at(deadline),
            is_head,
        }
    }

    pub(crate) fn shared(shared: Shared, deadline: Instant, is_head: bool) -> Self {
        Self {
            guest: Guest::Shared(Box::new(shared)),
            deadline: Deadline::at(deadline),
            is_head,
        }
    }

    /// Waits for the response. The guest goes on inside the response's body.
    ///
    /// # Errors
    ///
    /// When the guest gave no response, for whatever [`Fault`].
    pub async fn answer(mut self) -> Result<http::Response<GuestBody>, Fault> {
        let answer = std::future::poll_fn(|cx| self.poll_answer(cx)).await;
        match answer {
            Ok(answer) => {
                if let Some(fault) = answer.body.as_ref().and_then(|pipe| pipe.take_broken()) {
                    self.guest.break_off(0, fault.clone());
                    return Err(fault);
                }
                Ok(self.respond(answer))
            }
            Err(fault) => {
                self.guest.break_off(0, fault.clone());
                Err(fault)
            }
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Fault>> {
        if let Poll::Ready(answer) = self.guest.poll_answer(cx) {
            return Poll::Ready(answer);
        }
        self.deadline.poll(cx).map(|()| Err(Fault::WallLimit))
    }

    /// Makes the HTTP response. A body that is complete already becomes one piece with its head; one that
    /// HTTP has no place for is thrown away here, since servers do so for some versions of it only.
    fn respond(mut self, answer: Answer) -> http::Response<GuestBody> {
        let Answer {
            status,
            mut headers,
            body,
        } = answer;
        self.guest.answered(status);
        let body = match body {
            None => {
                self.guest.complete(0);
                GuestBody::full(Bytes::new())
            }
            Some(pipe) if self.is_head || !may_have_content(status) => {
                // The fields of an answer to HEAD are those of the answer to GET.
                if may_have_content(status)
                    && let Some(bytes) = pipe.take_if_short()
                    && !bytes.is_empty()
                {
                    headers.entry(CONTENT_LENGTH).or_insert(bytes.len().into());
                }
                pipe.throw_away();
                self.guest.complete(0);
                GuestBody::full(Bytes::new())
            }
            Some(pipe) => match pipe.take_if_short() {
                Some(bytes) => {
                    self.guest.complete(bytes.len() as u64);
                    GuestBody::full(bytes)
                }
                None => GuestBody::streaming(self, pipe),
            },
        };
        if status == StatusCode::NO_CONTENT {
            headers.remove(CONTENT_LENGTH);
        }
        let mut response = http::Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

impl Guest {
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Fault>> {
        match self {
            Self::Alone(alone) => alone.poll_answer(cx),
            Self::Shared(shared) => shared.poll_answer(cx),
        }
    }

    /// Lets the guest go on while its response's body is read.
    fn poll_on(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Alone(alone) => alone.poll_on(cx),
            // Its driver polls it.
            Self::Shared(_) => {}
        }
    }

    fn answered(&mut self, status: StatusCode) {
        let books = match self {
            Self::Alone(alone) => alone.books_mut(),
            Self::Shared(shared) => shared.books_mut(),
        };
        if let Some(books) = books {
            books.status = Some(status);
        }
    }

    fn complete(&mut self, bytes_out: u64) {
        match self {
            Self::Alone(alone) => alone.complete(bytes_out),
            Self::Shared(shared) => shared.end(bytes_out, None),
        }
    }

    fn break_off(&mut self, bytes_out: u64, fault: Fault) {
        match self {
            Self::Alone(alone) => alone.end(bytes_out, Some(fault)),
            Self::Shared(shared) => shared.end(bytes_out, Some(fault)),
        }
    }
}

/// Says in the log that work after a response was ended before it was done: nobody else is told.
fn report_background_cut(spec: &FunctionSpec) {
    tracing::warn!(
        app = %spec.app,
        function = %spec.name,
        limit_ms = spec.limits.background_time.as_u64(),
        "work after a response was ended at the limit `background_time`"
    );
}
