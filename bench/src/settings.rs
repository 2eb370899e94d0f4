//! What was asked for on the command line, and where the things to measure are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use lexopt::{Arg, ValueExt as _};

pub(crate) const USAGE: &str = "\
Usage: cargo xtask bench [options] [filter]

  filter               run only the scenarios whose name holds this word
  --list               name the scenarios and the servers, and which of them are installed
  --install-peers      install the servers to compare with into target/peers (npm, cargo)
  --peers a,b          compare with these servers only (a part of the name is enough)
  --seconds N          length of one loaded run (default 5)
  --rounds N           pairs of runs a server (default 3)
  --json FILE          write every measure as JSON
  --svg FILE           write the plot
  --page FILE          replace the table in this Markdown page, between its bench markers
  --plain              measure a binary that was built without learning from a run (docs/decisions/0007)
  --train              measure nothing: load the binary with what functions do, for it to learn from
";

const SECONDS_DEFAULT: u64 = 5;
/// One run longer than this says nothing more.
const SECONDS_MAX: u64 = 600;
const ROUNDS_DEFAULT: usize = 3;
const ROUNDS_MAX: usize = 100;

/// One run of the bench, resolved.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) filter: Option<String>,
    pub(crate) list: bool,
    pub(crate) train: bool,
    pub(crate) install_peers: bool,
    /// Parts of names; none means all.
    pub(crate) peers: Vec<String>,
    /// Length of one loaded run.
    pub(crate) run_time: Duration,
    /// Pairs of runs a server.
    pub(crate) rounds: usize,
    pub(crate) json: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
    pub(crate) page: Option<PathBuf>,
    /// The `everwarm` binary under test.
    pub(crate) everwarm: PathBuf,
    /// How that binary was built, in plain words. Empty: nobody said.
    pub(crate) build: String,
    /// The folder with `native_hyper` and other programs of this crate.
    pub(crate) programs: PathBuf,
    /// Built guests, `<name>.<world>.wasm`.
    pub(crate) guests: PathBuf,
    /// Where peers are installed.
    pub(crate) peers_folder: PathBuf,
}

impl Settings {
    /// Whether only some scenarios or servers were asked for.
    pub(crate) fn is_partial(&self) -> bool {
        self.filter.is_some() || !self.peers.is_empty()
    }

    /// Whether the filter lets a scenario run.
    pub(crate) fn wants_scenario(&self, name: &str) -> bool {
        self.filter
            .as_deref()
            .is_none_or(|filter| name.contains(filter))
    }

    /// Whether `--peers` lets a server take part.
    pub(crate) fn wants_peer(&self, name: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|part| name.contains(part.as_str()))
    }

    /// A built guest for a WASI version ("0.2").
    ///
    /// # Errors
    /// When it isn't there.
    pub(crate) fn guest(&self, name: &str, world: &str) -> anyhow::Result<PathBuf> {
        let path = self.guests.join(format!("{name}.wasi-{world}.wasm"));
        if !path.is_file() {
            bail!(
                "the guest {name}.wasi-{world}.wasm is not in {}: `cargo xtask bench` builds all that it measures",
                self.guests.display()
            );
        }
        Ok(path)
    }
}

/// Reads the command line. `None` when help was asked for.
///
/// # Errors
/// When an option is unknown or its value is wrong.
pub(crate) fn from_arguments() -> anyhow::Result<Option<Settings>> {
    let programs = std::env::current_exe()?
        .parent()
        .map(Path::to_owned)
        .context("this program has no folder")?;
    let mut settings = Settings {
        filter: None,
        list: false,
        train: false,
        install_peers: false,
        peers: Vec::new(),
        run_time: Duration::from_secs(SECONDS_DEFAULT),
        rounds: ROUNDS_DEFAULT,
        json: None,
        svg: None,
        page: None,
        everwarm: from_environment("EVERWARM_BIN", || programs.join("everwarm"))?,
        build: std::env::var("EVERWARM_BUILD").unwrap_or_default(),
        guests: from_environment("EVERWARM_GUESTS", || PathBuf::from("guest/target/guests"))?,
        peers_folder: from_environment("EVERWARM_PEERS", || PathBuf::from("target/peers"))?,
        programs,
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("list") => settings.list = true,
            Arg::Long("train") => settings.train = true,
            Arg::Long("install-peers") => settings.install_peers = true,
            Arg::Long("peers") => {
                let peers = arguments.value()?.string()?;
                settings.peers = peers.split(',').map(str::to_owned).collect();
            }
            Arg::Long("seconds") => {
                let seconds = bounded(&arguments.value()?, SECONDS_MAX)?;
                settings.run_time = Duration::from_secs(seconds);
            }
            Arg::Long("rounds") => {
                let rounds = bounded(&arguments.value()?, ROUNDS_MAX as u64)?;
                settings.rounds = usize::try_from(rounds)?;
            }
            Arg::Long("json") => settings.json = Some(arguments.value()?.into()),
            Arg::Long("svg") => settings.svg = Some(arguments.value()?.into()),
            Arg::Long("page") => settings.page = Some(arguments.value()?.into()),
            Arg::Value(filter) if settings.filter.is_none() => {
                settings.filter = Some(filter.string()?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(settings))
}

fn from_environment(name: &str, otherwise: impl FnOnce() -> PathBuf) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os(name).map_or_else(otherwise, PathBuf::from);
    // Servers run in folders of their own.
    std::path::absolute(&path).with_context(|| format!("{name} is not a path"))
}

fn bounded(value: &OsString, max: u64) -> anyhow::Result<u64> {
    let number: u64 = value.parse()?;
    if number == 0 || number > max {
        bail!("{number} is out of range: 1 to {max}");
    }
    Ok(number)
}
