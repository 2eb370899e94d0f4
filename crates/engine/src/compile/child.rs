//! The compiler process: one job from stdin, one component, one file of machine code, or what the component says of itself.
//!
//! Owns the child's side. It bounds itself before it reads a byte of the component, and ends with
//! its parent: its stdin is a pipe that closes then, however the parent ends. (Linux can also signal
//! a child at its parent's death, but means the parent's *thread*, and threads come and go.)

use std::fs;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use everwarm_manifest::Digest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::SecretBox;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;

use super::job::{
    ChildLimits, CompileTask, IncrementalJob, Job, LINE_BYTES_MAX, OUTCOME_PREFIX, Outcome,
    Success, Task,
};
use crate::artifact::Fingerprint;
use crate::incremental::IncrementalCache;
use crate::inspect::{InspectLimits, inspect};
use crate::priority;

/// Longest reason that is reported, in bytes.
const REASON_BYTES_MAX: usize = 4 << 10;
/// Seconds after the soft CPU limit at which the kernel kills without asking.
const CPU_GRACE_S: u64 = 2;
/// The exit code of a child whose parent has gone.
const ORPHANED: i32 = 3;

/// Runs the compiler process: what a binary calls for [`super::COMPILER_VERB`]. Reads one job from
/// stdin and prints its outcome.
pub fn compiler_main() -> ExitCode {
    let outcome = run().unwrap_or_else(|outcome| outcome);
    let Ok(line) = serde_json::to_string(&outcome) else {
        return ExitCode::FAILURE;
    };
    match writeln!(io::stdout(), "\n{OUTCOME_PREFIX}{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> Result<Outcome, Outcome> {
    // Before anything else: this memory holds a key and a stranger's code.
    limit(Resource::Core, 0, 0).map_err(failed("turn core dumps off"))?;
    // Whoever serves requests goes first, whoever started this.
    priority::be_last();
    let job = read_job()?;
    bound(job.limits).map_err(failed("limit itself"))?;
    end_with_parent().map_err(failed("start a thread"))?;
    match &job.task {
        Task::Compile(task) => compile(&job, task),
        Task::Inspect {
            component_bytes_max,
        } => {
            let limits = InspectLimits {
                component_bytes_max: *component_bytes_max,
            };
            Ok(Outcome::Inspected(inspect(&read_component(&job)?, limits)))
        }
    }
}

fn read_component(job: &Job) -> Result<Vec<u8>, Outcome> {
    let bytes = fs::read(&job.component_path).map_err(failed("read the component"))?;
    if Digest::from_bytes(Sha256::digest(&bytes).into()) != job.component {
        return Err(failed("trust the component's file")(
            "its bytes aren't the ones that its name says",
        ));
    }
    Ok(bytes)
}

fn failed<E: std::fmt::Display>(doing: &'static str) -> impl Fn(E) -> Outcome {
    move |error| Outcome::Failed {
        doing: doing.to_owned(),
        reason: bounded(error.to_string()),
    }
}

fn read_job() -> Result<Job, Outcome> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .take(LINE_BYTES_MAX)
        .read_line(&mut line)
        .map_err(failed("read its job"))?;
    serde_json::from_str(&line).map_err(failed("read its job"))
}

/// Limits this process; never raises what it was started with, which the system would refuse.
fn limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let given = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = Rlimit {
        current: Some(soft.min(given)),
        maximum: Some(hard.min(given)),
    };
    Ok(setrlimit(resource, limit)?)
}

fn bound(limits: ChildLimits) -> io::Result<()> {
    let memory = limits.memory_bytes_max;
    limit(Resource::As, memory, memory)?;
    // Code larger than the memory it was made in is no code.
    limit(Resource::Fsize, memory, memory)?;
    let cpu = limits.cpu_time_s_max;
    limit(Resource::Cpu, cpu, cpu.saturating_add(CPU_GRACE_S))
}

/// A thread that waits for the end of stdin.
fn end_with_parent() -> io::Result<()> {
    std::thread::Builder::new()
        .name("parent-watch".to_owned())
        // It needs next to nothing, and the address space is bounded.
        .stack_size(64 << 10)
        .spawn(|| {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            std::process::exit(ORPHANED);
        })
        .map(drop)
}

fn compile(job: &Job, task: &CompileTask) -> Result<Outcome, Outcome> {
    let cache = task
        .incremental
        .as_ref()
        .map(load_cache)
        .transpose()
        .map_err(failed("load the incremental cache"))?;
    let engine = engine(task, cache.as_ref())?;
    let bytes = read_component(job)?;
    let code = engine
        .precompile_component(&bytes)
        .map_err(|error| refused(&error))?;
    fs::write(&task.output_path, &code).map_err(failed("write the code"))?;
    if let Some(Err(error)) = cache.as_ref().map(|cache| cache.save()) {
        // The code is good all the same; the next compile takes longer.
        eprintln!("the incremental cache wasn't saved: {error}");
    }
    Ok(Outcome::Compiled(Success {
        code_bytes: code.len() as u64,
        reuse: cache.map(|cache| cache.reuse()).unwrap_or_default(),
    }))
}

fn load_cache(job: &IncrementalJob) -> io::Result<Arc<IncrementalCache>> {
    let key = SecretBox::new(Box::new(job.key));
    IncrementalCache::load(&job.dir, &key).map(Arc::new)
}

/// The engine that the parent expects, or none: code for another one would never be found again.
fn engine(task: &CompileTask, cache: Option<&Arc<IncrementalCache>>) -> Result<Engine, Outcome> {
    let mut config = crate::config::base(task.world);
    if let Some(cache) = cache {
        config
            .enable_incremental_compilation(Arc::clone(cache) as _)
            .map_err(failed("use the incremental cache"))?;
    }
    let engine = Engine::new(&config).map_err(failed("make its engine"))?;
    if Fingerprint::of(&engine) != task.fingerprint {
        return Err(failed("serve the node")(
            "it makes code for another engine than the node's: restart the node",
        ));
    }
    Ok(engine)
}

fn refused(error: &wasmtime::Error) -> Outcome {
    if error.is::<wasmtime::error::OutOfMemory>() {
        return Outcome::TooMuchMemory;
    }
    Outcome::Invalid {
        reason: bounded(format!("{error:#}")),
    }
}

fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
    text
}
