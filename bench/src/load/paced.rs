//! The median at a fixed rate of what two scenarios compare: a request's latency, or how long the server says that the call took
//! that it made for the request.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::Context;

use super::Latencies;
use super::generator::{self, Outcome, Pace, Plan, Until};
use super::http::Answer;

const CONNECTIONS: usize = 4;
const MEDIAN: usize = 500;

/// A rate, and what the table calls a measure at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    per_second: NonZeroU64,
    pub(crate) words: &'static str,
}

/// The rates at which requests are measured that make others: nothing is busy at either, four programs on two cores.
///
/// A thread that sleeps as long as at the first one finds its caches cold; the second is `latency`'s.
pub(crate) const RATES: [Rate; 2] = [
    Rate {
        per_second: NonZeroU64::new(500).expect("500 is not zero"),
        words: "at 500 requests/s",
    },
    Rate {
        per_second: NonZeroU64::new(2_000).expect("2,000 is not zero"),
        words: "at 2,000 requests/s",
    },
];

/// One thing to ask for.
pub(crate) struct Asked<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'a str,
    pub(crate) check: &'a dyn Fn(&Answer) -> anyhow::Result<()>,
}

impl Asked<'_> {
    /// The p50 latency of one run, every answer checked, in microseconds.
    ///
    /// # Errors
    /// As [`generator::run`].
    pub(crate) fn p50_us(&self, rate: Rate, time: Duration) -> anyhow::Result<f64> {
        let outcome = self.run(rate, time, self.check)?;
        Ok(outcome.latencies.percentile_us(MEDIAN))
    }

    /// As [`Self::p50_us`], of how long the server says that its call took.
    ///
    /// # Errors
    /// As [`Self::p50_us`], or when an answer doesn't say it.
    pub(crate) fn took_p50_us(&self, rate: Rate, time: Duration) -> anyhow::Result<f64> {
        let took = RefCell::new(Vec::new());
        self.run(rate, time, &|answer| {
            (self.check)(answer)?;
            let ns = answer.took_ns.context("it doesn't say how long it took")?;
            took.borrow_mut().push(ns);
            Ok(())
        })?;
        Ok(Latencies::of(took.into_inner()).percentile_us(MEDIAN))
    }

    fn run(
        &self,
        rate: Rate,
        time: Duration,
        check: &dyn Fn(&Answer) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        generator::run(&Plan {
            address: self.address,
            host: None,
            paths: &[self.path],
            connections: CONNECTIONS,
            pace: Pace::PerSecond(rate.per_second),
            until: Until::Time(time),
            check: &|_, answer| check(answer),
        })
    }
}
