//! Bodies and responses whose progress the test decides.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future as _, pending, poll_fn, ready};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{Failure, Upload, exchange};
use crate::body::BodyError;
use crate::client::SendErrorKind;
use crate::sys::ErrorCode;
use crate::testing::block_on;

/// What a body does when it is polled.
enum Step {
    Wait,
    Fail,
}

/// A body that takes these steps and then ends, and what became of it.
struct Script {
    steps: VecDeque<Step>,
    log: Log,
}

type Log = Rc<RefCell<Vec<&'static str>>>;

impl Script {
    fn new(steps: impl Into<VecDeque<Step>>) -> (Self, Log) {
        let log = Log::default();
        let script = Self {
            steps: steps.into(),
            log: Rc::clone(&log),
        };
        (script, log)
    }
}

impl Upload for Script {
    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self.steps.pop_front() {
            None => {
                self.log.borrow_mut().push("ended");
                Poll::Ready(Ok(()))
            }
            Some(Step::Wait) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Fail) => Poll::Ready(Err(Failure::Body(BodyError::new("ran dry")))),
        }
    }

    fn abandon(&mut self) {
        self.log.borrow_mut().push("abandoned");
        self.steps.clear();
    }
}

fn refused() -> ErrorCode {
    ErrorCode::of(6)
}

#[test]
fn a_response_may_come_before_the_body_is_written() {
    let (body, log) = Script::new([Step::Wait, Step::Wait, Step::Wait]);
    let inner = Rc::clone(&log);
    let answered = block_on(async move {
        let answered = exchange(Some(body), ready(Ok("head"))).await;
        inner.borrow_mut().push("answered");
        answered
    });
    assert_eq!(answered.expect("a response"), "head");
    assert_eq!(*log.borrow(), ["answered", "ended"]);
}

#[test]
fn a_body_is_written_while_the_response_is_awaited() {
    let (body, log) = Script::new([Step::Wait, Step::Wait]);
    let inner = Rc::clone(&log);
    // Answers once it has the whole body.
    let response = poll_fn(move |_| {
        if inner.borrow().is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(Ok("head"))
    });
    let answered = block_on(exchange(Some(body), response));
    assert_eq!(answered.expect("a response"), "head");
    assert_eq!(*log.borrow(), ["ended"]);
}

#[test]
fn a_source_that_fails_breaks_the_exchange_off_and_the_host_hears_of_it() {
    let (body, log) = Script::new([Step::Wait, Step::Fail, Step::Wait]);
    let answered = block_on(exchange(Some(body), pending::<Result<(), _>>()));
    let failure = answered.expect_err("a failed body");
    let error = failure.about(&"http://example.com/".parse().expect("a URI"));
    assert_eq!(error.kind(), SendErrorKind::RequestBodyFailed);
    assert_eq!(
        error.to_string(),
        "http://example.com: the request's body broke off"
    );
    assert_eq!(*log.borrow(), ["abandoned", "ended"]);
}

#[test]
fn a_source_that_fails_after_the_head_is_the_logs() {
    let (body, log) = Script::new([Step::Wait, Step::Fail, Step::Wait]);
    let answered = block_on(exchange(Some(body), ready(Ok(()))));
    assert!(answered.is_ok());
    assert_eq!(*log.borrow(), ["ended"]);
}

#[test]
fn a_refused_request_lets_go_of_its_body() {
    let (body, log) = Script::new([Step::Wait, Step::Wait, Step::Wait, Step::Wait]);
    let answered = block_on(exchange(Some(body), ready(Err::<(), _>(refused()))));
    assert!(matches!(answered, Err(Failure::Code(code)) if code == refused()));
    assert_eq!(*log.borrow(), ["abandoned", "ended"]);
}

/// Says when it is dropped.
struct Logged(&'static str, Log);

impl Drop for Logged {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

impl Upload for Logged {
    fn poll_written(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Pending
    }

    fn abandon(&mut self) {}
}

#[test]
fn an_exchange_that_is_dropped_lets_go_of_the_response_before_the_body() {
    let log = Log::default();
    let body = Logged("body", Rc::clone(&log));
    let response = Logged("response", Rc::clone(&log));
    let response = async move {
        let _response = response;
        pending::<Result<(), ErrorCode>>().await
    };
    let mut context = Context::from_waker(Waker::noop());
    let mut exchanging = Box::pin(exchange(Some(body), response));
    assert!(exchanging.as_mut().poll(&mut context).is_pending());
    drop(exchanging);
    assert_eq!(*log.borrow(), ["response", "body"]);
}

#[test]
fn without_a_body_there_is_only_the_response() {
    let answered = block_on(exchange(None::<Script>, ready(Ok(1))));
    assert_eq!(answered.expect("a response"), 1);
}
