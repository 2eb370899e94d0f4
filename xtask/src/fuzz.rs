//! `cargo xtask fuzz`: builds the fuzz targets with coverage and runs them.
//!
//! Owns how libFuzzer is built and bounded. Knows the targets by the folders of `fuzz/corpus/`, and
//! nothing of what they check.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::steps;

/// One input that takes longer is a finding.
const INPUT_SECONDS_MAX: u64 = 10;
/// A target that takes more memory is a finding.
const MEMORY_MB_MAX: u64 = 2_048;
/// The longest input: manifests and routes are short, and what is slow to reach isn't reached in a short run.
const INPUT_BYTES_MAX: u64 = 16_384;
/// What libFuzzer says of itself when the crates have coverage.
const COVERAGE_SIGN: &str = "inline 8-bit counters";

/// What stands before the number of inputs in libFuzzer's statistics.
const RUNS_SIGN: &str = "stat::number_of_executed_units:";

/// How far the instrumented crates are optimised.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OptLevel {
    /// Soon built.
    None,
    /// Many inputs a second.
    Full,
}

/// Runs one target, or all, for `seconds` each. New inputs are kept below the target folder, committed
/// seeds stay as they are.
///
/// # Errors
/// When there is no such target, no C++ compiler, or a target finds something.
pub(crate) fn run(target: Option<&str>, seconds: u64, optimised: OptLevel) -> anyhow::Result<()> {
    let all = targets()?;
    let chosen: Vec<&String> =
        match target {
            None => all.iter().collect(),
            Some(name) => vec![all.iter().find(|known| *known == name).with_context(|| {
                format!("there is no fuzz target `{name}`: {}", all.join(", "))
            })?],
        };
    need_cpp()?;
    build(&all, optimised)?;
    let built = steps::target_dir()?;
    for name in chosen {
        fuzz(name, &built, seconds)?;
    }
    Ok(())
}

/// The targets, by name: each has its seeds.
fn targets() -> anyhow::Result<Vec<String>> {
    let corpus = seeds();
    let folders = std::fs::read_dir(&corpus)
        .with_context(|| format!("could not read {}", corpus.display()))?;
    let mut names = Vec::new();
    for folder in folders {
        names.push(folder?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn seeds() -> PathBuf {
    steps::root().join("fuzz/corpus")
}

/// libFuzzer is C++.
fn need_cpp() -> anyhow::Result<()> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    ensure!(
        steps::succeeds(Command::new(&compiler).arg("--version")),
        "libFuzzer needs a C++ compiler, and `{}` does not run: install one \
         (Debian and Ubuntu: `apt-get install g++`) or name yours in CXX",
        compiler.display()
    );
    Ok(())
}

/// Only this workspace's crates get coverage, so what they depend on is shared with other builds; for
/// that, features are those of the whole workspace and its tests too.
fn build(targets: &[String], optimised: OptLevel) -> anyhow::Result<()> {
    // Cargo knows builds apart by the wrapper's path.
    let wrapper = steps::root().join(match optimised {
        OptLevel::None => "fuzz/instrument-only.sh",
        OptLevel::Full => "fuzz/instrument.sh",
    });
    let mut build = steps::cargo();
    build.arg("build").args(steps::compiled_by(Some(&wrapper)));
    build.args([
        "--workspace",
        "--features",
        "everwarm-fuzz/libfuzzer",
        "--example",
        "features_of_tests",
    ]);
    for target in targets {
        build.args(["--bin", &format!("fuzz-{target}")]);
    }
    steps::run(&mut build)
}

fn fuzz(name: &str, built: &Path, seconds: u64) -> anyhow::Result<()> {
    let program = built.join("debug").join(format!("fuzz-{name}"));
    let grown = built.join("fuzz").join(name);
    let findings = built.join("fuzz-findings").join(name);
    for folder in [&grown, &findings] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
    }
    let bounded = || {
        let mut command = Command::new(&program);
        command
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"))
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-artifact_prefix={}/", findings.display()));
        command
    };
    let seeds = seeds().join(name);
    check_coverage(bounded().arg("-runs=0").arg(&seeds))?;
    eprintln!("\n==> fuzzing `{name}` for {seconds} s");
    let (ended_well, said) = outcome(
        bounded()
            .arg(format!("-max_total_time={seconds}"))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(&grown)
            .arg(&seeds),
    )?;
    ensure!(
        ended_well,
        "{said}\nfuzz target `{name}` found something: the input is in {}; run `{} <input>` to see it \
         again, and commit it to {} with the fix",
        findings.display(),
        program.display(),
        seeds.display()
    );
    let runs = said.lines().find_map(|line| line.strip_prefix(RUNS_SIGN));
    eprintln!(
        "`{name}`: {} inputs, nothing found",
        runs.unwrap_or("?").trim()
    );
    Ok(())
}

/// Whether the fuzzer ended well, and what it printed.
fn outcome(fuzzer: &mut Command) -> anyhow::Result<(bool, String)> {
    let output = fuzzer
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start {}", fuzzer.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.success(), said))
}

/// Runs the seeds once. Without coverage a fuzzer guesses blindly and finds nothing, and says it is fine.
fn check_coverage(once: &mut Command) -> anyhow::Result<()> {
    let (ended_well, said) = outcome(once)?;
    ensure!(ended_well, "a committed seed fails:\n{said}");
    ensure!(
        said.contains(COVERAGE_SIGN),
        "the fuzz target was built without coverage: does fuzz/instrument.sh fit this rustc?\n{said}"
    );
    Ok(())
}
