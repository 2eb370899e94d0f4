//! A function that asks another server and passes its answer on, beside a native hyper proxy that does the same: what
//! the node's own pool of connections adds to the call, by the clocks of those who make it, and what a fresh sandbox and the call
//! together add to the request that it is made for.

use std::net::SocketAddr;
use std::time::Duration;

use crate::load::http::Answer;
use crate::load::paced::{Asked, RATES, Rate};
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::servers::{
    self, Everwarm, Isolation, Native, NativeProxy, Running, Server as _, World, app, command_up,
};
use crate::settings::Settings;

pub(crate) const NAME: &str = "egress";
pub(crate) const CALL: &str =
    "p50 of a call by the guest's clock, over a native client's by its own";
pub(crate) const REQUEST: &str = "p50 of a request with its call, over a native proxy's";
const P50_CALL: &str = "p50 of a call";
const P50_REQUEST: &str = "p50 of a request with its call";
/// The guest that asks for the URL in its own request.
const GUEST: &str = "fetch";

const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let upstream = servers::start(&Native, settings)?;
    let proxy = NativeProxy {
        upstream: upstream.address,
    };
    let proxy = servers::start(&proxy, settings)?;
    let asking = |path: &str| format!("{path}?url=http%3A%2F%2F{}%2F", upstream.address);
    let (path, timed) = (asking("/get"), asking("/timed"));
    for world in [World::Wasi02, World::Wasi03] {
        let server = Everwarm {
            guest: GUEST,
            isolation: Isolation::Request,
            world,
        };
        if let Some(why) = server.missing(settings) {
            let version = world.version();
            report.skip(format!("{NAME} request {version} is skipped: {why}"));
            continue;
        }
        let running = start(&server, upstream.address, &path, settings)?;
        let asked = |server: &Running, path| Asked {
            address: server.address,
            path,
            check: &Answer::check_hello,
        };
        let sides = Sides {
            native_request: asked(&proxy, "/"),
            native_call: asked(&proxy, "/timed"),
            request: asked(&running, &path),
            call: asked(&running, &timed),
        };
        for rate in RATES {
            sides.measure(world, rate, settings, report)?;
        }
    }
    Ok(())
}

/// A native server and ours: a request for which they make a call, and one whose answer says how long that took.
struct Sides<'a> {
    native_request: Asked<'a>,
    native_call: Asked<'a>,
    request: Asked<'a>,
    call: Asked<'a>,
}

impl Sides<'_> {
    fn measure(
        &self,
        world: World,
        rate: Rate,
        settings: &Settings,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let time = settings.run_time;
        self.native_request.p50_us(rate, WARM_UP)?;
        self.request.p50_us(rate, WARM_UP)?;
        let calls = pairs::run(
            settings.rounds,
            || self.native_call.took_p50_us(rate, time),
            || self.call.took_p50_us(rate, time),
        )?;
        let requests = pairs::run(
            settings.rounds,
            || self.native_request.p50_us(rate, time),
            || self.request.p50_us(rate, time),
        )?;
        let subject = format!("request {} {}", world.version(), rate.words);
        let native = format!("native hyper {}", rate.words);
        for (over, p50, pairs) in [(CALL, P50_CALL, calls), (REQUEST, P50_REQUEST, requests)] {
            let added = pairs.iter().map(|pair| pair.subject - pair.baseline);
            report.add(NAME, &subject, over, " us", Spread::of(added));
            let baseline = pairs.iter().map(|pair| pair.baseline);
            report.add(NAME, &native, p50, " us", Spread::of(baseline));
        }
        Ok(())
    }
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
