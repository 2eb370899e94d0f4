//! `cargo xtask ci`: everything that must hold before a change lands, cheapest first, tests last.
//!
//! Owns the order. All dependencies are compiled once: lints and docs come from the build that the tests run,
//! and the fuzz targets share its dependencies.

use crate::fuzz::OptLevel;
use crate::{doc_check, fuzz, guests, steps, test, tidy};

/// How long each fuzz target runs here. A long run is a matter of its own.
const FUZZ_SECONDS: u64 = 5;
/// Compiles, lints and makes docs, below the root.
const COMPILER: &str = ".ci/compile.sh";
/// Where it puts the docs.
const DOCS_VARIABLE: &str = "EVERWARM_DOCS";

/// Runs all checks, then all tests.
///
/// # Errors
/// The first check that fails.
pub(crate) fn run() -> anyhow::Result<()> {
    format()?;
    tidy::run()?;
    licences()?;
    doc_check::links()?;
    clippy_guests()?;
    let compiler = steps::root().join(COMPILER);
    let docs = steps::target_dir()?.join("doc");
    steps::run(
        steps::cargo()
            .args(["build", "--workspace", "--all-targets"])
            .args(["--features", "everwarm-bench/node"])
            .args(steps::compiled_by(Some(&compiler)))
            .env(DOCS_VARIABLE, docs),
    )?;
    // So short a run is over before a better build of the targets would be.
    fuzz::run(None, FUZZ_SECONDS, OptLevel::None)?;
    test::run(Some(&compiler))
}

/// `cargo fmt --check` in the workspace, the guests' workspace and each example.
fn format() -> anyhow::Result<()> {
    let root = steps::root();
    let mut folders = vec![root.clone(), root.join("guest")];
    let examples = std::fs::read_dir(root.join("examples"))?;
    for example in examples {
        let folder = example?.path();
        if folder.join("Cargo.toml").is_file() {
            folders.push(folder);
        }
    }
    folders.sort();
    for folder in folders {
        let mut fmt = steps::cargo();
        fmt.current_dir(&folder)
            .args(["fmt", "--all", "--", "--check"]);
        steps::run(&mut fmt)?;
    }
    Ok(())
}

/// Clippy over the guests, as the target sees them for each world and, for the SDK, natively.
fn clippy_guests() -> anyhow::Result<()> {
    guests::install_wasm_target()?;
    let guest = steps::root().join("guest");
    for arguments in [
        &["--workspace", "--target", guests::WASM_TARGET][..],
        &[
            "--workspace",
            "--target",
            guests::WASM_TARGET,
            "--features",
            "everwarm-sdk/wasi-0-3,everwarm-sdk/wasip3",
        ][..],
        &["--package", "everwarm-sdk", "--all-targets"][..],
    ] {
        let mut clippy = steps::cargo();
        clippy
            .current_dir(&guest)
            .arg("clippy")
            .args(arguments)
            .args(["--", "-Dwarnings"]);
        steps::run(&mut clippy)?;
    }
    Ok(())
}

/// Licences, bans and sources of dependencies, as `deny.toml` allows them.
fn licences() -> anyhow::Result<()> {
    if steps::succeeds(steps::cargo().args(["deny", "--version"])) {
        return steps::run(steps::cargo().args(["deny", "check", "bans", "licenses", "sources"]));
    }
    eprintln!(
        "\ncargo-deny is not installed: licences and sources of dependencies are not checked here. \
         `cargo install cargo-deny --locked` brings it."
    );
    Ok(())
}
