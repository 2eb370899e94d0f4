//! The real binary as a process: started, waited for, told to stop, and always gone at the end.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::app::AppFolder;
use crate::client::{Connection, Request};
use crate::deadline::{DEADLINE, LOOK_AGAIN, within};
use crate::log::Log;
use crate::reply::Reply;
use crate::{code, installed, raw};

/// A command that runs the binary, without what `cargo test` put into the environment.
pub fn everwarm_command() -> Command {
    let mut command = Command::new(installed::everwarm());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = name.starts_with("EVERWARM_");
        let cargos = name.starts_with("CARGO") && name != "CARGO_HOME";
        if ours || cargos || name.starts_with("NEXTEST") || name == "RUSTFLAGS" {
            command.env_remove(name.as_ref());
        }
    }
    command.stdin(Stdio::null());
    command
}

/// A process of the binary, in a process group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Its standard output.
    pub out: Log,
    /// Its standard error: the log, and the access events.
    pub log: Log,
}

impl Process {
    /// Starts a process.
    ///
    /// # Panics
    ///
    /// When it can't be started.
    pub fn start(mut command: Command) -> Self {
        command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let out = child.stdout.take().expect("standard output is a pipe");
        let log = child.stderr.take().expect("standard error is a pipe");
        Self {
            child,
            out: Log::read("standard output", out),
            log: Log::read("standard error", log),
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal to the process alone.
    ///
    /// # Panics
    ///
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is there");
    }

    /// Waits until the process has ended.
    ///
    /// # Panics
    ///
    /// At the deadline.
    pub async fn ended(&mut self) -> ExitStatus {
        self.ended_within(DEADLINE).await
    }

    /// As [`Self::ended`], with another deadline than usual.
    ///
    /// # Panics
    ///
    /// At the deadline.
    pub async fn ended_within(&mut self, deadline: Duration) -> ExitStatus {
        let end = Instant::now() + deadline;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(
                Instant::now() < end,
                "the process still runs\n{}{}",
                self.out,
                self.log
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Memory of the process that is in RAM, in bytes.
    ///
    /// # Panics
    ///
    /// When the kernel doesn't say.
    #[cfg(target_os = "linux")]
    pub fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.expect("the kernel says how much memory a process has") << 10
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already, group and all, is what is wanted.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}{}", self.out, self.log);
        }
    }
}

/// An app that is served.
#[derive(Debug)]
pub struct Node {
    process: Process,
    /// What the `ready` event said.
    pub ready: Value,
    address: SocketAddr,
    /// Dropped after the process.
    folder: Option<AppFolder>,
}

/// How a process that served nothing ended.
#[derive(Debug)]
pub struct Refusal {
    /// Its exit code.
    pub exit: i32,
    /// The stable code of the error.
    pub code: String,
    /// What it said.
    pub message: String,
}

/// Runs a command that must end with an error.
///
/// # Panics
///
/// When it ends without one, or doesn't end.
pub async fn refused(command: Command) -> Refusal {
    let mut process = Process::start(command);
    let error = process
        .out
        .value("an error", |value| value["error"].is_object())
        .await;
    let status = process.ended().await;
    let text = |key: &str| error["error"][key].as_str().unwrap_or_default().to_owned();
    Refusal {
        exit: status.code().unwrap_or(-1),
        code: text("code"),
        message: text("message"),
    }
}

impl Node {
    /// Starts the binary with a command that serves an app, and waits until it does.
    ///
    /// # Panics
    ///
    /// When it doesn't get ready.
    pub async fn ready(command: Command) -> Self {
        Self::ready_within(command, DEADLINE).await
    }

    /// As [`Self::ready`], with another deadline than usual.
    ///
    /// # Panics
    ///
    /// As [`Self::ready`].
    pub async fn ready_within(command: Command, deadline: Duration) -> Self {
        code::before(&command);
        let app = code::app_of(&command);
        let process = Process::start(command);
        let out = process.out.patient(deadline);
        let ready = out
            .value("the ready event", |value| value["event"] == "ready")
            .await;
        code::ready(app.as_deref());
        let address = ready["listen"]
            .as_str()
            .and_then(|address| address.parse().ok());
        let address = address.expect("the ready event says where the app is");
        Self {
            process,
            ready,
            address,
            folder: None,
        }
    }

    pub(crate) fn keep(&mut self, folder: AppFolder) {
        self.folder = Some(folder);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The process, to wait for its end.
    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it writes to standard error: the log, and the access events.
    pub fn log(&self) -> &Log {
        &self.process.log
    }

    /// What it writes to standard output: events.
    pub fn out(&self) -> &Log {
        &self.process.out
    }

    /// A new HTTP/1.1 connection.
    ///
    /// # Panics
    ///
    /// When there is none to be had.
    pub async fn connect(&self) -> Connection {
        Connection::http1(self.address).await
    }

    /// A new HTTP/2 connection, by prior knowledge.
    ///
    /// # Panics
    ///
    /// When there is none to be had.
    pub async fn connect_http2(&self) -> Connection {
        Connection::http2(self.address).await
    }

    /// A new connection whose every byte is the test's.
    ///
    /// # Panics
    ///
    /// When there is none to be had.
    pub async fn connect_raw(&self) -> raw::Raw {
        raw::Raw::connect(self.address).await
    }

    /// Sends one request on a connection of its own, and reads the whole response.
    ///
    /// # Panics
    ///
    /// When there is no response at all.
    pub async fn send(&self, request: Request) -> Reply {
        self.connect().await.send(request).await
    }

    /// As [`Self::send`], a GET.
    ///
    /// # Panics
    ///
    /// As [`Self::send`].
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path)).await
    }

    /// Tells the process to stop with a signal, and waits until it has.
    ///
    /// # Panics
    ///
    /// When it doesn't.
    pub async fn stop(mut self, signal: Signal) -> Stopped {
        self.process.signal(signal);
        let status = within("the node's end", self.process.ended()).await;
        Stopped { status, node: self }
    }
}

/// A node that has ended.
#[derive(Debug)]
pub struct Stopped {
    /// How.
    pub status: ExitStatus,
    node: Node,
}

impl Stopped {
    /// What it wrote to standard error.
    pub fn log(&self) -> &Log {
        &self.node.process.log
    }

    /// What it wrote to standard output.
    pub fn out(&self) -> &Log {
        &self.node.process.out
    }
}
