//! Does anything survive from one instance to the next? One half of the requests fills memory with a
//! mark and leaves it, the other half looks for the mark in all of its own memory.

use anyhow::{Context, ensure};

use crate::load::generator::{self, Pace, Plan, Until};
use crate::load::wrk;
use crate::pairs::Spread;
use crate::report::Report;
use crate::servers::{self, Isolation, World, app, command_up};
use crate::settings::Settings;

pub(crate) const NAME: &str = "isolation";
pub(crate) const LEAKS: &str = "instances that saw another's bytes";

/// How many instances are made and dropped, each in the place of one before it.
const REUSES: u64 = 1_000_000;
/// Memory that each plants or grows by and searches.
const PATHS: &[&str] = &["/leak-plant?mib=1", "/leak-probe?mib=1"];

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    for world in [World::Wasi02, World::Wasi03] {
        let subject = format!("request {}", world.version());
        reuse(settings, world).with_context(|| subject.clone())?;
        // Every probe was checked as it came: one that found a mark has ended the run as an error.
        report.add(NAME, &subject, LEAKS, "", Spread::of([0.0]));
    }
    Ok(())
}

fn reuse(settings: &Settings, world: World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let component = settings.guest("misbehave", world.version())?;
    std::fs::copy(component, folder.path().join("component.wasm"))?;
    let mut manifest = app("isolation");
    manifest.function("probe", "component.wasm", "/*", Isolation::Request, "");
    manifest.write(folder.path())?;
    let address = servers::free_address()?;
    let command = command_up(settings, folder.path(), address);
    let node = servers::start_command("everwarm", command, folder, address, PATHS[1], |answer| {
        ensure!(answer.status == 200, "got {}", answer.status);
        Ok(())
    })?;
    let outcome = generator::run(&Plan {
        address: node.address,
        paths: PATHS,
        connections: wrk::CONNECTIONS,
        pace: Pace::FlatOut,
        until: Until::Requests(REUSES),
        check: &|path, answer| {
            let body = String::from_utf8_lossy(&answer.body);
            let is_right = match path {
                0 => body.starts_with("planted="),
                _ => body.starts_with("found=0 dirty=0 static=0 "),
            };
            ensure!(answer.status == 200 && is_right, "{} {body}", answer.status);
            Ok(())
        },
    })?;
    eprintln!(
        "   {} requests in {:.0} s",
        outcome.latencies.count(),
        outcome.elapsed.as_secs_f64()
    );
    Ok(())
}
