//! `everwarm-bench`: starts servers, loads them in pairs, and prints one table and JSON.
//!
//! Owns the order of things. Knows no server (`servers`), no load generator (`load`) and no scenario
//! (`scenarios`) by name. Run it through `cargo xtask bench`, which builds what it measures.

#![forbid(unsafe_code)]

mod load;
mod machine;
mod pairs;
mod plot;
mod processes;
mod report;
mod scenarios;
mod servers;
mod settings;
mod table;
mod targets;
mod train;

use std::process::ExitCode;

use anyhow::Context;

use report::Report;
use settings::Settings;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let Some(settings) = settings::from_arguments()? else {
        print!("{}", settings::USAGE);
        return Ok(());
    };
    processes::end_all_on_signal()?;
    if settings.install_peers {
        servers::install::run(&settings)?;
    }
    if settings.list {
        list(&settings);
        return Ok(());
    }
    if settings.train {
        return train::run(&settings);
    }
    let mut report = Report::new(machine::describe(&settings), settings.is_partial());
    for scenario in scenarios::ALL {
        if !settings.wants_scenario(scenario.name) {
            continue;
        }
        eprintln!("\n== {}: {}", scenario.name, scenario.question);
        if let Err(error) = (scenario.run)(&settings, &mut report) {
            // One broken scenario doesn't cost the measurements of the others, but it isn't hidden.
            eprintln!("   failed: {error:#}");
            report.fail(scenario.name, &format!("{error:#}"));
        }
    }
    print!("{}", table::markdown(&report));
    write_files(&settings, &report)?;
    anyhow::ensure!(
        report.failures().is_empty(),
        "{} scenario(s) failed: see above",
        report.failures().len()
    );
    Ok(())
}

fn list(settings: &Settings) {
    println!("Scenarios:");
    for scenario in scenarios::ALL {
        println!("  {}: {}", scenario.name, scenario.question);
    }
    println!("Servers:");
    for server in servers::peers() {
        let missing = server.missing(settings);
        println!(
            "  {}: {}",
            server.name(),
            missing.as_deref().unwrap_or("ready")
        );
    }
}

fn write_files(settings: &Settings, report: &Report) -> anyhow::Result<()> {
    if let Some(path) = &settings.json {
        let text = serde_json::to_string_pretty(&report.json())?;
        std::fs::write(path, text + "\n")
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    if let Some(path) = &settings.svg {
        std::fs::write(path, plot::svg(report))
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    if let Some(path) = &settings.page {
        table::replace_in_page(path, report)?;
    }
    Ok(())
}
