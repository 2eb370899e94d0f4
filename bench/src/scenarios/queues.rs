//! Queues and schedules: how many messages a second go through a handler, sending included, and how late the clock's runs
//! are.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::load::Latencies;
use crate::load::generator::{self, Pace, Plan, Until};
use crate::load::http;
use crate::pairs::Spread;
use crate::report::Report;
use crate::servers::{self, Everwarm, Isolation, Running, Server as _, World, app, command_up};
use crate::settings::Settings;

pub(crate) const NAME: &str = "queues";
pub(crate) const MESSAGES: &str = "messages through a handler, batches of 10";
pub(crate) const LATE: &str = "cron tick, p50 late";
pub(crate) const LATEST: &str = "cron tick, the latest";

const GUEST: &str = "queue";
const FILL: &str = "/fill";
/// Messages of one fill.
const FILLED: u64 = 100;
/// Fills of one round.
const FILLS: NonZeroU64 = NonZeroU64::new(300).expect("300 is not zero");
const SENDERS: usize = 4;
/// How long messages may take.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Runs of the schedule that are looked at.
const TICKS: usize = 10;
const MEDIAN: usize = 500;

const QUEUE: &str = "\n[[queue]]\nname = \"jobs\"\nfunction = \"queue\"\npath = \"/count\"\nbatch = 10\nconcurrency = 16\n";
const SCHEDULE: &str = "\n[[schedule]]\nname = \"tick\"\nfunction = \"queue\"\npath = \"/tick\"\ncron = \"* * * * * *\"\n";

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
        let queue = start(&server, settings, QUEUE)?;
        let mut rates = Vec::new();
        for round in 1..=settings.rounds {
            let began = Instant::now();
            generator::run(&Plan {
                address: queue.address,
                host: None,
                paths: &[FILL],
                connections: SENDERS,
                pace: Pace::FlatOut,
                until: Until::Requests(FILLS.get()),
                check: &|_, answer| answer.check_hello(),
            })?;
            handled(&queue, FILLED * FILLS.get() * round as u64)?;
            let sent = u32::try_from(FILLED * FILLS.get())?;
            rates.push(f64::from(sent) / began.elapsed().as_secs_f64());
        }
        report.add(NAME, &subject, MESSAGES, " messages/s", Spread::of(rates));
        drop(queue);

        let schedule = start(&server, settings, SCHEDULE)?;
        let late = ticks(&schedule)?;
        let us = |per_mille| Spread::of([late.percentile_us(per_mille) / 1_000.0]);
        report.add(NAME, &subject, LATE, " ms", us(MEDIAN));
        report.add(NAME, &subject, LATEST, " ms", us(1_000));
    }
    Ok(())
}

fn start(server: &Everwarm, settings: &Settings, tables: &str) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    let component = settings.guest(GUEST, server.world.version())?;
    std::fs::copy(component, folder.path().join("queue.wasm"))?;
    let mut app = app("bench");
    app.function(GUEST, "queue.wasm", "/*", server.isolation, "");
    app.grant_lines("kv = [\"default\"]");
    if tables == QUEUE {
        app.grant_lines("queues = [\"jobs\"]");
    }
    app.lines(tables);
    app.write(folder.path())?;
    let address = servers::free_address()?;
    let command = command_up(settings, folder.path(), address);
    servers::start_command(
        &server.name(),
        command,
        folder,
        address,
        "/hello",
        http::Answer::check_hello,
    )
}

/// What a guest has written down.
fn asked(server: &Running, path: &str) -> anyhow::Result<String> {
    let answer = http::get(server.address, path)?;
    ensure!(answer.status == 200, "{path} answered {}", answer.status);
    String::from_utf8(answer.body).context("the guest wrote no text")
}

/// Waits until so many messages were handled.
fn handled(server: &Running, count: u64) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let counted: u64 = asked(server, "/counted")?.parse().unwrap_or(0);
        if counted >= count {
            return Ok(());
        }
        ensure!(
            Instant::now() < end,
            "{counted} of {count} messages were handled"
        );
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// How late the runs of a schedule are.
fn ticks(server: &Running) -> anyhow::Result<Latencies> {
    let end = Instant::now() + PATIENCE;
    loop {
        let late = asked(server, "/late")?;
        // The first one may have begun while the server did.
        let late: Vec<u64> = late
            .lines()
            .skip(1)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        if late.len() >= TICKS {
            let ns = late.into_iter().map(|us| us * 1_000);
            return Ok(Latencies::of(ns.collect()));
        }
        ensure!(Instant::now() < end, "{} runs of {TICKS} came", late.len());
        std::thread::sleep(Duration::from_millis(500));
    }
}
