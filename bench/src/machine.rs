//! What the numbers were measured on. A number without its machine is worth nothing.

use std::process::Command;

use crate::servers;
use crate::settings::Settings;

/// Name and value, in the order in which they are shown.
pub(crate) type Description = Vec<(String, String)>;

/// Describes this machine and the versions of what takes part.
pub(crate) fn describe(settings: &Settings) -> Description {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let mut facts = vec![
        ("CPU".to_owned(), cpu_model()),
        ("cores".to_owned(), cores.to_string()),
        ("memory".to_owned(), memory()),
        ("kernel".to_owned(), kernel()),
        (
            "rustc".to_owned(),
            version(Command::new("rustc").arg("--version")),
        ),
        (
            "everwarm".to_owned(),
            version(Command::new(&settings.everwarm).arg("--version")),
        ),
        ("build".to_owned(), settings.build.clone()),
        (
            "wrk".to_owned(),
            first_word_pair(&version(Command::new("wrk").arg("--version"))),
        ),
    ];
    for (name, mut command) in servers::version_commands(settings) {
        facts.push((name.to_owned(), version(&mut command)));
    }
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(':'))
        .map_or_else(
            || std::env::consts::ARCH.to_owned(),
            |(_, model)| model.trim().to_owned(),
        )
}

fn memory() -> String {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.map_or_else(String::new, |kib| {
        format!("{} GiB", kib.div_ceil(1_024 * 1_024))
    })
}

fn kernel() -> String {
    let name = rustix::system::uname();
    format!(
        "{} {}",
        name.sysname().to_string_lossy(),
        name.release().to_string_lossy()
    )
}

/// The first line that a program prints, or nothing when it can't be run.
fn version(command: &mut Command) -> String {
    let Ok(output) = command.output() else {
        return String::new();
    };
    // nginx says it on standard error.
    let mut said = [&output.stdout, &output.stderr].into_iter();
    let said = said.find(|said| !said.is_empty());
    let text = said.map_or_else(Default::default, |said| String::from_utf8_lossy(said));
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// `wrk` says more than its version.
fn first_word_pair(line: &str) -> String {
    line.split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}
