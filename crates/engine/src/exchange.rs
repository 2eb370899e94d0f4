//! One request's exchange between a guest and the connection that waits for it.
//!
//! The guest side gives the head of the response once; the connection side takes it. Owns who came
//! first and the figures of the request. No channel: one small lock that is never contended, since
//! both sides nearly always run on the same thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use crate::fault::Fault;
use crate::meter::Payer;
use crate::pipe::{End, Pipe};

/// The head of a response, and where its body will come from.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Arc<Pipe>>,
}

#[derive(Debug, Default)]
struct State {
    answer: Option<Result<Answer, Fault>>,
    answered: bool,
    waiter: Option<Waker>,
    pipe: Option<Arc<Pipe>>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    state: Mutex<State>,
    bytes_in: AtomicU64,
    cpu_ns: AtomicU64,
}

impl Exchange {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Gives the response. Returns false when there was one already.
    pub(crate) fn answer(&self, answer: Answer) -> bool {
        if let Some(pipe) = &answer.body {
            pipe.attach(declared_length(&answer.headers));
            self.state.lock().pipe = Some(Arc::clone(pipe));
        }
        self.put(Ok(answer))
    }

    /// Gives a fault in place of the response, unless there was one already.
    pub(crate) fn fail(&self, fault: Fault) -> bool {
        self.put(Err(fault))
    }

    /// Gives a fault in place of the response, or of the rest of its body.
    pub(crate) fn fail_or_break(&self, fault: Fault) {
        if !self.fail(fault.clone())
            && let Some(pipe) = self.pipe()
        {
            // A body that has ended already stays as it ended.
            let _ = pipe.end(End::Broken(fault));
        }
    }

    /// The guest has ended: whatever it left open ends too.
    pub(crate) fn guest_ended(&self) {
        if !self.fail(Fault::NeverAnswered)
            && let Some(pipe) = self.pipe()
        {
            let _ = pipe.end(End::Broken(Fault::BodyDropped));
        }
    }

    /// Ready once the guest has ended the response's body, or there is none.
    pub(crate) fn poll_body_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.pipe()
            .map_or(Poll::Ready(()), |pipe| pipe.poll_ended(cx))
    }

    fn pipe(&self) -> Option<Arc<Pipe>> {
        self.state.lock().pipe.clone()
    }

    fn put(&self, answer: Result<Answer, Fault>) -> bool {
        let mut state = self.state.lock();
        if state.answered {
            return false;
        }
        state.answered = true;
        state.answer = Some(answer);
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        true
    }

    /// Takes the response once it is there.
    pub(crate) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Result<Answer, Fault>> {
        let mut state = self.state.lock();
        if let Some(answer) = state.answer.take() {
            return Poll::Ready(answer);
        }
        state.waiter = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn count_bytes_in(&self, bytes: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    pub(crate) fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Ordering::Relaxed)
    }
}

impl Payer for Exchange {
    fn charge(&self, ns: u64, _interrupted: bool) {
        self.cpu_ns.fetch_add(ns, Ordering::Relaxed);
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(http::header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
