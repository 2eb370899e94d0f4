//! Hellos a second and their latency under full load, each server in pairs with native hyper.

use crate::load::wrk;
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::servers::{self, Native, Running, Server as _};
use crate::settings::Settings;
use std::time::Duration;

pub(crate) const NAME: &str = "throughput";
pub(crate) const RATE: &str = "requests/s";
pub(crate) const RATIO: &str = "ratio to native hyper";
pub(crate) const CPU: &str = "server CPU per request";
pub(crate) const P50: &str = "p50 under load";
pub(crate) const P99: &str = "p99 under load";
pub(crate) const MEMORY: &str = "resident memory after load";
pub(crate) const FIRST_ANSWER: &str = "start to first answer";

/// Long enough for a just-in-time compiler and for our compiled code to be mapped.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);

/// One run of one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) run: wrk::Run,
    /// Of the server, a request. NaN where the system doesn't tell.
    pub(crate) cpu_us: f64,
}

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    if let Some(why) = wrk::missing() {
        report.skip(format!("{NAME} is skipped: {why}"));
        return Ok(());
    }
    let native = servers::start(&Native, settings)?;
    wrk::run(native.address, "/", WARM_UP)?;
    let (peers, skipped) = servers::taking_part(settings);
    for why in skipped {
        report.skip(why);
    }
    let mut baselines = Vec::new();
    for server in peers {
        let name = server.name();
        match measure(settings, &native, server.as_ref()) {
            Ok((running, pairs)) => {
                add(report, &name, &running, &pairs);
                baselines.extend(pairs.iter().map(|pair| pair.baseline));
            }
            Err(error) => {
                eprintln!("   {name} failed: {error:#}");
                report.fail(&name, &format!("{error:#}"));
            }
        }
    }
    if baselines.is_empty() {
        baselines.push(sample(&native, settings.run_time)?);
    }
    add_native(report, &native, &baselines);
    Ok(())
}

type Pairs = Vec<pairs::Pair<Sample>>;

fn measure(
    settings: &Settings,
    native: &Running,
    server: &dyn servers::Server,
) -> anyhow::Result<(Running, Pairs)> {
    let running = servers::start(server, settings)?;
    wrk::run(running.address, "/", WARM_UP)?;
    let pairs = pairs::run(
        settings.rounds,
        || sample(native, settings.run_time),
        || sample(&running, settings.run_time),
    )?;
    Ok((running, pairs))
}

/// One run under full load, checked: the right answer before and after, and none but 2xx between.
pub(crate) fn sample(server: &Running, time: Duration) -> anyhow::Result<Sample> {
    use crate::load::http;
    http::get(server.address, "/")?.check_hello()?;
    let before = server.group.cpu_time();
    let run = wrk::run(server.address, "/", time)?;
    let after = server.group.cpu_time();
    http::get(server.address, "/")?.check_hello()?;
    let cpu_us = match (before, after) {
        (Some(before), Some(after)) => {
            after.saturating_sub(before).as_secs_f64() * 1e6 / run.requests
        }
        _ => f64::NAN,
    };
    Ok(Sample { run, cpu_us })
}

fn add(report: &mut Report, name: &str, running: &Running, pairs: &Pairs) {
    let ratios = pairs
        .iter()
        .map(|pair| pair.subject.run.requests_per_second / pair.baseline.run.requests_per_second);
    report.add(NAME, name, RATIO, "", Spread::of(ratios));
    let samples: Vec<Sample> = pairs.iter().map(|pair| pair.subject).collect();
    add_samples(report, name, running, &samples);
}

fn add_native(report: &mut Report, native: &Running, samples: &[Sample]) {
    let name = Native.name();
    report.add(NAME, &name, RATIO, "", Spread::of([1.0]));
    add_samples(report, &name, native, samples);
}

#[allow(
    clippy::cast_precision_loss,
    reason = "memory sizes are far below 2^52"
)]
fn add_samples(report: &mut Report, name: &str, running: &Running, samples: &[Sample]) {
    let spread = |read: fn(&Sample) -> f64| Spread::of(samples.iter().map(read));
    report.add(NAME, name, RATE, "", spread(|s| s.run.requests_per_second));
    report.add(NAME, name, CPU, " us", spread(|s| s.cpu_us));
    report.add(NAME, name, P50, " us", spread(|s| s.run.p50_us));
    report.add(NAME, name, P99, " us", spread(|s| s.run.p99_us));
    if let Some(bytes) = running.group.resident_bytes() {
        let mebibytes = bytes as f64 / 1_048_576.0;
        report.add(NAME, name, MEMORY, " MiB", Spread::of([mebibytes]));
    }
    let first = running.first_answer.as_secs_f64() * 1e3;
    report.add(NAME, name, FIRST_ANSWER, " ms", Spread::of([first]));
}
