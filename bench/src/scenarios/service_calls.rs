//! What a call from one function to another of its app takes, fresh instance included: a request that makes one beside
//! a request that makes none.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::load::Latencies;
use crate::load::generator::{self, Pace, Plan, Until};
use crate::load::http::Answer;
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::servers::{self, Everwarm, Isolation, Running, Server as _, World, app, command_up};
use crate::settings::Settings;

pub(crate) const NAME: &str = "service calls";
pub(crate) const P50: &str = "p50 of a call";
/// The guest that calls what its own request names.
const CALLER: &str = "fetch";
/// The one that is called.
const CALLED: &str = "hello";
const WITH_CALL: &str = "/get?url=http%3A%2F%2Fhello.everwarm.internal%2F";
const WITHOUT: &str = "/none?url=x";

const RATE: NonZeroU64 = NonZeroU64::new(500).expect("500 is not zero");
const CONNECTIONS: usize = 4;
const WARM_UP: Duration = Duration::from_secs(1);
const MEDIAN: usize = 500;

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    for world in [World::Wasi02, World::Wasi03] {
        let subject = format!("request {}", world.version());
        let caller = Everwarm {
            guest: CALLER,
            isolation: Isolation::Request,
            world,
        };
        if let Some(why) = caller.missing(settings) {
            report.skip(format!("{NAME} {subject} is skipped: {why}"));
            continue;
        }
        let running = start(&caller, settings)?;
        let hello = |answer: &Answer| answer.check_hello();
        let refused = |answer: &Answer| {
            anyhow::ensure!(answer.status == 404, "expected 404, got {}", answer.status);
            Ok(())
        };
        at_fixed_rate(&running, WITH_CALL, &hello, WARM_UP)?;
        let pairs = pairs::run(
            settings.rounds,
            || at_fixed_rate(&running, WITHOUT, &refused, settings.run_time),
            || at_fixed_rate(&running, WITH_CALL, &hello, settings.run_time),
        )?;
        let p50 = |latencies: &Latencies| latencies.percentile_us(MEDIAN);
        let calls = pairs
            .iter()
            .map(|pair| p50(&pair.subject) - p50(&pair.baseline));
        report.add(NAME, &subject, P50, " us", Spread::of(calls));
    }
    Ok(())
}

fn start(caller: &Everwarm, settings: &Settings) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    for guest in [CALLER, CALLED] {
        let component = settings.guest(guest, caller.world.version())?;
        std::fs::copy(component, folder.path().join(format!("{guest}.wasm")))?;
    }
    let mut app = app("bench");
    app.function(CALLER, "fetch.wasm", "/*", caller.isolation, "");
    app.grant_function(CALLED);
    app.unrouted(CALLED, "hello.wasm");
    app.write(folder.path())?;
    let address = servers::free_address()?;
    let command = command_up(settings, folder.path(), address);
    let name = caller.name();
    servers::start_command(
        &name,
        command,
        folder,
        address,
        WITH_CALL,
        Answer::check_hello,
    )
}

/// One run at the fixed rate, every answer checked.
fn at_fixed_rate(
    server: &Running,
    path: &str,
    check: &dyn Fn(&Answer) -> anyhow::Result<()>,
    time: Duration,
) -> anyhow::Result<Latencies> {
    let outcome = generator::run(&Plan {
        address: server.address,
        host: None,
        paths: &[path],
        connections: CONNECTIONS,
        pace: Pace::PerSecond(RATE),
        until: Until::Time(time),
        check: &|_, answer| check(answer),
    })?;
    Ok(outcome.latencies)
}
