//! The promises that the measures are held to, each a line of the table.
//!
//! A target that was not measured is shown as such: it is neither met nor missed.

mod capabilities;

use crate::report::Report;
use crate::scenarios::{
    disk, edit_to_live, instantiate, isolation, latency, neighbours, scale, sdk_cost, throughput,
};

/// Which side of its bound a measure must be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    AtLeast,
    AtMost,
}

struct Target {
    text: &'static str,
    side: Side,
    bound: f64,
    measured: fn(&Report) -> Option<f64>,
}

/// A target and what was measured.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) text: &'static str,
    /// With its sign, as the table shows it.
    pub(crate) bound: String,
    pub(crate) measured: Option<f64>,
    met: Option<bool>,
}

impl Verdict {
    /// `None` when it wasn't measured.
    pub(crate) fn met(&self) -> Option<bool> {
        self.met
    }
}

const REQUEST_02: &str = "everwarm request 0.2";
const REQUEST_03: &str = "everwarm request 0.3";
const CONCURRENT: &str = "everwarm concurrent 0.3";

fn ratio(report: &Report, server: &str) -> Option<f64> {
    let found = report.find(throughput::NAME, server, throughput::RATIO)?;
    Some(found.median)
}

fn quotient(report: &Report, server: &str, other: &str) -> Option<f64> {
    Some(ratio(report, server)? / ratio(report, other)?)
}

fn median(report: &Report, scenario: &str, subject: &str, name: &str) -> Option<f64> {
    Some(report.find(scenario, subject, name)?.median)
}

const TARGETS: &[Target] = &[
    Target {
        text: "request 0.2: throughput of native hyper",
        side: Side::AtLeast,
        bound: 0.45,
        measured: |report| ratio(report, REQUEST_02),
    },
    Target {
        text: "request 0.2: times `wasmtime serve`, 0.2 fresh",
        side: Side::AtLeast,
        bound: 5.0,
        measured: |report| quotient(report, REQUEST_02, "wasmtime serve 0.2 fresh"),
    },
    Target {
        text: "request 0.2: times workerd",
        side: Side::AtLeast,
        bound: 2.0,
        measured: |report| quotient(report, REQUEST_02, "workerd"),
    },
    Target {
        text: "request 0.2: p99 under load, of workerd's",
        side: Side::AtMost,
        bound: 1.0,
        measured: |report| {
            let p99 = |server| median(report, throughput::NAME, server, throughput::P99);
            Some(p99(REQUEST_02)? / p99("workerd")?)
        },
    },
    Target {
        text: "request 0.3: throughput of native hyper",
        side: Side::AtLeast,
        bound: 0.28,
        measured: |report| ratio(report, REQUEST_03),
    },
    Target {
        text: "request 0.3: times `wasmtime serve`, 0.3 fresh",
        side: Side::AtLeast,
        bound: 3.0,
        measured: |report| quotient(report, REQUEST_03, "wasmtime serve 0.3 fresh"),
    },
    Target {
        text: "concurrent 0.3: throughput of native hyper",
        side: Side::AtLeast,
        bound: 0.55,
        measured: |report| ratio(report, CONCURRENT),
    },
    Target {
        text: "concurrent 0.3: times `wasmtime serve`, its default reuse",
        side: Side::AtLeast,
        bound: 1.5,
        measured: |report| quotient(report, CONCURRENT, "wasmtime serve 0.3 reused"),
    },
    Target {
        text: "request 0.2: p50 over native at 2,000 requests/s, us",
        side: Side::AtMost,
        bound: 25.0,
        measured: |report| median(report, latency::NAME, REQUEST_02, latency::P50_OVER),
    },
    Target {
        text: "request 0.2: p99 over native at 2,000 requests/s, us",
        side: Side::AtMost,
        bound: 150.0,
        measured: |report| median(report, latency::NAME, REQUEST_02, latency::P99_OVER),
    },
    Target {
        text: "instantiate and drop hello: p50, us",
        side: Side::AtMost,
        bound: 10.0,
        measured: |report| {
            median(
                report,
                instantiate::NAME,
                instantiate::SUBJECT,
                instantiate::P50,
            )
        },
    },
    Target {
        text: "instantiate and drop hello: p99, us",
        side: Side::AtMost,
        bound: 20.0,
        measured: |report| {
            median(
                report,
                instantiate::NAME,
                instantiate::SUBJECT,
                instantiate::P99,
            )
        },
    },
    Target {
        text: "never-touched function from disk: p50 in the server, ms",
        side: Side::AtMost,
        bound: 0.5,
        measured: |report| median(report, disk::NAME, disk::SUBJECT, disk::IN_SERVER_P50),
    },
    Target {
        text: "neighbour of a burner: times its p99 alone",
        side: Side::AtMost,
        bound: 2.0,
        measured: |report| {
            median(
                report,
                neighbours::NAME,
                neighbours::SUBJECT,
                neighbours::RATIO,
            )
        },
    },
    Target {
        text: "traces of another instance: found in a million reuses",
        side: Side::AtMost,
        bound: 0.0,
        measured: |report| median(report, isolation::NAME, "request 0.2", isolation::LEAKS),
    },
    Target {
        text: "edit to live after cargo ended: p50, ms",
        side: Side::AtMost,
        bound: 500.0,
        measured: |report| {
            median(
                report,
                edit_to_live::NAME,
                edit_to_live::SUBJECT,
                edit_to_live::AFTER_CARGO,
            )
        },
    },
    Target {
        text: "SDK hello: throughput of a hand-written hello, 0.2",
        side: Side::AtLeast,
        bound: 0.9,
        measured: |report| median(report, sdk_cost::NAME, "0.2", sdk_cost::RATIO),
    },
    Target {
        text: "SDK hello: throughput of a hand-written hello, 0.3",
        side: Side::AtLeast,
        bound: 0.9,
        measured: |report| median(report, sdk_cost::NAME, "0.3", sdk_cost::RATIO),
    },
];

/// A node with many apps.
const SCALE_TARGETS: &[Target] = &[
    Target {
        text: "1,000 apps: process start to first answer, p50, ms",
        side: Side::AtMost,
        bound: 25.0,
        measured: |report| {
            median(
                report,
                scale::start::NAME,
                scale::START,
                scale::FIRST_ANSWER,
            )
        },
    },
    Target {
        text: "500 untouched functions from disk: p50 in the server, ms",
        side: Side::AtMost,
        bound: 0.5,
        measured: |report| {
            median(
                report,
                scale::start::NAME,
                scale::UNTOUCHED,
                scale::IN_SERVER_P50,
            )
        },
    },
    Target {
        text: "500 untouched functions from disk: p99 in the server, ms",
        side: Side::AtMost,
        bound: 2.0,
        measured: |report| {
            median(
                report,
                scale::start::NAME,
                scale::UNTOUCHED,
                scale::IN_SERVER_P99,
            )
        },
    },
    Target {
        text: "10,000 functions, 256 MiB for code: errors",
        side: Side::AtMost,
        bound: 0.0,
        measured: |report| {
            median(
                report,
                scale::functions::NAME,
                scale::FUNCTIONS,
                scale::ERRORS,
            )
        },
    },
    Target {
        text: "10,000 functions, 256 MiB for code: memory, MiB",
        side: Side::AtMost,
        bound: 1024.0,
        measured: |report| {
            median(
                report,
                scale::functions::NAME,
                scale::FUNCTIONS,
                scale::RESIDENT,
            )
        },
    },
    Target {
        text: "10,000 waiting requests: errors",
        side: Side::AtMost,
        bound: 0.0,
        measured: |report| median(report, scale::parked::NAME, scale::PARKED, scale::ERRORS),
    },
    Target {
        text: "10,000 waiting requests: memory, MiB",
        side: Side::AtMost,
        bound: 4096.0,
        measured: |report| median(report, scale::parked::NAME, scale::PARKED, scale::RESIDENT),
    },
    Target {
        text: "100,000 routes: look-up, p50, us",
        side: Side::AtMost,
        bound: 1.0,
        measured: |report| median(report, scale::routes::NAME, scale::ROUTES, scale::LOOKUP),
    },
    Target {
        text: "100,000 routes: switch of the table, ms",
        side: Side::AtMost,
        bound: 50.0,
        measured: |report| median(report, scale::routes::NAME, scale::ROUTES, scale::SWITCH),
    },
    Target {
        text: "hello: deploy, command line to live, p50, ms",
        side: Side::AtMost,
        bound: 400.0,
        measured: |report| median(report, scale::deploys::NAME, scale::HELLO, scale::DEPLOY),
    },
    Target {
        text: "hello: promotion and rollback in force after their answer, p50, ms",
        side: Side::AtMost,
        bound: 10.0,
        measured: |report| median(report, scale::deploys::NAME, scale::HELLO, scale::PROMOTE),
    },
    Target {
        text: "100 deploys at once: that failed",
        side: Side::AtMost,
        bound: 0.0,
        measured: |report| median(report, scale::deploys::NAME, scale::HUNDRED, scale::FAILED),
    },
    Target {
        text: "100 deploys at once: p99 of requests, times that without",
        side: Side::AtMost,
        bound: 2.0,
        measured: |report| {
            median(
                report,
                scale::deploys::NAME,
                scale::HUNDRED,
                scale::P99_RATIO,
            )
        },
    },
];

/// Holds a report against every target.
pub(crate) fn judge(report: &Report) -> Vec<Verdict> {
    let all = TARGETS.iter().chain(capabilities::TARGETS);
    let all = all.chain(SCALE_TARGETS);
    all.map(|target| {
        let measured = (target.measured)(report).filter(|value| value.is_finite());
        let (sign, is_met): (_, fn(f64, f64) -> bool) = match target.side {
            Side::AtLeast => (">=", |value, bound| value >= bound),
            Side::AtMost => ("<=", |value, bound| value <= bound),
        };
        Verdict {
            text: target.text,
            bound: format!("{sign} {}", target.bound),
            measured,
            met: measured.map(|value| is_met(value, target.bound)),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::Spread;

    fn verdict(report: &Report, text: &str) -> Option<bool> {
        let verdicts = judge(report);
        let found = verdicts.iter().find(|verdict| verdict.text.contains(text));
        found.expect("there is such a target").met()
    }

    #[test]
    fn target_is_met_at_its_bound_and_missed_below_it() {
        for (ratio, met) in [(0.45, true), (0.44, false)] {
            let mut report = Report::new(Vec::new(), false);
            let name = throughput::RATIO;
            report.add(throughput::NAME, REQUEST_02, name, "", Spread::of([ratio]));
            assert_eq!(verdict(&report, "request 0.2: throughput"), Some(met));
        }
    }

    #[test]
    fn target_that_was_not_measured_has_no_verdict() {
        let report = Report::new(Vec::new(), false);
        assert_eq!(verdict(&report, "instantiate"), None);
    }
}
