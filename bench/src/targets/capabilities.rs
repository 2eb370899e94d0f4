//! What the capabilities promise.

use super::{Side, Target, median};
use crate::report::Report;
use crate::scenarios::{assets, cache, egress, key_value, queues, service_calls};

fn egress(report: &Report, subject: &str, name: &str) -> Option<f64> {
    median(report, egress::NAME, subject, name)
}

fn call(report: &Report, subject: &str, name: &str) -> Option<f64> {
    median(report, service_calls::NAME, subject, name)
}

pub(super) const TARGETS: &[Target] = &[
    Target {
        text: "egress: a call by its caller's clock, over a native client's, 0.2, at 500 requests/s: p50, us",
        side: Side::AtMost,
        bound: 100.0,
        measured: |report| egress(report, "request 0.2 at 500 requests/s", egress::CALL),
    },
    Target {
        text: "egress: a call by its caller's clock, over a native client's, 0.2, at 2,000 requests/s: p50, us",
        side: Side::AtMost,
        bound: 100.0,
        measured: |report| egress(report, "request 0.2 at 2,000 requests/s", egress::CALL),
    },
    Target {
        text: "egress: a call by its caller's clock, over a native client's, 0.3, at 500 requests/s: p50, us",
        side: Side::AtMost,
        bound: 100.0,
        measured: |report| egress(report, "request 0.3 at 500 requests/s", egress::CALL),
    },
    Target {
        text: "egress: a call by its caller's clock, over a native client's, 0.3, at 2,000 requests/s: p50, us",
        side: Side::AtMost,
        bound: 100.0,
        measured: |report| egress(report, "request 0.3 at 2,000 requests/s", egress::CALL),
    },
    Target {
        text: "egress: a request with its call, over a native proxy's, 0.2, at 500 requests/s: p50, us",
        side: Side::AtMost,
        bound: 100.0,
        measured: |report| egress(report, "request 0.2 at 500 requests/s", egress::REQUEST),
    },
    Target {
        text: "egress: a request with its call, over a native proxy's, 0.2, at 2,000 requests/s: p50, us",
        side: Side::AtMost,
        bound: 100.0,
        measured: |report| egress(report, "request 0.2 at 2,000 requests/s", egress::REQUEST),
    },
    Target {
        text: "egress: a request with its call, over a native proxy's, 0.3, at 500 requests/s: p50, us",
        side: Side::AtMost,
        bound: 100.0,
        measured: |report| egress(report, "request 0.3 at 500 requests/s", egress::REQUEST),
    },
    Target {
        text: "egress: a request with its call, over a native proxy's, 0.3, at 2,000 requests/s: p50, us",
        side: Side::AtMost,
        bound: 100.0,
        measured: |report| egress(report, "request 0.3 at 2,000 requests/s", egress::REQUEST),
    },
    Target {
        text: "service call: by its caller's clock, 0.2, at 500 requests/s: p50, us",
        side: Side::AtMost,
        bound: 60.0,
        measured: |report| call(report, "request 0.2 at 500 requests/s", service_calls::CALL),
    },
    Target {
        text: "service call: by its caller's clock, 0.2, at 2,000 requests/s: p50, us",
        side: Side::AtMost,
        bound: 60.0,
        measured: |report| {
            call(
                report,
                "request 0.2 at 2,000 requests/s",
                service_calls::CALL,
            )
        },
    },
    Target {
        text: "service call: by its caller's clock, 0.3, at 500 requests/s: p50, us",
        side: Side::AtMost,
        bound: 60.0,
        measured: |report| call(report, "request 0.3 at 500 requests/s", service_calls::CALL),
    },
    Target {
        text: "service call: by its caller's clock, 0.3, at 2,000 requests/s: p50, us",
        side: Side::AtMost,
        bound: 60.0,
        measured: |report| {
            call(
                report,
                "request 0.3 at 2,000 requests/s",
                service_calls::CALL,
            )
        },
    },
    Target {
        text: "service call: a request with one, over one without, 0.2, at 500 requests/s: p50, us",
        side: Side::AtMost,
        bound: 60.0,
        measured: |report| {
            call(
                report,
                "request 0.2 at 500 requests/s",
                service_calls::REQUEST,
            )
        },
    },
    Target {
        text: "service call: a request with one, over one without, 0.2, at 2,000 requests/s: p50, us",
        side: Side::AtMost,
        bound: 60.0,
        measured: |report| {
            call(
                report,
                "request 0.2 at 2,000 requests/s",
                service_calls::REQUEST,
            )
        },
    },
    Target {
        text: "service call: a request with one, over one without, 0.3, at 500 requests/s: p50, us",
        side: Side::AtMost,
        bound: 60.0,
        measured: |report| {
            call(
                report,
                "request 0.3 at 500 requests/s",
                service_calls::REQUEST,
            )
        },
    },
    Target {
        text: "service call: a request with one, over one without, 0.3, at 2,000 requests/s: p50, us",
        side: Side::AtMost,
        bound: 60.0,
        measured: |report| {
            call(
                report,
                "request 0.3 at 2,000 requests/s",
                service_calls::REQUEST,
            )
        },
    },
    Target {
        text: "cache hit: throughput of native hyper",
        side: Side::AtLeast,
        bound: 0.8,
        measured: |report| median(report, cache::NAME, cache::SUBJECT, cache::RATIO),
    },
    Target {
        text: "file of 10 KB: throughput of native hyper",
        side: Side::AtLeast,
        bound: 0.8,
        measured: |report| median(report, assets::NAME, assets::SUBJECT, assets::TO_HYPER),
    },
    Target {
        text: "file of 10 KB: throughput of nginx",
        side: Side::AtLeast,
        bound: 1.0,
        measured: |report| median(report, assets::NAME, assets::SUBJECT, assets::TO_NGINX),
    },
    Target {
        text: "key-value get, 0.2: p50 over a hello, us",
        side: Side::AtMost,
        bound: 60.0,
        measured: |report| median(report, key_value::NAME, "request 0.2", key_value::READ),
    },
    Target {
        text: "key-value get, 0.3: p50 over a hello, us",
        side: Side::AtMost,
        bound: 60.0,
        measured: |report| median(report, key_value::NAME, "request 0.3", key_value::READ),
    },
    Target {
        text: "key-value, 64 writers, 0.2: writes acknowledged a second",
        side: Side::AtLeast,
        bound: 10_000.0,
        measured: |report| median(report, key_value::NAME, "request 0.2", key_value::WRITES),
    },
    Target {
        text: "key-value, 64 writers, 0.3: writes acknowledged a second",
        side: Side::AtLeast,
        bound: 10_000.0,
        measured: |report| median(report, key_value::NAME, "request 0.3", key_value::WRITES),
    },
    Target {
        text: "key-value, one writer, 0.2: p50 over that of a bare fdatasync",
        side: Side::AtMost,
        bound: 1.3,
        measured: |report| median(report, key_value::NAME, "request 0.2", key_value::ALONE),
    },
    Target {
        text: "key-value, one writer, 0.3: p50 over that of a bare fdatasync",
        side: Side::AtMost,
        bound: 1.3,
        measured: |report| median(report, key_value::NAME, "request 0.3", key_value::ALONE),
    },
    Target {
        text: "queue, 0.2: messages a second through a handler",
        side: Side::AtLeast,
        bound: 5_000.0,
        measured: |report| median(report, queues::NAME, "request 0.2", queues::MESSAGES),
    },
    Target {
        text: "queue, 0.3: messages a second through a handler",
        side: Side::AtLeast,
        bound: 5_000.0,
        measured: |report| median(report, queues::NAME, "request 0.3", queues::MESSAGES),
    },
    Target {
        text: "schedule, 0.2: how late the latest run is, ms",
        side: Side::AtMost,
        bound: 50.0,
        measured: |report| median(report, queues::NAME, "request 0.2", queues::LATEST),
    },
];
