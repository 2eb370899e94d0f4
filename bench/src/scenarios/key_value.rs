//! Key-value data through functions: what a read adds to a hello of the same guest, fresh instance included, and how
//! fast writes are acknowledged, beside a bare sync of the same disk in the same run.

use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::load::Latencies;
use crate::load::generator::{self, Outcome, Pace, Plan, Until};
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::servers::{self, Everwarm, Isolation, Running, Server as _, World, app, command_up};
use crate::settings::Settings;

pub(crate) const NAME: &str = "key-value";
pub(crate) const READ: &str = "p50 of a get over a hello";
pub(crate) const WRITES: &str = "64 writers";
pub(crate) const ALONE: &str = "one writer, p50 over that of a bare fdatasync";
const SYNC: &str = "p50 of a bare fdatasync";

const GUEST: &str = "kv";
const HELLO: &str = "/hello";
const GET: &str = "/get";
const SET: &str = "/set";

const RATE: NonZeroU64 = NonZeroU64::new(500).expect("500 is not zero");
const CONNECTIONS: usize = 4;
const WRITERS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);
const MEDIAN: usize = 500;
const PAGE: [u8; 4_096] = [1; 4_096];
/// Pages that are synced bare: as a log of SQLite's they are written over when the last was.
const BARE_PAGES: u64 = 4_096;

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
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
        let running = start(&server, settings)?;
        let load = |path, connections, pace, time| load(&running, path, connections, pace, time);
        let steady = |path, time| load(path, CONNECTIONS, Pace::PerSecond(RATE), time);
        steady(SET, WARM_UP)?;
        let reads = pairs::run(
            settings.rounds,
            || steady(HELLO, settings.run_time),
            || steady(GET, settings.run_time),
        )?;
        let over = reads
            .iter()
            .map(|pair| p50(&pair.subject.latencies) - p50(&pair.baseline.latencies));
        report.add(NAME, &subject, READ, " us", Spread::of(over));

        let disk = tempfile::tempdir()?;
        let (mut rates, mut ratios, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..settings.rounds {
            let together = load(SET, WRITERS, Pace::FlatOut, settings.run_time)?;
            let count = u32::try_from(together.latencies.count()).unwrap_or(u32::MAX);
            rates.push(f64::from(count) / together.elapsed.as_secs_f64());
            let bare = p50(&sync_bare(disk.path(), settings.run_time / 2)?);
            let hello = load(HELLO, 1, Pace::FlatOut, settings.run_time / 4)?;
            let alone = load(SET, 1, Pace::FlatOut, settings.run_time / 2)?;
            // What a request takes without a write is no part of the write.
            ratios.push((p50(&alone.latencies) - p50(&hello.latencies)) / bare);
            syncs.push(bare);
        }
        report.add(NAME, &subject, WRITES, " writes/s", Spread::of(rates));
        report.add(NAME, &subject, ALONE, "", Spread::of(ratios));
        report.add(NAME, &subject, SYNC, " us", Spread::of(syncs));
    }
    Ok(())
}

fn p50(latencies: &Latencies) -> f64 {
    latencies.percentile_us(MEDIAN)
}

fn start(server: &Everwarm, settings: &Settings) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    let component = settings.guest(GUEST, server.world.version())?;
    std::fs::copy(component, folder.path().join("kv.wasm"))?;
    let mut app = app("bench");
    app.function(GUEST, "kv.wasm", "/*", server.isolation, "");
    app.grant_store("default");
    app.write(folder.path())?;
    let address = servers::free_address()?;
    let command = command_up(settings, folder.path(), address);
    servers::start_command(&server.name(), command, folder, address, SET, |answer| {
        answer.check_hello()
    })
}

fn load(
    server: &Running,
    path: &str,
    connections: usize,
    pace: Pace,
    time: Duration,
) -> anyhow::Result<Outcome> {
    generator::run(&Plan {
        address: server.address,
        host: None,
        paths: &[path],
        connections,
        pace,
        until: Until::Time(time),
        check: &|_, answer| answer.check_hello(),
    })
}

/// Writes a page and syncs it, again and again.
fn sync_bare(folder: &Path, time: Duration) -> anyhow::Result<Latencies> {
    let file = File::create(folder.join("bare"))?;
    // Its length doesn't change while it is measured: that would be one write more.
    for page in 0..BARE_PAGES {
        file.write_all_at(&PAGE, page * 4_096)?;
    }
    file.sync_all()?;
    let started = Instant::now();
    let mut samples_ns = Vec::new();
    for page in (0..BARE_PAGES).cycle() {
        let began = Instant::now();
        if began - started >= time {
            break;
        }
        file.write_all_at(&PAGE, page * 4_096)?;
        file.sync_data()?;
        samples_ns.push(u64::try_from(began.elapsed().as_nanos())?);
    }
    Ok(Latencies::of(samples_ns))
}
