//! How long from an edit of a function's source to its new answer, with `everwarm up` watching, and how
//! much of that is left once cargo has ended. The page must answer all the while.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use crate::load::http;
use crate::pairs::Spread;
use crate::report::Report;
use crate::servers::{self, Running};
use crate::settings::Settings;

pub(crate) const NAME: &str = "edit to live";
pub(crate) const SUBJECT: &str = "hello from `everwarm new`";
pub(crate) const AFTER_CARGO: &str = "after cargo ended";
const IN_ALL: &str = "in all";

/// Edits that are measured.
const EDITS: usize = 10;
/// How long one edit may take, cargo included.
const EDIT_TIME_MAX: Duration = Duration::from_mins(2);
/// How often the page is asked: the resolution of what is measured.
const ASK_EVERY: Duration = Duration::from_millis(2);
const APP: &str = "edited";

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let parent = tempfile::tempdir()?;
    new_app(settings, parent.path())?;
    let app = parent.path().join(APP);
    edit(&app, 0)?;
    let node = up(settings, &app)?;
    let (mut in_all, mut after_cargo) = (Vec::new(), Vec::new());
    for number in 1..=EDITS {
        let edited = Instant::now();
        edit(&app, number)?;
        wait_for(&node, number)?;
        let live_at = SystemTime::now();
        in_all.push(edited.elapsed().as_secs_f64() * 1e3);
        let since_cargo = live_at.duration_since(built_at(&app)?).unwrap_or_default();
        after_cargo.push(since_cargo.as_secs_f64() * 1e3);
    }
    report.add(NAME, SUBJECT, IN_ALL, " ms", Spread::of(in_all));
    report.add(NAME, SUBJECT, AFTER_CARGO, " ms", Spread::of(after_cargo));
    Ok(())
}

fn new_app(settings: &Settings, parent: &Path) -> anyhow::Result<()> {
    let output = Command::new(&settings.everwarm)
        .current_dir(parent)
        .args(["new", APP])
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "`everwarm new {APP}` failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Replaces the function's source by one that answers with this number.
fn edit(app: &Path, number: usize) -> anyhow::Result<()> {
    let body = body(number);
    let source = format!(
        "//! Answers with its version.\n\n#[everwarm_sdk::http]\nasync fn hello() -> &'static str {{\n    {body:?}\n}}\n"
    );
    let path = app.join("src/lib.rs");
    std::fs::write(&path, source).with_context(|| format!("could not write {}", path.display()))
}

fn body(number: usize) -> String {
    format!("version {number}\n")
}

fn up(settings: &Settings, app: &Path) -> anyhow::Result<Running> {
    let address = servers::free_address()?;
    let mut command = Command::new(&settings.everwarm);
    command
        .args(["up", "--listen", &address.to_string()])
        .arg(app);
    servers::start_command(
        "everwarm up",
        command,
        TempDir::new()?,
        address,
        "/",
        |answer| answer.check(200, &body(0)),
    )
}

/// Asks until the new version answers. Until then the old one must.
fn wait_for(node: &Running, number: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + EDIT_TIME_MAX;
    loop {
        let answer = http::get(node.address, "/").context("the page is down after an edit")?;
        if answer.check(200, &body(number)).is_ok() {
            return Ok(());
        }
        answer
            .check(200, &body(number - 1))
            .context("the old version stopped answering before the new one did")?;
        if Instant::now() > deadline {
            bail!(
                "edit {number} was not live after {} s:\n{}",
                EDIT_TIME_MAX.as_secs(),
                node.group.log_tail()
            );
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// When the linker wrote the component: the last thing that cargo does.
fn built_at(app: &Path) -> anyhow::Result<SystemTime> {
    let folder = app.join("target/wasm32-wasip2/release");
    let mut newest = None;
    for entry in std::fs::read_dir(&folder)
        .with_context(|| format!("cargo built nothing in {}", folder.display()))?
    {
        let entry = entry?;
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            newest = newest.max(Some(entry.metadata()?.modified()?));
        }
    }
    newest.with_context(|| format!("no .wasm in {}", folder.display()))
}
