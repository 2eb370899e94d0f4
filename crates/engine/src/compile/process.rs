//! The life of one compiler process, seen from the parent.
//!
//! Owns starting it, the deadline, and what its end means. Nothing that the child writes is kept
//! beyond a bound.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::job::{Job, LINE_BYTES_MAX, OUTCOME_PREFIX, Outcome, Task};
use super::{CompileError, CompileLimits, CompilerCommand};
use crate::priority;

/// What is kept of the child's stderr, in bytes.
const STDERR_BYTES_MAX: u64 = 8 << 10;
/// A process that was killed is gone within this time, or the machine is in trouble.
const KILL_WAIT_MS_MAX: u64 = 5_000;

/// Runs one job in one process. The outcome is one of success, or what inspecting found.
pub(super) async fn run(
    command: &CompilerCommand,
    limits: &CompileLimits,
    job: &Job,
) -> Result<Outcome, CompileError> {
    let failed = |doing| {
        move |source| CompileError::Process {
            doing,
            program: command.program.display().to_string(),
            source,
        }
    };
    let line =
        serde_json::to_string(job).map_err(|error| failed("describe the job to")(error.into()))?;
    let too_long = || CompileError::TooLong {
        doing: doing(job),
        limit: format!("{} ms", limits.wall_time_ms_max),
    };
    let deadline = Instant::now() + Duration::from_millis(limits.wall_time_ms_max);
    let started = timeout_at(deadline, start_last(command, limits)).await;
    let started = started.map_err(|_| too_long())?;
    let mut child = started.map_err(failed("start"))?;
    if let Ok(ended) = timeout_at(deadline, converse(&mut child, &line)).await {
        return conclude(&ended.map_err(failed("talk to"))?, limits, doing(job));
    }
    let wait = Duration::from_millis(KILL_WAIT_MS_MAX);
    if !matches!(tokio::time::timeout(wait, child.kill()).await, Ok(Ok(()))) {
        tracing::error!(pid = child.id(), "compiler process doesn't end when killed");
    }
    Err(too_long())
}

/// Starts it on a thread that stands back already: from its first instruction on, so does the child. Loading a program
/// takes some milliseconds.
async fn start_last(command: &CompilerCommand, limits: &CompileLimits) -> std::io::Result<Child> {
    let (runtime, command, limits) = (Handle::current(), command.clone(), *limits);
    let (started, child) = oneshot::channel();
    std::thread::Builder::new()
        .name("everwarm-spawn".to_owned())
        .spawn(move || {
            priority::be_last();
            let _entered = runtime.enter();
            // Nobody waits any more: dropped, the child is killed.
            let _ = started.send(start(&command, &limits));
        })?;
    child
        .await
        .unwrap_or_else(|_| Err(std::io::Error::other("the thread that starts it panicked")))
}

fn start(command: &CompilerCommand, limits: &CompileLimits) -> std::io::Result<Child> {
    Command::new(&command.program)
        .args(&command.args)
        // Nothing of the node's environment is the compiler's business, and secrets may be in it.
        .env_clear()
        .env("RAYON_NUM_THREADS", limits.threads_max.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A Ctrl-C in the terminal is the node's to handle: it ends its children itself.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// How a process ended and what it said.
struct Ended {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Hands the job over and listens until the process has ended. Its stdin stays open until then: a
/// child whose stdin closes has lost its parent, and ends.
async fn converse(child: &mut Child, line: &str) -> std::io::Result<Ended> {
    let mut stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    if let Some(stdin) = &mut stdin {
        // A child that died before it read says why by its status.
        let _ = stdin.write_all(format!("{line}\n").as_bytes()).await;
        let _ = stdin.flush().await;
    }
    let (stdout, stderr, status) = tokio::join!(
        read_bounded(stdout, LINE_BYTES_MAX),
        read_bounded(stderr, STDERR_BYTES_MAX),
        child.wait(),
    );
    drop(stdin);
    Ok(Ended {
        status: status?,
        stdout: stdout?,
        stderr: stderr?,
    })
}

/// Keeps the start of a stream and reads the rest away, so that its writer never waits.
async fn read_bounded<R>(stream: Option<R>, bytes_max: u64) -> std::io::Result<Vec<u8>>
where
    R: AsyncRead + Unpin,
{
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream).take(bytes_max).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

fn doing(job: &Job) -> &'static str {
    match job.task {
        Task::Compile(_) => "compile",
        Task::Inspect { .. } => "check",
    }
}

fn conclude(
    ended: &Ended,
    limits: &CompileLimits,
    doing: &'static str,
) -> Result<Outcome, CompileError> {
    let too_much_memory = || CompileError::TooMuchMemory {
        doing,
        bytes_max: limits.memory_bytes_max,
    };
    if let Some(outcome) = outcome_of(&ended.stdout).filter(|_| ended.status.success()) {
        return match outcome {
            good @ (Outcome::Compiled(_) | Outcome::Inspected(_)) => Ok(good),
            Outcome::Invalid { reason } => Err(CompileError::Invalid { reason }),
            Outcome::TooMuchMemory => Err(too_much_memory()),
            Outcome::Failed { doing, reason } => Err(CompileError::Failed { doing, reason }),
        };
    }
    let stderr = String::from_utf8_lossy(&ended.stderr);
    let signal = ended.status.signal().and_then(Signal::from_named_raw);
    if signal == Some(Signal::XCPU) {
        return Err(CompileError::TooLong {
            doing,
            limit: format!("{} s of CPU time", limits.cpu_time_s_max),
        });
    }
    // The code itself outgrew the bound that the child has put on files.
    if signal == Some(Signal::XFSZ) || ran_out_of_memory(&stderr) {
        return Err(too_much_memory());
    }
    Err(CompileError::Died {
        status: ended.status.to_string(),
        stderr: stderr.trim().to_owned(),
    })
}

fn outcome_of(stdout: &[u8]) -> Option<Outcome> {
    String::from_utf8_lossy(stdout)
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line.strip_prefix(OUTCOME_PREFIX)?).ok())
}

/// Rust has no stable hook for a failed allocation; what it prints before it aborts is stable, and
/// so is the system's text for a thread or a mapping that it had no memory for.
fn ran_out_of_memory(stderr: &str) -> bool {
    [
        "memory allocation of ",
        "Cannot allocate memory",
        "Resource temporarily unavailable",
    ]
    .iter()
    .any(|words| stderr.contains(words))
}
