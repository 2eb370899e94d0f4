//! A guest that is being polled: measured, interruptible, and movable to another thread.
//!
//! Owns where the guest's future is (here, away in the heavy pool, or gone) and the charging of
//! its CPU time. Dropping a [`GuestTask`] drops the guest's store, wherever it is: that is how a
//! request is cancelled.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

use crate::cpu;
use crate::meter::{Meter, Payer};
use crate::own::Own;
use crate::runtime::Runtime;

type GuestFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A guest's future with its meter around it.
struct Metered<T> {
    future: GuestFuture<T>,
    meter: Arc<Meter>,
    payer: Arc<dyn Payer>,
    runtime: Own<Runtime>,
    interrupted: bool,
}

impl<T> Future for Metered<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        let running = this.runtime.ticker.enter();
        let (poll, ns) = cpu::measure(|| this.future.as_mut().poll(cx));
        drop(running);
        this.meter.cpu.add_ns(ns);
        this.interrupted = this.meter.take_interrupted();
        this.payer.charge(ns, this.interrupted);
        poll
    }
}

enum Place<T> {
    Here(Metered<T>),
    Away(JoinHandle<Left<T>>),
    Gone,
}

impl<T: Send + 'static> Place<T> {
    fn run_away(metered: Metered<T>) -> Self {
        let heavy = metered.runtime.heavy.handle().clone();
        Self::Away(heavy.spawn(run_away(metered)))
    }
}

/// How a guest leaves the heavy pool.
enum Left<T> {
    /// At its end.
    Done(T),
    /// It waits for something, and no longer computes: it goes home.
    Calm(Metered<T>),
}

/// Runs a guest in the heavy pool for as long as it computes.
async fn run_away<T>(metered: Metered<T>) -> Left<T> {
    let mut guest = Some(metered);
    poll_fn(|cx| {
        let Some(metered) = &mut guest else {
            return Poll::Pending;
        };
        match Pin::new(&mut *metered).poll(cx) {
            Poll::Ready(value) => Poll::Ready(Left::Done(value)),
            Poll::Pending if metered.interrupted => Poll::Pending,
            // Polling it at home tells whatever it waits for whom to wake.
            Poll::Pending => guest
                .take()
                .map_or(Poll::Pending, |metered| Poll::Ready(Left::Calm(metered))),
        }
    })
    .await
}

/// See the module's documentation.
pub(crate) struct GuestTask<T> {
    place: Place<T>,
}

/// What a guest is run with.
pub(crate) struct Conditions {
    pub(crate) meter: Arc<Meter>,
    pub(crate) payer: Arc<dyn Payer>,
    /// Has the ticker and the heavy pool.
    pub(crate) runtime: Own<Runtime>,
    /// Whether to start in that pool.
    pub(crate) start_away: bool,
}

impl<T: Send + 'static> GuestTask<T> {
    pub(crate) fn new(
        future: impl Future<Output = T> + Send + 'static,
        conditions: Conditions,
    ) -> Self {
        let Conditions {
            meter,
            payer,
            runtime,
            start_away,
        } = conditions;
        let metered = Metered {
            future: Box::pin(future),
            meter,
            payer,
            runtime,
            interrupted: false,
        };
        let place = if start_away {
            Place::run_away(metered)
        } else {
            Place::Here(metered)
        };
        Self { place }
    }

    /// Polls the guest. `None` means that it was lost: the pool it ran in has shut down, or the
    /// host panicked in it.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match &mut self.place {
                Place::Here(metered) => match Pin::new(&mut *metered).poll(cx) {
                    Poll::Ready(value) => {
                        self.place = Place::Gone;
                        return Poll::Ready(Some(value));
                    }
                    Poll::Pending if metered.interrupted => self.send_away(),
                    Poll::Pending => return Poll::Pending,
                },
                Place::Away(join) => match std::task::ready!(Pin::new(join).poll(cx)) {
                    Ok(Left::Calm(metered)) => self.place = Place::Here(metered),
                    Ok(Left::Done(value)) => {
                        self.place = Place::Gone;
                        return Poll::Ready(Some(value));
                    }
                    Err(_) => {
                        self.place = Place::Gone;
                        return Poll::Ready(None);
                    }
                },
                Place::Gone => return Poll::Ready(None),
            }
        }
    }

    /// Moves the guest to the heavy pool in the middle of its run.
    fn send_away(&mut self) {
        if let Place::Here(metered) = std::mem::replace(&mut self.place, Place::Gone) {
            self.place = Place::run_away(metered);
        }
    }
}

impl<T> Drop for GuestTask<T> {
    fn drop(&mut self) {
        if let Place::Away(join) = &self.place {
            join.abort();
        }
    }
}
