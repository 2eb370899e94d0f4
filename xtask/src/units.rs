//! `cargo xtask units`: the units that ship, under a real systemd.
//!
//! Boots one in namespaces of its own, on a copy of this machine's files that is thrown away (`packaging/try/boot.sh`),
//! where an operator's day is played (`packaging/try/check.sh`). Root only, Linux only; `ci` leaves it out, for not every
//! machine lets a process mount or has systemd.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::{guests, steps};

/// How long all of it may take.
const TIME_MAX: Duration = Duration::from_mins(3);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Builds the node and boots.
///
/// # Errors
/// When something can't be built or started, or the units don't do what they are for.
pub(crate) fn run() -> anyhow::Result<()> {
    let guests = guests::run()?;
    steps::run(steps::cargo().args(["build", "--release", "--package", "everwarm"]))?;
    let binary = steps::target_dir()?.join("release/everwarm");
    let folder = std::env::temp_dir().join(format!("everwarm-units-{}", std::process::id()));
    fs::create_dir(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let outcome = boot(&folder, &binary, &guests.join("hello.wasi-0.2.wasm"));
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    println!("{log}");
    let removed = fs::remove_dir_all(&folder);
    outcome.and(removed.with_context(|| format!("could not remove {}", folder.display())))
}

fn boot(folder: &Path, binary: &Path, component: &Path) -> anyhow::Result<()> {
    let packaging = steps::root().join("packaging");
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--kill-child", "--mount", "--uts"])
        .args(["--ipc", "--net", "--cgroup", "bash"])
        .arg(packaging.join("try/boot.sh"))
        .args([folder, &packaging, binary, component])
        .stdin(Stdio::null());
    let mut systemd = command
        .spawn()
        .context("could not start `unshare`, of util-linux")?;
    let outcome = wait(&mut systemd, &folder.join("result"));
    // With it goes all that it has started: its namespace of processes.
    systemd.kill().context("could not end systemd")?;
    systemd.wait().context("could not wait for systemd")?;
    outcome
}

/// Waits for the result, and says what it is.
fn wait(systemd: &mut Child, result: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + TIME_MAX;
    loop {
        match fs::read_to_string(result).unwrap_or_default().trim() {
            "passed" => return Ok(()),
            "failed" => bail!("the units don't do what they are for: see above"),
            _ => {}
        }
        if let Some(status) = systemd.try_wait()? {
            bail!(
                "systemd ended ({status}): this wants root, and to mount in namespaces of its own"
            );
        }
        if Instant::now() > deadline {
            bail!("there is no result after {} s", TIME_MAX.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
