//! Key-value data through functions: what a read adds to a hello of the same guest, fresh instance included, and how
//! fast writes are acknowledged, beside a bare sync of the same disk in the same run, and beside a native hyper server
//! whose handler does that bare sync itself: what an HTTP request costs the sync, whoever serves it.

use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::load::Latencies;
use crate::load::generator::{self, Outcome, Pace, Plan, Until};
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::servers::{
    self, Everwarm, Isolation, NativeWriter, Running, Server as _, World, app, command_up,
};
use crate::settings::Settings;

pub(crate) const NAME: &str = "key-value";
pub(crate) const READ: &str = "p50 of a get over a hello";
pub(crate) const WRITES: &str = "64 writers";
pub(crate) const ALONE: &str = "one writer, p50 over that of a bare fdatasync";
const SYNC: &str = "p50 of a bare fdatasync";
const NATIVE: &str = "native hyper that writes";
const OVER_NATIVE: &str = "one writer, p50 over that of native hyper that writes";

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
        let pace = Pace::PerSecond(RATE);
        let steady = |path, time| load(&running, path, CONNECTIONS, pace, time);
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

        writes(&running, &subject, settings, report)?;
    }
    Ok(())
}

/// Writes of many and of one, in turn with what the disk alone takes for one, and with what a native server does.
fn writes(
    running: &Running,
    subject: &str,
    settings: &Settings,
    report: &mut Report,
) -> anyhow::Result<()> {
    let disk = tempfile::tempdir()?;
    let pages = BarePages::create(disk.path().join("bare"))?;
    let file = pages.path.clone();
    let native = servers::start(&NativeWriter { file }, settings)?;
    // What a request takes without a write is no part of the write.
    let one_writer = |server: &Running| -> anyhow::Result<f64> {
        let hello = load(server, HELLO, 1, Pace::FlatOut, settings.run_time / 4)?;
        let alone = load(server, SET, 1, Pace::FlatOut, settings.run_time / 2)?;
        Ok(p50(&alone.latencies) - p50(&hello.latencies))
    };
    let (mut rates, mut ratios, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut natives, mut over) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        let together = load(running, SET, WRITERS, Pace::FlatOut, settings.run_time)?;
        let count = u32::try_from(together.latencies.count()).unwrap_or(u32::MAX);
        rates.push(f64::from(count) / together.elapsed.as_secs_f64());
        let bare = p50(&pages.sync(settings.run_time / 2)?);
        let alone = one_writer(running)?;
        let alone_native = one_writer(&native)?;
        ratios.push(alone / bare);
        natives.push(alone_native / bare);
        over.push(alone - alone_native);
        syncs.push(bare);
    }
    report.add(NAME, subject, WRITES, " writes/s", Spread::of(rates));
    report.add(NAME, subject, ALONE, "", Spread::of(ratios));
    report.add(NAME, subject, OVER_NATIVE, " us", Spread::of(over));
    report.add(NAME, NATIVE, ALONE, "", Spread::of(natives));
    report.add(NAME, subject, SYNC, " us", Spread::of(syncs));
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

/// A file whose length doesn't change while it is measured: that would be one write more.
struct BarePages {
    file: File,
    path: PathBuf,
}

impl BarePages {
    fn create(path: PathBuf) -> anyhow::Result<Self> {
        let file = File::create(&path)?;
        for page in 0..BARE_PAGES {
            file.write_all_at(&PAGE, page * 4_096)?;
        }
        file.sync_all()?;
        Ok(Self { file, path })
    }

    /// Writes a page and syncs it, again and again.
    fn sync(&self, time: Duration) -> anyhow::Result<Latencies> {
        let started = Instant::now();
        let mut samples_ns = Vec::new();
        for page in (0..BARE_PAGES).cycle() {
            let began = Instant::now();
            if began - started >= time {
                break;
            }
            self.file.write_all_at(&PAGE, page * 4_096)?;
            self.file.sync_data()?;
            samples_ns.push(u64::try_from(began.elapsed().as_nanos())?);
        }
        Ok(Latencies::of(samples_ns))
    }
}
