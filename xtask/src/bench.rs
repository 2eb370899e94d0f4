//! `cargo xtask bench`: builds what is measured as it ships, and hands over to `everwarm-bench`.
//!
//! Knows nothing of scenarios, peers or options, save the one that says what is built: they belong to the
//! bench crate.

use std::ffi::OsString;
use std::path::Path;
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
    let built = target.join(shipped::PROFILE);
    let bench = |everwarm: &Path| {
        let mut bench = Command::new(built.join("everwarm-bench"));
        bench
            .current_dir(steps::root())
            .env("EVERWARM_BIN", everwarm)
            .env("EVERWARM_GUESTS", &guests)
            .env("EVERWARM_PEERS", target.join("peers"));
        bench
    };
    let (everwarm, how) = if plain {
        (built.join("everwarm"), "dist, plain")
    } else {
        let everwarm = shipped::everwarm(|counting| steps::run(bench(counting).arg(TRAIN)))?;
        (everwarm, "dist, profile-guided")
    };
    steps::run(bench(&everwarm).args(arguments).env("EVERWARM_BUILD", how))
}
