//! How long a deploy takes by the command line, how soon a promotion is in force, and a hundred deploys at once.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use everwarm_api::client::Client;
use everwarm_api::messages::{Rollback, SetTraffic};

use super::node::{App, Data, Node, deploy, host};
use super::{DEPLOY, FAILED, HELLO, HUNDRED, P99_RATIO, PROMOTE};
use crate::load::generator::{self, Pace, Plan, Until};
use crate::load::http::{self, Answer};
use crate::pairs::Spread;
use crate::report::Report;
use crate::scenarios::disk::distinct;
use crate::settings::Settings;

pub(crate) const NAME: &str = "scale-deploys";
const DEPLOYS: usize = 11;
const TURNS: usize = 21;
const APPS: usize = 100;
/// Requests a second while deploys go on.
const PER_SECOND: u64 = 500;
/// Niceness of those who deploy.
const CLIENTS_NICENESS: i32 = 10;
/// What is served meanwhile.
const SERVED: &str = "served";

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let data = Data::new()?;
    let hello = std::fs::read(settings.guest("hello", "0.2")?)?;
    let node = data.start_empty(settings, &[])?;
    by_command_line(settings, report, &node, &hello)?;
    promotions(report, &node, &hello)?;
    at_once(settings, report, &node, &hello)
}

/// From the start of `everwarm deploy` to the first answer of what it deployed. The component is built already, and new
/// to the node.
fn by_command_line(
    settings: &Settings,
    report: &mut Report,
    node: &Node,
    hello: &[u8],
) -> anyhow::Result<()> {
    let mut times_ms = Vec::new();
    for turn in 0..DEPLOYS {
        let folder = tempfile::tempdir()?;
        let name = format!("cli-{turn}");
        std::fs::write(
            folder.path().join("everwarm.toml"),
            format!(
                "name = \"{name}\"\n[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\nroutes = [\"/*\"]\n"
            ),
        )?;
        std::fs::write(folder.path().join("f.wasm"), distinct(hello, turn))?;
        let started = Instant::now();
        let output = Command::new(&settings.everwarm)
            .args(["deploy", "--json", "--node", &node.admin])
            .arg(folder.path())
            .env("EVERWARM_TOKEN", node.token.expose())
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "everwarm deploy failed: {output:?}"
        );
        http::get_from_host(node.address, &host(&name), "/")?.check_hello()?;
        times_ms.push(started.elapsed().as_secs_f64() * 1e3);
    }
    report.add(NAME, HELLO, DEPLOY, " ms", Spread::of(times_ms));
    Ok(())
}

/// From the answer to a promotion or a rollback to the first answer of the version that it is about.
fn promotions(report: &mut Report, node: &Node, hello: &[u8]) -> anyhow::Result<()> {
    let version = |route: &str| {
        let mut app = App::new("turns");
        app.function("f", route, hello.to_vec().into(), "");
        node.deploy(&app)
    };
    let (one, other) = (version("/one")?, version("/other")?);
    let mut times_ms = Vec::new();
    for turn in 0..TURNS {
        let path = if turn % 2 == 0 {
            let to_one = SetTraffic {
                version: one.version.id.clone(),
                percent: None,
                sticky_header: None,
            };
            node.wait(node.client.set_traffic("turns", &to_one))?;
            "/one"
        } else {
            let back = Rollback {
                version: Some(other.version.id.clone()),
            };
            node.wait(node.client.roll_back("turns", &back))?;
            "/other"
        };
        let answered = Instant::now();
        while !is_hello(node, "turns", path) {
            ensure!(
                answered.elapsed() < Duration::from_secs(10),
                "it isn't live"
            );
        }
        times_ms.push(answered.elapsed().as_secs_f64() * 1e3);
    }
    report.add(NAME, HELLO, PROMOTE, " ms", Spread::of(times_ms));
    Ok(())
}

fn is_hello(node: &Node, app: &str, path: &str) -> bool {
    let answered = http::get_from_host(node.address, &host(app), path);
    answered.is_ok_and(|answer| answer.check_hello().is_ok())
}

/// A hundred apps with components of their own, deployed at once while another is asked.
fn at_once(
    settings: &Settings,
    report: &mut Report,
    node: &Node,
    hello: &[u8],
) -> anyhow::Result<()> {
    let mut served = App::new(SERVED);
    served.function("f", "/*", hello.to_vec().into(), "");
    node.deploy(&served)?;
    let alone = p99_us(node, Until::Time(settings.run_time))?;
    // Of its own: connections belong to the runtime that they were made on.
    let client = Client::new(&node.admin, node.token.clone(), None)?;
    let apps: Vec<App> = (0..APPS)
        .map(|index| {
            let mut app = App::new(&format!("once-{index}"));
            app.function("f", "/*", distinct(hello, 1_000 + index).into(), "");
            app
        })
        .collect();
    let started = Instant::now();
    let deploys = std::thread::spawn(move || -> anyhow::Result<(usize, Duration)> {
        // Who deploys is on other machines: what it computes here must not keep the node or the generator waiting.
        let _ = rustix::process::setpriority_process(None, CLIENTS_NICENESS);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let deploys = apps.iter().map(|app| deploy(&client, app));
        let done = runtime.block_on(futures_util::future::join_all(deploys));
        let failed = done.iter().filter(|done| done.is_err()).count();
        Ok((failed, started.elapsed()))
    });
    // As long as they may take; the generator's requests beyond their end are as those before.
    let mut samples = Vec::new();
    while !deploys.is_finished() {
        samples.push(p99_us(node, Until::Time(Duration::from_secs(1)))?);
    }
    let deploys = deploys
        .join()
        .ok()
        .context("the deploying thread panicked")?;
    let (failed, took) = deploys?;
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
    let failed = failed as f64;
    report.add(NAME, HUNDRED, FAILED, "", Spread::of([failed]));
    report.add(
        NAME,
        HUNDRED,
        "all live after",
        " s",
        Spread::of([took.as_secs_f64()]),
    );
    let ratios = samples.iter().map(|p99| p99 / alone);
    report.add(NAME, HUNDRED, P99_RATIO, "x", Spread::of(ratios));
    Ok(())
}

fn p99_us(node: &Node, until: Until) -> anyhow::Result<f64> {
    let outcome = generator::run(&Plan {
        address: node.address,
        host: Some(&host(SERVED)),
        paths: &["/"],
        connections: 8,
        pace: Pace::PerSecond(PER_SECOND.try_into().context("not zero")?),
        until,
        check: &|_, answer: &Answer| answer.check_hello(),
    })?;
    Ok(outcome.latencies.percentile_us(990))
}
