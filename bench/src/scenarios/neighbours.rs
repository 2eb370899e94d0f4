//! What a function that burns its whole CPU limit on every request does to another's p99.
//!
//! Both live in one node. The quiet one answers hello at a fixed rate, alone and then beside the
//! burner, in turn. The burner's requests must all end with 504 at its limit.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;

use crate::load::generator::{self, Outcome, Pace, Plan, Until};
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::servers::{self, Isolation, Running, app, command_up};
use crate::settings::Settings;

pub(crate) const NAME: &str = "neighbours";
pub(crate) const SUBJECT: &str = "hello beside a burner";
pub(crate) const RATIO: &str = "p99, times its p99 alone";

/// Requests a second to the function that burns.
const BURNER_RATE: NonZeroU64 = NonZeroU64::new(50).expect("50 is not zero");
/// Requests a second to the quiet one.
const QUIET_RATE: NonZeroU64 = NonZeroU64::new(1_000).expect("1,000 is not zero");
/// At 50 requests a second this takes half of one core: more than that would be a full machine, on
/// which no isolation helps.
const BURNER_LIMITS: &str = "cpu_time = \"10ms\"";
const BURNER_CONNECTIONS: usize = 16;
const QUIET_CONNECTIONS: usize = 32;
/// The burner runs in slices until the quiet run is over.
const BURNER_SLICE: Duration = Duration::from_millis(500);
const TAIL: usize = 990;

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let node = start(settings)?;
    quiet(&node, Duration::from_secs(1))?;
    let pairs = pairs::run(
        settings.rounds,
        || quiet(&node, settings.run_time),
        || beside_burner(&node, settings.run_time),
    )?;
    let p99 = |outcome: &Outcome| outcome.latencies.percentile_us(TAIL);
    let ratios = pairs
        .iter()
        .map(|pair| p99(&pair.subject) / p99(&pair.baseline));
    report.add(NAME, SUBJECT, RATIO, "", Spread::of(ratios));
    let alone = pairs.iter().map(|pair| p99(&pair.baseline));
    report.add(NAME, "hello alone", "p99", " us", Spread::of(alone));
    let beside = pairs.iter().map(|pair| p99(&pair.subject));
    report.add(NAME, SUBJECT, "p99", " us", Spread::of(beside));
    Ok(())
}

fn start(settings: &Settings) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    for guest in ["hello", "misbehave"] {
        let component = settings.guest(guest, "0.2")?;
        std::fs::copy(component, folder.path().join(format!("{guest}.wasm")))?;
    }
    let mut manifest = app("neighbours");
    manifest.function("quiet", "hello.wasm", "/*", Isolation::Request, "");
    manifest.function(
        "burner",
        "misbehave.wasm",
        "/loop",
        Isolation::Request,
        BURNER_LIMITS,
    );
    manifest.write(folder.path())?;
    let address = servers::free_address()?;
    let command = command_up(settings, folder.path(), address);
    servers::start_command("everwarm", command, folder, address, "/", |answer| {
        answer.check_hello()
    })
}

fn quiet(node: &Running, time: Duration) -> anyhow::Result<Outcome> {
    generator::run(&Plan {
        address: node.address,
        host: None,
        paths: &["/"],
        connections: QUIET_CONNECTIONS,
        pace: Pace::PerSecond(QUIET_RATE),
        until: Until::Time(time),
        check: &|_, answer| answer.check_hello(),
    })
}

fn beside_burner(node: &Running, time: Duration) -> anyhow::Result<Outcome> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let burner = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                burn(node)?;
            }
            anyhow::Ok(())
        });
        let quiet = quiet(node, time);
        is_over.store(true, Ordering::Relaxed);
        match burner.join() {
            Ok(outcome) => outcome.context("the burner")?,
            Err(_) => anyhow::bail!("the burner's thread panicked"),
        }
        quiet
    })
}

fn burn(node: &Running) -> anyhow::Result<Outcome> {
    generator::run(&Plan {
        address: node.address,
        host: None,
        paths: &["/loop"],
        connections: BURNER_CONNECTIONS,
        pace: Pace::PerSecond(BURNER_RATE),
        until: Until::Time(BURNER_SLICE),
        check: &|_, answer| {
            anyhow::ensure!(
                answer.status == 504,
                "a loop was to end with 504, not {}",
                answer.status
            );
            Ok(())
        },
    })
}
