//! `cargo xtask bench`: builds what is measured as it ships, and hands over to `everwarm-bench`.
//!
//! Knows nothing of scenarios, peers or options: they belong to the bench crate.

use std::ffi::OsString;

use crate::{guests, steps};

/// The profile that ships: fat LTO, one codegen unit.
const PROFILE: &str = "dist";

/// The guest that the bench loads from disk a hundred times: as large as a real function.
const AXUM_EXAMPLE: &str = "axum-api";

/// Builds the guests, the binary and the bench, and runs the bench with these arguments.
///
/// # Errors
/// When something can't be built or the bench fails.
pub(crate) fn run(arguments: Vec<OsString>) -> anyhow::Result<()> {
    let guests = guests::run()?;
    guests::example(AXUM_EXAMPLE)?;
    steps::run(steps::cargo().args([
        "build",
        "--profile",
        PROFILE,
        "--package",
        "everwarm",
        "--package",
        "everwarm-bench",
        "--package",
        "everwarm-bench-instantiate",
        "--features",
        "everwarm-bench/node",
    ]))?;
    let target = steps::target_dir()?;
    let built = target.join(PROFILE);
    let mut bench = std::process::Command::new(built.join("everwarm-bench"));
    bench
        .current_dir(steps::root())
        .args(arguments)
        .env("EVERWARM_BIN", built.join("everwarm"))
        .env("EVERWARM_GUESTS", guests)
        .env("EVERWARM_PEERS", target.join("peers"));
    steps::run(&mut bench)
}
