//! Does anything survive from one instance to the next? One guest fills memory with a mark in half of its
//! requests and looks for it in the other half. The other guest, in every request, looks at a global, a
//! table, a data segment and the numbers of its handles, and then changes them all.

use anyhow::{Context, ensure};

use crate::load::generator::{self, Pace, Plan, Until};
use crate::load::http::Answer;
use crate::load::wrk;
use crate::pairs::Spread;
use crate::report::Report;
use crate::servers::{self, Isolation, World, app, command_up};
use crate::settings::Settings;

pub(crate) const NAME: &str = "isolation";
pub(crate) const LEAKS: &str = "instances that saw another's traces";

/// How many instances are made and dropped of each guest, each in the place of one before it.
const REUSES: u64 = 1_000_000;

/// A guest that looks for traces.
struct Search {
    guest: &'static str,
    /// Asked for in turn. The last finds nothing in an instance that nobody has used.
    paths: &'static [&'static str],
    /// Whether an answer to a path says that nothing was found.
    is_clean: fn(usize, &Answer, World) -> bool,
}

const SEARCHES: &[Search] = &[
    Search {
        guest: "misbehave",
        // Memory that each plants or grows by and searches.
        paths: &["/leak-plant?mib=1", "/leak-probe?mib=1"],
        is_clean: |path, answer, _| {
            answer.body.starts_with(match path {
                0 => b"planted=",
                _ => b"found=0 dirty=0 static=0 ",
            })
        },
    },
    Search {
        guest: "traces",
        paths: &["/"],
        is_clean: |_, answer, world| {
            let handle = match world {
                World::Wasi02 => 3,
                // The two ends of the trailers come before.
                World::Wasi03 => 4,
            };
            let clean = format!(
                "global=0000600d table=00000040 filled=00000001 data=0000600d \
                 handle={handle:08x} marked=00000000"
            );
            answer.found == Some(clean)
        },
    },
];

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    for world in [World::Wasi02, World::Wasi03] {
        let subject = format!("request {}", world.version());
        for search in SEARCHES {
            reuse(settings, search, world)
                .with_context(|| format!("{subject}, {}", search.guest))?;
        }
        // Every answer was checked as it came: one that found something has ended the run as an error.
        report.add(NAME, &subject, LEAKS, "", Spread::of([0.0]));
    }
    Ok(())
}

fn reuse(settings: &Settings, search: &Search, world: World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let component = settings.guest(search.guest, world.version())?;
    std::fs::copy(component, folder.path().join("component.wasm"))?;
    let mut manifest = app("isolation");
    manifest.function("probe", "component.wasm", "/*", Isolation::Request, "");
    manifest.write(folder.path())?;
    let address = servers::free_address()?;
    let command = command_up(settings, folder.path(), address);
    let last = search.paths.len() - 1;
    let check = |path: usize, answer: &Answer| {
        ensure!(
            answer.status == 200 && (search.is_clean)(path, answer, world),
            "{} {:?} {}",
            answer.status,
            answer.found,
            String::from_utf8_lossy(&answer.body)
        );
        Ok(())
    };
    let probe = search.paths[last];
    let node = servers::start_command("everwarm", command, folder, address, probe, |answer| {
        check(last, answer)
    })?;
    let outcome = generator::run(&Plan {
        address: node.address,
        host: None,
        paths: search.paths,
        connections: wrk::CONNECTIONS,
        pace: Pace::FlatOut,
        until: Until::Requests(REUSES),
        check: &check,
    })?;
    eprintln!(
        "   {}: {} requests in {:.0} s",
        search.guest,
        outcome.latencies.count(),
        outcome.elapsed.as_secs_f64()
    );
    Ok(())
}
