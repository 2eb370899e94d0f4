//! What a server adds to native hyper's latency at a moderate fixed rate, counted from the moment at
//! which each request was meant to be sent.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::load::generator::{self, Pace, Plan, Until};
use crate::load::{Latencies, wrk};
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::servers::{self, Native, Running, Server as _};
use crate::settings::Settings;

pub(crate) const NAME: &str = "latency";
pub(crate) const P50_OVER: &str = "p50 over native";
pub(crate) const P99_OVER: &str = "p99 over native";
const P50: &str = "p50 at 2,000 requests/s";
const P99: &str = "p99 at 2,000 requests/s";

/// A rate at which no server here is busy.
const RATE: NonZeroU64 = NonZeroU64::new(2_000).expect("2,000 is not zero");
const WARM_UP: Duration = Duration::from_secs(1);
const MEDIAN: usize = 500;
const TAIL: usize = 990;

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let native = servers::start(&Native, settings)?;
    at_fixed_rate(&native, WARM_UP)?;
    let (peers, skipped) = servers::taking_part(settings);
    for why in skipped {
        report.skip(why);
    }
    let mut baselines = Vec::new();
    for server in peers {
        let name = server.name();
        match measure(settings, &native, server.as_ref()) {
            Ok(pairs) => {
                add(report, &name, &pairs);
                baselines.extend(pairs.into_iter().map(|pair| pair.baseline));
            }
            Err(error) => {
                eprintln!("   {name} failed: {error:#}");
                report.fail(&name, &format!("{error:#}"));
            }
        }
    }
    if !baselines.is_empty() {
        add_native(report, &baselines);
    }
    Ok(())
}

fn measure(
    settings: &Settings,
    native: &Running,
    server: &dyn servers::Server,
) -> anyhow::Result<Vec<pairs::Pair<Latencies>>> {
    let running = servers::start(server, settings)?;
    at_fixed_rate(&running, WARM_UP)?;
    pairs::run(
        settings.rounds,
        || at_fixed_rate(native, settings.run_time),
        || at_fixed_rate(&running, settings.run_time),
    )
}

/// One run at the fixed rate, every answer checked.
fn at_fixed_rate(server: &Running, time: Duration) -> anyhow::Result<Latencies> {
    let outcome = generator::run(&Plan {
        address: server.address,
        host: None,
        paths: &["/"],
        connections: wrk::CONNECTIONS,
        pace: Pace::PerSecond(RATE),
        until: Until::Time(time),
        check: &|_, answer| answer.check_hello(),
    })?;
    Ok(outcome.latencies)
}

fn add(report: &mut Report, name: &str, pairs: &[pairs::Pair<Latencies>]) {
    for (measure, per_mille) in [(P50_OVER, MEDIAN), (P99_OVER, TAIL)] {
        let over = pairs.iter().map(|pair| {
            pair.subject.percentile_us(per_mille) - pair.baseline.percentile_us(per_mille)
        });
        report.add(NAME, name, measure, " us", Spread::of(over));
    }
}

fn add_native(report: &mut Report, runs: &[Latencies]) {
    for (measure, per_mille) in [(P50, MEDIAN), (P99, TAIL)] {
        let values = runs.iter().map(|run| run.percentile_us(per_mille));
        report.add(NAME, &Native.name(), measure, " us", Spread::of(values));
    }
}
