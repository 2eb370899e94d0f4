//! Starts: with a thousand apps, and of functions that the process never touched.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::node::{App, Data, host};
use super::{FIRST_ANSWER, IN_SERVER_P50, IN_SERVER_P99, START, UNTOUCHED};
use crate::load::Latencies;
use crate::load::http::{self, Answer};
use crate::pairs::Spread;
use crate::report::Report;
use crate::scenarios::disk::distinct;
use crate::settings::Settings;

pub(crate) const NAME: &str = "scale-start";
const APPS: usize = 1_000;
const STARTS: usize = 21;
const FUNCTIONS: usize = 500;
const FUNCTIONS_PER_APP: usize = 100;
/// How long the access log may lag behind.
const LOG_TIME_MAX: Duration = Duration::from_secs(10);
/// What the axum example answers.
const PATH: &str = "/api/todos/1";

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let data = Data::new()?;
    let hello = std::fs::read(settings.guest("hello", "0.2")?)?;
    let axum = std::fs::read(settings.guest("axum-api", "0.2")?)?;
    eprintln!("   deploying {APPS} apps");
    let node = data.start_empty(settings, &[])?;
    for index in 0..APPS {
        let mut app = App::new(&format!("app-{index}"));
        app.function("f", "/*", hello.clone().into(), "");
        node.deploy(&app)?;
    }
    drop(node);

    let asked = host(&format!("app-{}", APPS / 2));
    let mut starts_ms = Vec::new();
    for _ in 0..STARTS {
        let node = data.start(settings, &[], (&asked, "/"), Answer::check_hello)?;
        starts_ms.push(node.first_answer.as_secs_f64() * 1e3);
    }
    report.add(NAME, START, FIRST_ANSWER, " ms", Spread::of(starts_ms));

    eprintln!("   deploying {FUNCTIONS} functions");
    let node = data.start(settings, &[], (&asked, "/"), Answer::check_hello)?;
    for first in (0..FUNCTIONS).step_by(FUNCTIONS_PER_APP) {
        let mut app = App::new(&format!("many-{first}"));
        for index in first..first + FUNCTIONS_PER_APP {
            let route = format!("f{index}.example.org/*");
            app.function(
                &format!("f{index}"),
                &route,
                distinct(&axum, index).into(),
                "",
            );
        }
        node.deploy(&app)?;
    }
    drop(node);

    let node = data.start(settings, &[], (&asked, "/"), Answer::check_hello)?;
    for index in 0..FUNCTIONS {
        let host = format!("f{index}.example.org");
        let answer = http::get_from_host(node.address, &host, PATH)?;
        ensure!(answer.status == 200, "{host} answered {}", answer.status);
    }
    // The log is written behind the answers.
    let deadline = Instant::now() + LOG_TIME_MAX;
    let times = loop {
        let times = Latencies::of(first_times(&node.log()?)?);
        if times.count() == FUNCTIONS || Instant::now() > deadline {
            break times;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    ensure!(
        times.count() == FUNCTIONS,
        "{} of {FUNCTIONS} came from disk",
        times.count()
    );
    for (name, per_mille) in [(IN_SERVER_P50, 500), (IN_SERVER_P99, 990)] {
        let ms = times.percentile_us(per_mille) / 1e3;
        report.add(NAME, UNTOUCHED, name, " ms", Spread::of([ms]));
    }
    Ok(())
}

/// The times of the requests of the functions above, from the access log.
fn first_times(log: &str) -> anyhow::Result<Vec<u64>> {
    let mut times_ns = Vec::new();
    for line in log
        .lines()
        .filter(|line| line.contains("\"path\":\"/api/todos/1\""))
    {
        let event: Value = serde_json::from_str(line)?;
        if event["start"] != "disk" {
            bail!("it didn't come from disk: {line}");
        }
        let took = event["took_us"]
            .as_u64()
            .context("an event without a time")?;
        times_ns.push(took * 1_000);
    }
    Ok(times_ns)
}
