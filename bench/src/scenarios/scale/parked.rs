//! Ten thousand requests, each in a fresh instance that waits for a timer, over connections of HTTP/2.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::node::{App, Data, Node, host};
use super::{ERRORS, PARKED, RESIDENT};
use crate::pairs::Spread;
use crate::report::Report;
use crate::settings::Settings;

pub(crate) const NAME: &str = "scale-parked";
const COUNT: usize = 10_000;
const PER_CONNECTION: usize = 200;
/// Memory mappings that a process must be allowed: the node counts with twelve for each instance of its two pools, and
/// leaves a quarter of them to functions. With Linux's default of 65,530 about 2,000 instances fit; the others get 503
/// (EW3012).
const MAPPINGS: u64 = 524_288;
const MAPPINGS_MAX: &str = "/proc/sys/vm/max_map_count";
/// Long enough for all to be there before the first is done.
const WAIT_MS: u64 = 20_000;
/// How long they may take in all.
const TIME_MAX: Duration = Duration::from_mins(2);
const LIMITS: &str =
    "[function.limits]\nwall_time = \"60s\"\nconcurrency = 10000\nmemory = \"64MiB\"\n";

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let allowed = std::fs::read_to_string(MAPPINGS_MAX)
        .context("could not read how many mappings a process may have")?;
    ensure!(
        allowed.trim().parse::<u64>()? >= MAPPINGS,
        "a process may have {} mappings, and {COUNT} instances need more: \
         `sysctl -w vm.max_map_count={MAPPINGS}` as root, and run this again",
        allowed.trim()
    );
    let data = Data::new()?;
    let guest = std::fs::read(settings.guest("misbehave", "0.2")?)?;
    let arguments = ["--requests-max", "12000", "--instances-max", "10100"];
    let node = data.start_empty(settings, &arguments)?;
    let mut app = App::new("parked");
    app.function("f", "/*", guest.into(), LIMITS);
    node.deploy(&app)?;
    let (errors, resident) =
        node.wait(async { tokio::time::timeout(TIME_MAX, park(&node)).await })??;
    report.add(NAME, PARKED, ERRORS, "", Spread::of([f64::from(errors)]));
    report.add(NAME, PARKED, RESIDENT, " MiB", Spread::of(resident));
    Ok(())
}

/// Sends all requests, looks at the node's memory when they are there, and counts the wrong answers.
async fn park(node: &Node) -> anyhow::Result<(u32, Option<f64>)> {
    let host = host("parked");
    let mut waiting = Vec::new();
    for _ in 0..COUNT / PER_CONNECTION {
        let stream = tokio::net::TcpStream::connect(node.address).await?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        for _ in 0..PER_CONNECTION {
            let mut sender = sender.clone();
            let request = hyper::Request::get(format!("http://{host}/sleep?ms={WAIT_MS}"))
                .body(Empty::<Bytes>::new())
                .context("a request can be made")?;
            waiting.push(tokio::spawn(async move {
                sender.ready().await?;
                let answer = sender.send_request(request).await?;
                let status = answer.status();
                answer.into_body().collect().await?;
                Ok::<_, hyper::Error>(status)
            }));
        }
        drop(driver);
    }
    // Half of the time that they wait: all are there, and none is done.
    tokio::time::sleep(Duration::from_millis(WAIT_MS / 2)).await;
    let resident = super::node::mib(node);
    let mut errors = 0;
    for answer in waiting {
        if !matches!(answer.await, Ok(Ok(status)) if status.is_success()) {
            errors += 1;
        }
    }
    Ok((errors, resident))
}
