//! What is measured, one file a scenario. To add one is a file here and a line in [`ALL`].

pub(crate) mod assets;
pub(crate) mod cache;
pub(crate) mod disk;
pub(crate) mod edit_to_live;
pub(crate) mod egress;
pub(crate) mod instantiate;
pub(crate) mod isolation;
pub(crate) mod key_value;
pub(crate) mod latency;
pub(crate) mod neighbours;
pub(crate) mod queues;
pub(crate) mod scale;
pub(crate) mod sdk_cost;
pub(crate) mod service_calls;
pub(crate) mod telemetry;
pub(crate) mod throughput;

use crate::report::Report;
use crate::settings::Settings;

/// One thing that the bench can measure.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// In one line, for the reader who waits.
    pub(crate) question: &'static str,
    pub(crate) run: fn(&Settings, &mut Report) -> anyhow::Result<()>,
}

/// Every scenario, in the order in which they run.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: throughput::NAME,
        question: "how many hellos a second over 32 connections, and how long does each take?",
        run: throughput::run,
    },
    Scenario {
        name: latency::NAME,
        question: "what does each server add to native hyper's latency at 2,000 requests a second?",
        run: latency::run,
    },
    Scenario {
        name: sdk_cost::NAME,
        question: "does an SDK hello cost what a hand-written one does?",
        run: sdk_cost::run,
    },
    Scenario {
        name: instantiate::NAME,
        question: "how long does it take to make and drop an instance?",
        run: instantiate::run,
    },
    Scenario {
        name: disk::NAME,
        question: "how fast does a function answer whose compiled code is on disk only?",
        run: disk::run,
    },
    Scenario {
        name: neighbours::NAME,
        question: "what does a function that burns its CPU limit do to another's p99?",
        run: neighbours::run,
    },
    Scenario {
        name: isolation::NAME,
        question: "does anything survive from one instance to the next, in a million reuses?",
        run: isolation::run,
    },
    Scenario {
        name: edit_to_live::NAME,
        question: "how long from an edit to the new page?",
        run: edit_to_live::run,
    },
    Scenario {
        name: egress::NAME,
        question: "what does a fresh sandbox add to a request to another server over a warm connection?",
        run: egress::run,
    },
    Scenario {
        name: service_calls::NAME,
        question: "what does a call from one function to another of its app take?",
        run: service_calls::run,
    },
    Scenario {
        name: telemetry::NAME,
        question: "what do traces, logs and metrics for a collector cost a request?",
        run: telemetry::run,
    },
    Scenario {
        name: key_value::NAME,
        question: "what does a read of a key-value store add, and how fast are writes acknowledged?",
        run: key_value::run,
    },
    Scenario {
        name: queues::NAME,
        question: "how many messages a second go through a handler, and how late does a cron line fire?",
        run: queues::run,
    },
    Scenario {
        name: cache::NAME,
        question: "how many hellos a second are answered from the cache?",
        run: cache::run,
    },
    Scenario {
        name: assets::NAME,
        question: "how many files of 10 KB a second, beside a server that has them in memory, and nginx?",
        run: assets::run,
    },
    Scenario {
        name: scale::routes::NAME,
        question: "what does a table of 100,000 routes take?",
        run: scale::routes::run,
    },
    Scenario {
        name: scale::deploys::NAME,
        question: "how soon is a deploy or a promotion live, and what do a hundred deploys at once do to others?",
        run: scale::deploys::run,
    },
    Scenario {
        name: scale::start::NAME,
        question: "how fast does a node with 1,000 apps start, and a function that it never touched?",
        run: scale::start::run,
    },
    Scenario {
        name: scale::functions::NAME,
        question: "do 10,000 functions serve with 256 MiB for code?",
        run: scale::functions::run,
    },
    Scenario {
        name: scale::parked::NAME,
        question: "what do 10,000 requests that wait take?",
        run: scale::parked::run,
    },
];
