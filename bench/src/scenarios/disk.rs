//! How fast a function answers that this process has never touched: its compiled artifact is on disk,
//! and nothing of it is in memory.
//!
//! A program of its own (`src/bin/disk_node.rs`) serves the app: a node whose resident set holds one
//! function, so that every other one is on disk. `everwarm up` would have loaded them all at deploy.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use crate::load::Latencies;
use crate::load::http::{self, Answer};
use crate::pairs::Spread;
use crate::report::Report;
use crate::servers::{self, Isolation, Running, app};
use crate::settings::Settings;

pub(crate) const NAME: &str = "disk";
pub(crate) const SUBJECT: &str = "99 untouched axum functions";
pub(crate) const IN_SERVER_P50: &str = "in the server, p50";
const IN_SERVER_P99: &str = "in the server, p99";

/// With the one that shows that the app is live, as many as an app may have.
const FUNCTIONS: usize = 99;
/// What serves them, in the folder of this program.
const PROGRAM: &str = "disk_node";
/// What the axum example answers.
const PATH: &str = "/api/todos/1";

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    if !settings.programs.join(PROGRAM).is_file() {
        report.skip(format!(
            "{NAME} is skipped: the program {PROGRAM} is not built"
        ));
        return Ok(());
    }
    let component = std::fs::read(settings.guest("axum-api", "0.2")?)?;
    let apps = tempfile::tempdir()?;
    std::fs::copy(
        settings.guest("hello", "0.2")?,
        apps.path().join("hello.wasm"),
    )?;
    write_app(apps.path(), &component)?;
    eprintln!("   compiling {FUNCTIONS} components");
    let node = serve(settings, apps)?;
    let mut times_ns = Vec::with_capacity(FUNCTIONS);
    for index in 0..FUNCTIONS {
        times_ns.push(first_answer(&node, index)?);
    }
    let times = Latencies::of(times_ns);
    for (name, per_mille) in [(IN_SERVER_P50, 500), (IN_SERVER_P99, 990)] {
        let ms = times.percentile_us(per_mille) / 1e3;
        report.add(NAME, SUBJECT, name, " ms", Spread::of([ms]));
    }
    Ok(())
}

/// An app with as many functions as there are components, no two of them equal.
fn write_app(folder: &Path, component: &[u8]) -> anyhow::Result<()> {
    let mut manifest = app("disk");
    manifest.function("ready", "hello.wasm", "/", Isolation::Request, "");
    for index in 0..FUNCTIONS {
        let file = format!("f{index}.wasm");
        std::fs::write(folder.join(&file), distinct(component, index))?;
        let route = format!("{}/*", host(index));
        manifest.function(&format!("f{index}"), &file, &route, Isolation::Request, "");
    }
    manifest.write(folder)
}

fn host(index: usize) -> String {
    format!("f{index}.example.com")
}

/// The same component with another digest: a custom section with a number is added at its end.
pub(super) fn distinct(component: &[u8], index: usize) -> Vec<u8> {
    // Section 0: its length, then the length of its name, its name and its content.
    let name = b"bench";
    let content = u32::try_from(index).unwrap_or(u32::MAX).to_le_bytes();
    let section = [&[0, 1 + 5 + 4, 5][..], &name[..], &content[..]];
    [component, &section.concat()].concat()
}

fn serve(settings: &Settings, app: TempDir) -> anyhow::Result<Running> {
    let address = servers::free_address()?;
    let mut command = Command::new(settings.programs.join(PROGRAM));
    command
        .arg(address.to_string())
        .arg(app.path())
        .arg(&settings.everwarm);
    // An app goes live as a whole: once this one answers, all the others are there, untouched.
    servers::start_command(PROGRAM, command, app, address, "/", Answer::check_hello)
}

/// The time that the server says it took, in nanoseconds, for a function that came from disk.
fn first_answer(node: &Running, index: usize) -> anyhow::Result<u64> {
    let host = host(index);
    let answer = http::get_from_host(node.address, &host, PATH)?;
    ensure!(
        answer.status == 200,
        "{host} answered {}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    let timing = answer
        .server_timing
        .as_deref()
        .with_context(|| format!("{host} sent no server-timing"))?;
    if !timing.contains("desc=\"disk\"") && !timing.contains("desc=disk") {
        bail!("{host} did not come from disk: {timing}");
    }
    let milliseconds = timing
        .split(';')
        .find_map(|part| part.trim().strip_prefix("dur="))
        .and_then(|dur| dur.split(',').next()?.trim().parse::<f64>().ok())
        .with_context(|| format!("{host}: no duration in {timing}"))?;
    let time = std::time::Duration::try_from_secs_f64(milliseconds / 1e3)?;
    Ok(u64::try_from(time.as_nanos())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_component_differ_and_stay_well_formed() {
        let empty = b"\0asm\x0d\0\x01\0";
        let (one, other) = (distinct(empty, 1), distinct(empty, 2));
        assert_ne!(one, other);
        let section = &one[empty.len()..];
        assert_eq!(usize::from(section[1]), section.len() - 2);
    }
}
