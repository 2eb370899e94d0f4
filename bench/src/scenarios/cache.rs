//! Hellos a second that are answered from what is kept, in pairs with native hyper: what a hit costs.

use std::path::Path;
use std::time::Duration;

use super::throughput::sample;
use crate::load::wrk;
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::servers::{
    self, Everwarm, Isolation, Native, Running, Server as _, World, app, command_up,
};
use crate::settings::Settings;

pub(crate) const NAME: &str = "cache";
pub(crate) const RATIO: &str = "ratio to native hyper";
pub(crate) const SUBJECT: &str = "hit";
const RATE: &str = "requests/s";
const P50: &str = "p50 under load";
const GUEST: &str = "hello";
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let server = Everwarm {
        guest: GUEST,
        isolation: Isolation::Request,
        world: World::Wasi02,
    };
    if let Some(why) = wrk::missing().or_else(|| server.missing(settings)) {
        report.skip(format!("{NAME} is skipped: {why}"));
        return Ok(());
    }
    let native = servers::start(&Native, settings)?;
    let kept = start(&server, settings)?;
    for server in [&native, &kept] {
        wrk::run(server.address, "/", WARM_UP)?;
    }
    let pairs = pairs::run(
        settings.rounds,
        || sample(&native, settings.run_time),
        || sample(&kept, settings.run_time),
    )?;
    let ratios = pairs
        .iter()
        .map(|pair| pair.subject.run.requests_per_second / pair.baseline.run.requests_per_second);
    report.add(NAME, SUBJECT, RATIO, "", Spread::of(ratios));
    let rates = pairs
        .iter()
        .map(|pair| pair.subject.run.requests_per_second);
    report.add(NAME, SUBJECT, RATE, "", Spread::of(rates));
    let p50s = pairs.iter().map(|pair| pair.subject.run.p50_us);
    report.add(NAME, SUBJECT, P50, " us", Spread::of(p50s));
    Ok(())
}

fn start(server: &Everwarm, settings: &Settings) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    let component = settings.guest(GUEST, server.world.version())?;
    std::fs::copy(component, folder.path().join("hello.wasm"))?;
    write(folder.path())?;
    let address = servers::free_address()?;
    let command = command_up(settings, folder.path(), address);
    servers::start_command(NAME, command, folder, address, "/", |answer| {
        answer.check_hello()
    })
}

fn write(folder: &Path) -> anyhow::Result<()> {
    let mut app = app("bench");
    app.function(GUEST, "hello.wasm", "/*", Isolation::Request, "");
    app.keep_answers("1h");
    app.write(folder)
}
