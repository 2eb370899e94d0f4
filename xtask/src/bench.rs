//! `cargo xtask bench`: builds what is measured as it ships, and hands over to `everwarm-bench`.
//!
//! Knows nothing of scenarios, peers or options, save the one that says what is built: they belong to the
//! bench crate.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{guests, shipped, steps};

/// The guest that the bench loads from disk a hundred times: as large as a real function.
const AXUM_EXAMPLE: &str = "axum-api";

/// Asks for a binary that was built once, which takes a third of the time.
const PLAIN: &str = "--plain";
/// Asks the bench for load without measurements.
const TRAIN: &str = "--train";

/// Builds the guests, the binary and the bench, and runs the bench with these arguments.
///
/// # Errors
/// When something can't be built or the bench fails.
pub(crate) fn run(mut arguments: Vec<OsString>) -> anyhow::Result<()> {
    let given = arguments.len();
    arguments.retain(|argument| argument != PLAIN);
    let plain = arguments.len() < given;

    let built = Built::make(plain)?;
    let mut bench = built.bench(&built.everwarm);
    bench.args(arguments).env("EVERWARM_BUILD", built.how);
    steps::run(&mut bench)
}

/// Builds the binary that ships, or one that was built once.
///
/// # Errors
/// When something can't be built, or the training fails.
pub(crate) fn everwarm(plain: bool) -> anyhow::Result<PathBuf> {
    if plain {
        let mut cargo = steps::cargo();
        cargo.args([
            "build",
            "--profile",
            shipped::PROFILE,
            "--package",
            "everwarm",
        ]);
        steps::run(&mut cargo)?;
        return Ok(steps::target_dir()?.join(shipped::PROFILE).join("everwarm"));
    }
    Ok(Built::make(plain)?.everwarm)
}

/// What a measurement takes.
struct Built {
    everwarm: PathBuf,
    how: &'static str,
    guests: PathBuf,
    target: PathBuf,
}

impl Built {
    fn make(plain: bool) -> anyhow::Result<Self> {
        let guests = guests::run()?;
        guests::example(AXUM_EXAMPLE)?;
        let mut cargo = steps::cargo();
        cargo.args(["build", "--profile", shipped::PROFILE]);
        cargo.args(["--package", "everwarm-bench"]);
        cargo.args(["--package", "everwarm-bench-instantiate"]);
        cargo.args(["--features", "everwarm-bench/node"]);
        if plain {
            cargo.args(["--package", "everwarm"]);
        }
        steps::run(&mut cargo)?;
        let target = steps::target_dir()?;
        let mut built = Self {
            everwarm: target.join(shipped::PROFILE).join("everwarm"),
            how: "dist, plain",
            guests,
            target,
        };
        if !plain {
            let train = |counting: &Path| steps::run(built.bench(counting).arg(TRAIN));
            built.everwarm = shipped::everwarm(train)?;
            built.how = "dist, profile-guided";
        }
        Ok(built)
    }

    fn bench(&self, everwarm: &Path) -> Command {
        let built = self.target.join(shipped::PROFILE);
        let mut bench = Command::new(built.join("everwarm-bench"));
        bench
            .current_dir(steps::root())
            .env("EVERWARM_BIN", everwarm)
            .env("EVERWARM_GUESTS", &self.guests)
            .env("EVERWARM_PEERS", self.target.join("peers"));
        bench
    }
}
