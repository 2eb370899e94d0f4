//! One request's exchange between a guest and the connection that waits for it.
//!
//! The guest side gives the head of the response once; the connection side takes it. Owns who came
//! first and the figures of the request. No channel: one small lock that is never contended, since
//! both sides nearly always run on the same thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use http::header::CONTENT_LENGTH;
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
    /// The request is HEAD: the response's fields are those of another one, which has a body.
    is_head: bool,
    state: Mutex<State>,
    bytes_in: AtomicU64,
    cpu_ns: AtomicU64,
}

impl Exchange {
    pub(crate) fn new(is_head: bool) -> Arc<Self> {
        Arc::new(Self {
            is_head,
            ..Self::default()
        })
    }

    /// Gives the response. Returns false when there was one already.
    pub(crate) fn answer(&self, answer: Answer) -> bool {
        let Ok(declared) = declared_length(&answer.headers) else {
            if let Some(pipe) = &answer.body {
                pipe.close_reader();
            }
            return self.fail(Fault::BadAnswer("its Content-Length is no length".into()));
        };
        if let Some(pipe) = &answer.body {
            let is_of_this_body = !self.is_head && may_have_content(answer.status);
            pipe.attach(declared.filter(|_| is_of_this_body));
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

/// Whether a response of this status can have content (RFC 9110, sections 15.3.5 and 15.4.5). A guest gives
/// none that is informational.
pub(crate) fn may_have_content(status: StatusCode) -> bool {
    status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// The declared length, if there is one (RFC 9110, section 8.6). Servers differ in what they make of one
/// that is wrong, so it must not get as far as theirs.
pub(crate) fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if value.as_bytes().iter().all(u8::is_ascii_digit) => {
            let length = value.to_str().ok().and_then(|value| value.parse().ok());
            length.map(Some).ok_or(())
        }
        (Some(_), _) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn declared(values: &[&'static str]) -> Result<Option<u64>, ()> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
        }
        declared_length(&headers)
    }

    #[test]
    fn a_length_is_digits_and_given_once() {
        assert_eq!(declared(&[]), Ok(None));
        assert_eq!(declared(&["0"]), Ok(Some(0)));
        assert_eq!(declared(&["18446744073709551615"]), Ok(Some(u64::MAX)));
        for wrong in [
            "",
            "+1",
            "-1",
            "1,1",
            "0x1",
            " 1",
            "1e3",
            "18446744073709551616",
        ] {
            assert_eq!(declared(&[wrong]), Err(()), "{wrong:?}");
        }
        assert_eq!(declared(&["1", "1"]), Err(()));
    }
}
