//! What telemetry for a collector costs a request: hellos a second of a node that sends its traces, logs and metrics, in pairs
//! with one that sends nothing. The collector takes all and keeps nothing, on the same cores.

use crate::load::wrk;
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::scenarios::throughput::{self, WARM_UP};
use crate::servers::{self, Everwarm, Isolation, Native, Running, Server as _, World};
use crate::settings::Settings;

pub(crate) const NAME: &str = "telemetry";
const RATIO: &str = "ratio to a node that sends none";
const CPU: &str = "server CPU per request, over that of a node that sends none";
/// Of how many requests traces are recorded, and what the table calls it.
const SAMPLED: [(&str, &str); 3] = [
    ("0", "logs and metrics"),
    ("0.01", "and traces of 1 in 100"),
    ("1", "and traces of all"),
];

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let hello = Everwarm {
        guest: "hello",
        isolation: Isolation::Request,
        world: World::Wasi02,
    };
    if let Some(why) = wrk::missing().or_else(|| hello.missing(settings)) {
        report.skip(format!("{NAME} is skipped: {why}"));
        return Ok(());
    }
    let collector = servers::start(&Native, settings)?;
    let silent = servers::start(&hello, settings)?;
    wrk::run(silent.address, "/", WARM_UP)?;
    for (ratio, words) in SAMPLED {
        let tells = start(&hello, &collector, ratio, settings)?;
        wrk::run(tells.address, "/", WARM_UP)?;
        let pairs = pairs::run(
            settings.rounds,
            || throughput::sample(&silent, settings.run_time),
            || throughput::sample(&tells, settings.run_time),
        )?;
        let ratios = pairs.iter().map(|pair| {
            pair.subject.run.requests_per_second / pair.baseline.run.requests_per_second
        });
        report.add(NAME, words, RATIO, "", Spread::of(ratios));
        let more = pairs
            .iter()
            .map(|pair| pair.subject.cpu_us - pair.baseline.cpu_us);
        report.add(NAME, words, CPU, " us", Spread::of(more));
    }
    Ok(())
}

fn start(
    hello: &Everwarm,
    collector: &Running,
    ratio: &str,
    settings: &Settings,
) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    let address = servers::free_address()?;
    let mut command = hello.command(settings, folder.path(), address)?;
    let collector = format!("http://{}", collector.address);
    command.args(["--otlp-endpoint", &collector, "--otlp-sample-ratio", ratio]);
    servers::start_command(NAME, command, folder, address, "/", |answer| {
        answer.check_hello()
    })
}
