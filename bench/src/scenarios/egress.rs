//! A function that asks another server and passes its answer on, beside a native hyper proxy that does the same: what
//! a fresh sandbox and the node's own pool of connections add to each request.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::load::Latencies;
use crate::load::generator::{self, Pace, Plan, Until};
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::servers::{
    self, Everwarm, Isolation, Native, NativeProxy, Running, Server as _, World, app, command_up,
};
use crate::settings::Settings;

pub(crate) const NAME: &str = "egress";
pub(crate) const OVER: &str = "p50 over a native proxy";
const P50: &str = "p50";
/// The guest that asks for the URL in its own request.
const GUEST: &str = "fetch";

/// Three servers share the cores with the load: at this rate none of them is busy.
const RATE: NonZeroU64 = NonZeroU64::new(500).expect("500 is not zero");
const CONNECTIONS: usize = 4;
const WARM_UP: Duration = Duration::from_secs(1);
const MEDIAN: usize = 500;

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let upstream = servers::start(&Native, settings)?;
    let proxy = NativeProxy {
        upstream: upstream.address,
    };
    let proxy = servers::start(&proxy, settings)?;
    at_fixed_rate(&proxy, "/", WARM_UP)?;
    let path = format!("/get?url=http%3A%2F%2F{}%2F", upstream.address);
    for world in [World::Wasi02, World::Wasi03] {
        let subject = format!("request {}", world.version());
        let server = Everwarm {
            guest: GUEST,
            isolation: Isolation::Request,
            world,
        };
        if let Some(why) = server.missing(settings) {
            report.skip(format!("{NAME} {subject} is skipped: {why}"));
            continue;
        }
        let running = start(&server, upstream.address, &path, settings)?;
        at_fixed_rate(&running, &path, WARM_UP)?;
        let pairs = pairs::run(
            settings.rounds,
            || at_fixed_rate(&proxy, "/", settings.run_time),
            || at_fixed_rate(&running, &path, settings.run_time),
        )?;
        let p50 = |latencies: &Latencies| latencies.percentile_us(MEDIAN);
        let over = pairs
            .iter()
            .map(|pair| p50(&pair.subject) - p50(&pair.baseline));
        report.add(NAME, &subject, OVER, " us", Spread::of(over));
        let baseline = pairs.iter().map(|pair| p50(&pair.baseline));
        report.add(NAME, "native proxy", P50, " us", Spread::of(baseline));
    }
    Ok(())
}

fn start(
    server: &Everwarm,
    upstream: SocketAddr,
    path: &str,
    settings: &Settings,
) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    let component = settings.guest(GUEST, server.world.version())?;
    std::fs::copy(component, folder.path().join("component.wasm"))?;
    let mut app = app("bench");
    app.function("bench", "component.wasm", "/*", server.isolation, "");
    app.grant_http(&format!("http://{upstream}"));
    app.write(folder.path())?;
    let address = servers::free_address()?;
    let command = command_up(settings, folder.path(), address);
    servers::start_command(&server.name(), command, folder, address, path, |answer| {
        answer.check_hello()
    })
}

/// One run at the fixed rate, every answer checked.
fn at_fixed_rate(server: &Running, path: &str, time: Duration) -> anyhow::Result<Latencies> {
    let outcome = generator::run(&Plan {
        address: server.address,
        host: None,
        paths: &[path],
        connections: CONNECTIONS,
        pace: Pace::PerSecond(RATE),
        until: Until::Time(time),
        check: &|_, answer| answer.check_hello(),
    })?;
    Ok(outcome.latencies)
}
