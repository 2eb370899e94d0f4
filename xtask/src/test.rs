//! `cargo xtask test`: finds or installs what the tests need, builds the guests and the binary, and
//! runs everything. The main run comes last, so that the runner's own summary ends the output.

use std::io::ErrorKind;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::{debian, guests, steps};

/// Runs every test of the repository. The workspace's own crates are compiled by `compiler`, as cargo does if there is
/// none.
///
/// # Errors
/// When something can't be built or a test fails.
pub(crate) fn run(compiler: Option<&Path>) -> anyhow::Result<()> {
    let compiler = steps::compiled_by(compiler);
    debian::install()?;
    let guests = guests::run()?;

    // The guest workspace has parts that run natively (the SDK's executor and macros).
    let mut guest_tests = steps::cargo();
    guest_tests.current_dir(steps::root().join("guest")).args([
        "test",
        "--package",
        "everwarm-sdk",
        "--package",
        "everwarm-sdk-macros",
    ]);
    steps::run(&mut guest_tests)?;

    // Tests and binaries in one call: cargo then resolves features once, so that Wasmtime is compiled
    // once. Built apart, dev-dependencies would give the binary another set of features.
    let mut build = steps::cargo();
    build.args(["build", "--workspace", "--bins", "--tests"]);
    steps::run(build.args(&compiler))?;
    let binary = steps::target_dir()?
        .join("debug")
        .join(format!("everwarm{}", std::env::consts::EXE_SUFFIX));

    let nextest = steps::succeeds(steps::cargo().args(["nextest", "--version"]));
    if nextest {
        // nextest doesn't run doc tests.
        let mut doc_tests = steps::cargo();
        doc_tests.args(["test", "--workspace", "--doc"]);
        steps::run(doc_tests.args(&compiler))?;
    } else {
        eprintln!("\ncargo-nextest is not installed: running `cargo test` instead.");
    }
    let mut tests = steps::cargo();
    if nextest {
        // Many tests wait (for a process, a disk, a deadline): one more than the cores keeps them busy.
        let threads = std::thread::available_parallelism().map_or(2, NonZero::get) + 1;
        tests.args(["nextest", "run", "--workspace"]);
        tests.arg(format!("--test-threads={threads}"));
    } else {
        tests.args(["test", "--workspace", "--no-fail-fast"]);
    }
    tests
        .args(&compiler)
        .env("EVERWARM_BIN", &binary)
        .env("EVERWARM_GUESTS", &guests)
        .env("EVERWARM_CODE", new_code()?);
    steps::run(&mut tests)
}

/// Where the tests of this run find machine code of guests that others of them have made. Anew for each run: what is
/// tested has made it.
fn new_code() -> anyhow::Result<PathBuf> {
    let folder = steps::target_dir()?.join("e2e-code");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", folder.display()))
        }
        _ => Ok(folder),
    }
}
