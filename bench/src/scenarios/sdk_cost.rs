//! The SDK's hello beside one written by hand on the raw bindings, in pairs: the SDK's own cost.

use crate::load::wrk;
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::scenarios::throughput::{self, WARM_UP};
use crate::servers::{self, Everwarm, Isolation, Server as _, World};
use crate::settings::Settings;

pub(crate) const NAME: &str = "sdk cost";
pub(crate) const RATIO: &str = "ratio to a hand-written hello";

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    if let Some(why) = wrk::missing() {
        report.skip(format!("{NAME} is skipped: {why}"));
        return Ok(());
    }
    for (world, by_hand) in [(World::Wasi02, "raw02"), (World::Wasi03, "raw03")] {
        let server = |guest| Everwarm {
            guest,
            isolation: Isolation::Request,
            world,
        };
        if let Some(why) = server(by_hand).missing(settings) {
            report.skip(format!("{NAME} for {} is skipped: {why}", world.version()));
            continue;
        }
        let raw = servers::start(&server(by_hand), settings)?;
        let sdk = servers::start(&server("hello"), settings)?;
        for server in [&raw, &sdk] {
            wrk::run(server.address, "/", WARM_UP)?;
        }
        let pairs = pairs::run(
            settings.rounds,
            || throughput::sample(&raw, settings.run_time),
            || throughput::sample(&sdk, settings.run_time),
        )?;
        let ratios = pairs.iter().map(|pair| {
            pair.subject.run.requests_per_second / pair.baseline.run.requests_per_second
        });
        report.add(NAME, world.version(), RATIO, "", Spread::of(ratios));
    }
    Ok(())
}
