//! How long it takes to make and drop an instance, without HTTP: measured by a program of its own
//! beside this one, because it links Wasmtime and the rest of the bench doesn't. It takes the path of a
//! component and prints `{"p50_us": 0.0, "p99_us": 0.0}`.

use std::process::Command;

use anyhow::{Context, bail};

use crate::pairs::Spread;
use crate::report::Report;
use crate::settings::Settings;

pub(crate) const NAME: &str = "instantiate";
pub(crate) const SUBJECT: &str = "hello 0.2";
pub(crate) const P50: &str = "instantiate and drop, p50";
pub(crate) const P99: &str = "instantiate and drop, p99";

/// What measures it, in the folder of this program.
const PROGRAM: &str = "instantiate";

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let program = settings.programs.join(PROGRAM);
    if !program.is_file() {
        report.skip(format!(
            "{NAME} is skipped: the program {PROGRAM} is not built"
        ));
        return Ok(());
    }
    let mut p50 = Vec::new();
    let mut p99 = Vec::new();
    for _ in 0..settings.rounds {
        let output = Command::new(&program)
            .arg(settings.guest("hello", "0.2")?)
            .output()?;
        if !output.status.success() {
            bail!(
                "{} failed ({}): {}",
                program.display(),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let measured: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        p50.push(measured["p50_us"].as_f64().context("no `p50_us`")?);
        p99.push(measured["p99_us"].as_f64().context("no `p99_us`")?);
    }
    report.add(NAME, SUBJECT, P50, " us", Spread::of(p50));
    report.add(NAME, SUBJECT, P99, " us", Spread::of(p99));
    Ok(())
}
