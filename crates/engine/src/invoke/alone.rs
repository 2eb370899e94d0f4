//! A request that has an instance to itself (`request` and `serial`).

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{report_background_cut, wasi02, wasi03};
use crate::exchange::{Answer, Exchange};
use crate::fault::Fault;
use crate::function::Function;
use crate::instance::{Exports, Finished, Instance};
use crate::lane::inner::{Chore, LaneInner};
use crate::meter::Meter;
use crate::own::Own;
use crate::request::Incoming;
use crate::runtime::Runtime;
use crate::task::{Conditions, GuestTask};
use crate::usage::Books;

/// See the module's documentation.
pub(crate) struct Alone {
    /// `None` once the guest has ended.
    task: Option<GuestTask<Finished>>,
    finished: Option<Finished>,
    books: Option<Books>,
    exchange: Arc<Exchange>,
    function: Own<Function>,
    lane: Rc<LaneInner>,
}

/// What [`Alone::start`] needs.
pub(crate) struct Start {
    pub(crate) lane: Rc<LaneInner>,
    pub(crate) function: Own<Function>,
    /// One that was prepared or left by an earlier request; else one is made.
    pub(crate) instance: Option<Instance>,
    pub(crate) incoming: Incoming,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) books: Books,
}

impl Alone {
    pub(crate) fn start(start: Start) -> Self {
        let Start {
            lane,
            function,
            instance,
            incoming,
            exchange,
            meter,
            books,
        } = start;
        let runtime = lane.runtime.clone();
        let conditions = Conditions {
            meter: Arc::clone(&meter),
            payer: Arc::clone(&exchange) as _,
            runtime: runtime.clone(),
            start_away: function.weight.is_heavy(),
        };
        let future = run(
            runtime,
            function.clone(),
            instance,
            meter,
            incoming,
            Arc::clone(&exchange),
        );
        Self {
            task: Some(GuestTask::new(future, conditions)),
            finished: None,
            books: Some(books),
            exchange,
            function,
            lane,
        }
    }

    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Fault>> {
        // Polled even if the answer is there already: what the guest can write at once goes out
        // together with the head.
        self.poll_on(cx);
        match self.exchange.poll_answer(cx) {
            Poll::Pending if self.task.is_none() => Poll::Ready(Err(Fault::NeverAnswered)),
            poll => poll,
        }
    }

    pub(super) fn books_mut(&mut self) -> Option<&mut Books> {
        self.books.as_mut()
    }

    pub(super) fn poll_on(&mut self, cx: &mut Context<'_>) {
        let Some(task) = &mut self.task else { return };
        if let Poll::Ready(finished) = task.poll(cx) {
            self.task = None;
            self.finished = Some(finished.unwrap_or_else(|| {
                self.exchange.fail_or_break(Fault::Draining);
                Finished {
                    instance: None,
                    fault: Some(Fault::Draining),
                }
            }));
        }
    }

    /// The response is complete. A guest that still works gets its background time.
    pub(super) fn complete(&mut self, bytes_out: u64) {
        let Some(mut books) = self.books.take() else {
            return;
        };
        // A guest may fail after its response is complete: the client has it, the log says so.
        let fault = self
            .finished
            .as_ref()
            .and_then(|finished| finished.fault.clone());
        books.end(bytes_out, fault);
        match self.task.take() {
            None => self.close(books),
            Some(task) => {
                let work = Background {
                    task,
                    books,
                    function: self.function.clone(),
                };
                let lane = Rc::clone(&self.lane);
                self.lane.run_in_background(work.limit(), work.run(lane));
            }
        }
    }

    /// The response is complete with a fault, or there will be none: the guest is dropped.
    pub(super) fn end(&mut self, bytes_out: u64, fault: Option<Fault>) {
        self.task = None;
        if let Some(mut books) = self.books.take() {
            books.end(bytes_out, fault);
            self.close(books);
        }
    }

    fn close(&mut self, books: Books) {
        self.function.weight.observe(books.cpu_ns());
        let finished = self.finished.take();
        self.lane
            .defer(Chore::End(self.function.clone(), finished, books));
    }
}

impl Drop for Alone {
    /// Whoever waited for the answer is gone.
    fn drop(&mut self) {
        self.end(0, Some(Fault::ClientGone));
    }
}

/// A guest that works on after its response.
struct Background {
    task: GuestTask<Finished>,
    books: Books,
    function: Own<Function>,
}

impl Background {
    fn limit(&self) -> Duration {
        self.function.spec.limits.background_time.duration()
    }

    /// Runs the guest to its end. Dropped earlier, it ends there.
    async fn run(mut self, lane: Rc<LaneInner>) {
        let limit = self.limit();
        let finished = tokio::time::timeout(limit, std::future::poll_fn(|cx| self.task.poll(cx)));
        let finished = finished.await.unwrap_or_else(|_| {
            report_background_cut(&self.function.spec);
            None
        });
        let fault = finished
            .as_ref()
            .and_then(|finished| finished.fault.clone());
        self.books.end_background(fault);
        self.function.weight.observe(self.books.cpu_ns());
        lane.defer(Chore::End(self.function, finished, self.books));
    }
}

async fn run(
    runtime: Own<Runtime>,
    function: Own<Function>,
    instance: Option<Instance>,
    meter: Arc<Meter>,
    incoming: Incoming,
    exchange: Arc<Exchange>,
) -> Finished {
    let instance = match instance {
        Some(mut instance) => {
            // Its deadline passed while it waited in stock: the first check would ask the clocks.
            instance.store.set_epoch_deadline(1);
            Ok(instance)
        }
        None => Instance::create(&runtime, function, meter).await,
    };
    let mut instance = match instance {
        Ok(instance) => instance,
        Err(fault) => {
            exchange.fail(fault.clone());
            return Finished {
                instance: None,
                fault: Some(fault),
            };
        }
    };
    let Instance { store, exports } = &mut instance;
    let result = match exports {
        Exports::Wasi02(exports) => wasi02::handle(store, exports, incoming, &exchange).await,
        Exports::Wasi03(exports) => wasi03::handle(store, exports, incoming, &exchange).await,
    };
    let fault = match result {
        Ok(()) => {
            exchange.guest_ended();
            None
        }
        Err(error) => {
            let fault = instance.fault(&error);
            exchange.fail_or_break(fault.clone());
            Some(fault)
        }
    };
    Finished {
        instance: Some(instance),
        fault,
    }
}
