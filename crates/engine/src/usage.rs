//! What a request has used: the books of one request, as data.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::meter::Meter;

/// What a request has used.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Time on the CPU, in guest code and in host code that it called.
    pub cpu: Duration,
    /// Time from the arrival of the request to the end of the response and of background work.
    pub wall: Duration,
    /// Most memory its instance has had, in bytes.
    pub memory_peak_bytes: u64,
    /// Body bytes read from the client.
    pub bytes_in: u64,
    /// Body bytes given to the client.
    pub bytes_out: u64,
    /// The status of the guest's response, if it gave one.
    pub status: Option<StatusCode>,
    /// Why it failed, if it did.
    pub fault: Option<Fault>,
}

/// Called exactly once, when a request's books close.
pub type OnEnd = Box<dyn FnOnce(Usage) + Send>;

/// The open books of one request. Dropped while open, they close with [`Fault::ClientGone`].
pub(crate) struct Books {
    on_end: Option<OnEnd>,
    started: Instant,
    ended: Option<Instant>,
    exchange: Arc<Exchange>,
    meter: Arc<Meter>,
    pub(crate) status: Option<StatusCode>,
    bytes_out: u64,
    fault: Option<Fault>,
}

impl Books {
    pub(crate) fn open(
        exchange: Arc<Exchange>,
        meter: Arc<Meter>,
        arrived: Instant,
        on_end: OnEnd,
    ) -> Self {
        Self {
            on_end: Some(on_end),
            started: arrived,
            ended: None,
            exchange,
            meter,
            status: None,
            bytes_out: 0,
            fault: Some(Fault::ClientGone),
        }
    }

    /// The request is over; the books may still wait a moment to be closed.
    pub(crate) fn end(&mut self, bytes_out: u64, fault: Option<Fault>) {
        self.ended = Some(Instant::now());
        self.bytes_out = bytes_out;
        self.fault = fault;
    }

    /// Work after the response is over.
    pub(crate) fn end_background(&mut self, fault: Option<Fault>) {
        self.ended = Some(Instant::now());
        self.fault = fault;
    }

    /// Time on the CPU so far, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.exchange.cpu_ns()
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        let Some(on_end) = self.on_end.take() else {
            return;
        };
        on_end(Usage {
            cpu: Duration::from_nanos(self.exchange.cpu_ns()),
            wall: self.ended.unwrap_or_else(Instant::now) - self.started,
            memory_peak_bytes: self.meter.memory_peak(),
            bytes_in: self.exchange.bytes_in(),
            bytes_out: self.bytes_out,
            status: self.status,
            fault: self.fault.take(),
        });
    }
}
