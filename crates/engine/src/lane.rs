//! The way of a request into an instance, on one data-plane thread, and the work that can wait until
//! a response is written.
//!
//! Owns the start of a request and the janitor, which does the chores: dropping the last instance
//! and preparing the next, which would otherwise stand between a request and its answer.

pub(crate) mod inner;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use everwarm_manifest::Isolation;
use http::Method;

use crate::exchange::Exchange;
use crate::function::Function;
use crate::hurry;
use crate::invoke::Call;
use crate::invoke::alone::{Alone, Start};
use crate::invoke::shared::Shared;
use crate::outbound::Chain;
use crate::priority;
use crate::request::{Incoming, MoreFields, Request};
use crate::runtime::Runtime;
use crate::usage::{Books, OnEnd};
use inner::LaneInner;

/// Time between two looks at what has fallen idle.
const SWEEP: Duration = Duration::from_secs(1);
/// How often chores let others go before them, one after the other.
const ROUNDS_MAX: usize = 4;

/// See the module's documentation.
#[derive(Clone)]
pub struct Lane(Rc<LaneInner>);

impl Lane {
    /// Makes the lane of the current thread, which becomes one that goes first. [`Self::janitor`]
    /// has to run on it as well.
    pub fn new(runtime: Arc<Runtime>) -> Self {
        priority::be_prompt();
        Self(Rc::new(LaneInner::new(runtime)))
    }

    /// Starts a request, whose wall time counts from `arrived` on and ends with that of its `chain` at the latest, with
    /// `more` fields than it came with. `on_end` is called exactly once, when its books close.
    pub fn call(
        &self,
        function: &Arc<Function>,
        request: Request,
        more: MoreFields,
        arrived: Instant,
        chain: Chain,
        on_end: OnEnd,
    ) -> Call {
        let limits = &function.spec.limits;
        let is_head = request.method() == Method::HEAD;
        let exchange = Exchange::new(is_head);
        let own = arrived + limits.wall_time.duration();
        let deadline = chain.deadline.map_or(own, |deadline| own.min(deadline));
        let chain = Chain {
            deadline: Some(deadline),
            ..chain
        };
        let limit = limits.request_body.as_u64();
        let incoming = Incoming::new(request, more, &exchange, limit, chain);
        if function.spec.isolation == Isolation::Concurrent {
            let hub = self.0.hub(function);
            let books = Books::open(
                Arc::clone(&exchange),
                Arc::clone(hub.meter()),
                arrived,
                on_end,
            );
            let shared = Shared::start(&self.0, hub, incoming, exchange, deadline, books);
            return Call::shared(shared, deadline, is_head);
        }
        let (function, instance) = self.0.take(function);
        let meter = instance
            .as_ref()
            .map_or_else(Arc::default, |i| Arc::clone(i.meter()));
        let books = Books::open(Arc::clone(&exchange), Arc::clone(&meter), arrived, on_end);
        let alone = Alone::start(Start {
            lane: Rc::clone(&self.0),
            function,
            instance,
            incoming,
            exchange,
            meter,
            books,
        });
        Call::alone(alone, deadline, is_head)
    }

    /// Does the lane's chores for ever, each time after what has to be done `before_chores`: a
    /// response that waits to be written goes first. Run it as a task of the same thread.
    pub async fn janitor(&self, before_chores: impl Fn()) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            poll_fn(|cx| self.0.poll_due(cx, &mut sweep)).await;
            before_chores();
            for _ in 0..ROUNDS_MAX {
                if !hurry::was_asked() {
                    break;
                }
                // Comes back when all that can run has run.
                tokio::task::yield_now().await;
                before_chores();
            }
            for _ in 0..self.0.chores() {
                let Some(chore) = self.0.next_chore() else {
                    break;
                };
                self.0.perform(chore).await;
            }
        }
    }

    /// Has [`Self::janitor`] come round at the end of this turn, whether there are chores or not.
    pub fn call_janitor(&self) {
        self.0.call_janitor();
    }

    /// Runs work that no request waits for. It ends with the lane at the latest; whoever starts it bounds how long it
    /// takes. Dropped at once when there is as much as there may be.
    pub fn run_in_background(&self, work: impl Future<Output = ()> + 'static) {
        self.0.run_in_background(Duration::MAX, work);
    }

    /// Waits until no background work is left, or ends it after `limit`.
    pub async fn drain(&self, limit: Duration) {
        let mut background = self.0.give_up_background();
        let all = async { while background.join_next().await.is_some() {} };
        // What is left after the limit ends when the set is dropped.
        let _ = tokio::time::timeout(limit, all).await;
    }
}
