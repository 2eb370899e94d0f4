//! A table of 100,000 routes, measured in a program of its own (`src/bin/route_table.rs`).

use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{LOOKUP, ROUTES, SWITCH};
use crate::pairs::Spread;
use crate::report::Report;
use crate::settings::Settings;

pub(crate) const NAME: &str = "scale-routes";
const PROGRAM: &str = "route_table";
const COUNT: &str = "100000";
const LOOKUPS: &str = "2000000";

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for _ in 0..settings.rounds {
        let output = Command::new(settings.programs.join(PROGRAM))
            .args([COUNT, LOOKUPS])
            .output()
            .context("could not start route_table")?;
        ensure!(output.status.success(), "route_table failed: {output:?}");
        runs.push(serde_json::from_slice::<Value>(&output.stdout)?);
    }
    let spread = |key: &str, divisor: f64| {
        Spread::of(
            runs.iter()
                .filter_map(|run| run[key].as_f64())
                .map(|value| value / divisor),
        )
    };
    report.add(NAME, ROUTES, LOOKUP, " us", spread("lookup_p50_ns", 1e3));
    report.add(
        NAME,
        ROUTES,
        "look-up, p99",
        " us",
        spread("lookup_p99_ns", 1e3),
    );
    report.add(NAME, ROUTES, SWITCH, " ms", spread("change_ms", 1.0));
    report.add(
        NAME,
        ROUTES,
        "building all of it, as at a start",
        " ms",
        spread("build_ms", 1.0),
    );
    Ok(())
}
