//! Which request a future belongs to, so that work for after a response waits for that one and no
//! other. The scope is set while a future of the request is polled.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;

use wasip3::spawn_local;

use crate::local::LocalFuture;

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// One request. The work is `None` once the response has ended: later work starts at once.
#[derive(Clone)]
pub(super) struct Scope(Rc<RefCell<Option<Vec<LocalFuture>>>>);

impl Default for Scope {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Some(Vec::new()))))
    }
}

impl Scope {
    /// Runs a future as this request's.
    pub(super) async fn enter<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|context| {
            let outer = CURRENT.replace(Some(self.clone()));
            let polled = future.as_mut().poll(context);
            CURRENT.set(outer);
            polled
        })
        .await
    }

    /// Starts a future as this request's.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let scope = self.clone();
        spawn_local(async move { scope.enter(future).await });
    }

    /// The response has ended: starts what waited for that.
    pub(super) fn end_response(&self) {
        let waiting = self.0.borrow_mut().take();
        for work in waiting.into_iter().flatten() {
            self.spawn(work);
        }
    }
}

fn current() -> Scope {
    CURRENT.with_borrow(|scope| {
        // Futures run inside a request's scope only; there is no other way into a component.
        scope
            .clone()
            .expect("spawn and wait_until are called while a request is handled")
    })
}

pub(crate) fn spawn(work: LocalFuture) {
    current().spawn(work);
}

pub(crate) fn wait_until(work: LocalFuture) {
    let scope = current();
    let mut waiting = scope.0.borrow_mut();
    if let Some(waiting) = waiting.as_mut() {
        waiting.push(work);
    } else {
        drop(waiting);
        scope.spawn(work);
    }
}
