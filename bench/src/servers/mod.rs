//! The servers that take part, behind one trait: to add a peer is one file here and one line in `peers`.
//!
//! Owns how a server is started, waited for and checked. Knows nothing of load or of scenarios.

mod deno;
mod everwarm;
pub(crate) mod install;
mod native;
mod nginx;
mod node;
mod wasmtime;
mod workerd;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::load::http::{self, Answer};
use crate::processes::Group;
use crate::settings::Settings;
pub(crate) use everwarm::{App, Everwarm, Isolation, World, app, command_up};
pub(crate) use native::{Native, NativeProxy, NativeWriter};
pub(crate) use nginx::{FILES as NGINX_FILES, Nginx};

/// What every hello answers.
pub(crate) const HELLO: &str = "Hello from Everwarm\n";
/// How long a server may take to answer for the first time: ours may compile many components.
const READY_TIME_MAX: Duration = Duration::from_mins(5);
/// What a developer's shell may turn on and a server in production doesn't have: backtraces of
/// errors cost some runtimes a tenth of each request.
const DEVELOPERS_VARIABLES: &[&str] = &["RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "RUST_LOG"];
/// How often a starting server is asked.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// A server that answers [`HELLO`] to `GET /`.
pub(crate) trait Server {
    /// What the table calls it.
    fn name(&self) -> String;

    /// What has to be done before it can run, in plain words. `None` when it is there.
    fn missing(&self, settings: &Settings) -> Option<String>;

    /// The program that serves on this address. `folder` is empty and lives as long as the server.
    ///
    /// # Errors
    /// When a file that it needs can't be written.
    fn command(
        &self,
        settings: &Settings,
        folder: &Path,
        address: SocketAddr,
    ) -> anyhow::Result<Command>;
}

/// Every server to compare with native hyper, ours first.
pub(crate) fn peers() -> Vec<Box<dyn Server>> {
    let mut all: Vec<Box<dyn Server>> = Vec::new();
    all.extend(everwarm::hellos().map(|server| Box::new(server) as Box<dyn Server>));
    all.extend(wasmtime::all().map(|server| Box::new(server) as Box<dyn Server>));
    all.push(Box::new(workerd::Workerd));
    all.push(Box::new(deno::Deno));
    all.push(Box::new(node::Node));
    all
}

/// The peers that take part in this run, and why the others don't.
pub(crate) fn taking_part(settings: &Settings) -> (Vec<Box<dyn Server>>, Vec<String>) {
    let mut present = Vec::new();
    let mut skipped = Vec::new();
    for server in peers() {
        if !settings.wants_peer(&server.name()) {
            continue;
        }
        match server.missing(settings) {
            None => present.push(server),
            Some(why) => skipped.push(format!("{} is skipped: {why}", server.name())),
        }
    }
    (present, skipped)
}

/// How to ask each installed peer for its version.
pub(crate) fn version_commands(settings: &Settings) -> Vec<(&'static str, Command)> {
    vec![
        ("wasmtime", versioned(&wasmtime::program(settings))),
        ("workerd", versioned(&workerd::program(settings))),
        ("deno", versioned(&deno::program(settings))),
        ("node", versioned(Path::new("node"))),
        ("nginx", nginx::versioned()),
    ]
}

fn versioned(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--version");
    command
}

/// A server that runs and has answered. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) group: Group,
    pub(crate) address: SocketAddr,
    /// From the start of the process to its first right answer.
    pub(crate) first_answer: Duration,
    /// Declared last: it goes after the process that uses it.
    _folder: TempDir,
}

/// Starts a server and waits until it answers the right thing.
///
/// # Errors
/// When it doesn't start, ends, or doesn't answer in time; the message holds the end of its log.
pub(crate) fn start(server: &dyn Server, settings: &Settings) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let command = server.command(settings, folder.path(), address)?;
    start_command(&server.name(), command, folder, address, "/", |answer| {
        answer.check_hello()
    })
}

/// Starts a program that serves on `address` and waits until `is_ready` accepts its answer to `GET path`.
/// Any answer is not enough: ours listens before its app is live.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_command(
    name: &str,
    mut command: Command,
    folder: TempDir,
    address: SocketAddr,
    path: &str,
    is_ready: impl Fn(&Answer) -> anyhow::Result<()>,
) -> anyhow::Result<Running> {
    for variable in DEVELOPERS_VARIABLES {
        command.env_remove(variable);
    }
    let started = Instant::now();
    let log = folder.path().join("output.log");
    let mut group = Group::start(&mut command, &log)?;
    loop {
        let asked = http::get(address, path);
        let is_served = asked.as_ref().is_ok_and(|answer| answer.status == 200);
        let refused = match asked.and_then(|answer| is_ready(&answer)) {
            // Time doesn't mend it.
            Err(error) if is_served => {
                return Err(error.context(format!("{name} answers {path} wrongly")));
            }
            Ok(()) => {
                return Ok(Running {
                    group,
                    address,
                    first_answer: started.elapsed(),
                    _folder: folder,
                });
            }
            Err(error) => error,
        };
        if let Some(status) = group.ended() {
            bail!(
                "{name} ended ({status}) before it answered:\n{}",
                group.log_tail()
            );
        }
        if started.elapsed() > READY_TIME_MAX {
            bail!(
                "{name} gave no right answer in {} s ({refused:#}):\n{}",
                READY_TIME_MAX.as_secs(),
                group.log_tail()
            );
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// A loopback address that nothing listens on.
///
/// # Errors
/// When the system has no free port.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?)
}

/// Whether a program on the PATH can be asked for its version.
fn tells_its_version(mut command: Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The plain words for a program that isn't there.
fn missing_program(program: &Path) -> Option<String> {
    if program.is_file() {
        return None;
    }
    Some("it is not installed: `cargo xtask bench --install-peers` brings it".to_owned())
}
