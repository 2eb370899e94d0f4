//! What a call from one function to another of its app takes, fresh instance included: by its caller's
//! clock, and a request that makes one beside a request that makes none.

use std::time::Duration;

use crate::load::http::Answer;
use crate::load::paced::{Asked, RATES};
use crate::pairs::Spread;
use crate::report::Report;
use crate::servers::{self, Everwarm, Isolation, Running, Server as _, World, app, command_up};
use crate::settings::Settings;

pub(crate) const NAME: &str = "service calls";
pub(crate) const CALL: &str = "p50 of a call by its caller's clock";
pub(crate) const REQUEST: &str = "p50 of a request with a call, over one without";
/// The guest that calls what its own request names.
const CALLER: &str = "fetch";
/// The one that is called.
const CALLED: &str = "hello";
const WITH_CALL: &str = "/get?url=http%3A%2F%2Fhello.everwarm.internal%2F";
const TIMED_CALL: &str = "/timed?url=http%3A%2F%2Fhello.everwarm.internal%2F";
const WITHOUT: &str = "/none?url=x";

const WARM_UP: Duration = Duration::from_secs(1);

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
        let asked = |path, check: &'static dyn Fn(&Answer) -> anyhow::Result<()>| Asked {
            address: running.address,
            path,
            check,
        };
        let with_call = asked(WITH_CALL, &Answer::check_hello);
        let timed_call = asked(TIMED_CALL, &Answer::check_hello);
        let without = asked(WITHOUT, &Answer::check_not_found);
        for rate in RATES {
            with_call.p50_us(rate, WARM_UP)?;
            let (mut calls, mut requests) = (Vec::new(), Vec::new());
            for _ in 0..settings.rounds {
                calls.push(timed_call.took_p50_us(rate, settings.run_time)?);
                let nobody = without.p50_us(rate, settings.run_time)?;
                requests.push(with_call.p50_us(rate, settings.run_time)? - nobody);
            }
            let subject = format!("{subject} {}", rate.words);
            report.add(NAME, &subject, CALL, " us", Spread::of(calls));
            report.add(NAME, &subject, REQUEST, " us", Spread::of(requests));
        }
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
