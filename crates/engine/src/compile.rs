//! Compiles components in a process of their own: Cranelift can't be cancelled, and a hostile
//! component can make it take hours and gigabytes.
//!
//! Owns the parent's side: how many compile at once, the deadline, and what the end of a process
//! means. The child's side is [`compiler_main`] (`child`); what the two say to each other is in
//! `job`. Doesn't know where components come from, nor what happens with the code: it is written to
//! a file that the caller gives.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use everwarm_manifest::{Digest, Millis, World};
use secrecy::{ExposeSecret as _, SecretBox};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::artifact::Fingerprint;
use crate::incremental::Reuse;
use crate::inspect::{ComponentFacts, InspectError, InspectLimits};

mod child;
mod job;
mod process;

pub use child::compiler_main;

use job::{ChildLimits, CompileTask, IncrementalJob, Job, Outcome, Task};

/// What the binary's command line calls [`compiler_main`].
pub const COMPILER_VERB: &str = "compile-component";

/// Address space of a process that only reads a component, in bytes.
const INSPECT_MEMORY_BYTES_MAX: u64 = 2 << 30;
/// CPU time of it.
const INSPECT_CPU_TIME_S_MAX: u64 = 10;
/// How long it may take.
const INSPECT_WALL_TIME_MS_MAX: u64 = 20_000;

/// How to start a process that runs [`compiler_main`].
#[derive(Debug, Clone)]
pub struct CompilerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl CompilerCommand {
    /// This program again, with [`COMPILER_VERB`]. On Linux by a path that still leads to it after
    /// the file was replaced by a newer one: parent and child must be the same binary.
    ///
    /// # Errors
    ///
    /// When the system doesn't say which program this is.
    pub fn this_program() -> io::Result<Self> {
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe()?
        };
        Ok(Self {
            program,
            args: vec![COMPILER_VERB.into()],
        })
    }
}

/// Bounds on compiling.
#[derive(Debug, Clone, Copy)]
pub struct CompileLimits {
    /// Compiler processes at once.
    pub parallel_max: NonZeroUsize,
    /// Threads of one that is alone. Several share them: more threads than that make none faster, and everybody else
    /// slower.
    pub threads_max: NonZeroUsize,
    /// Address space of each, in bytes.
    pub memory_bytes_max: u64,
    /// CPU time of each, of all its threads together.
    pub cpu_time_s_max: u64,
    /// How long one may take.
    pub wall_time_ms_max: u64,
}

impl Default for CompileLimits {
    /// One process a core of a small machine; a 13 MB JavaScript component takes 6.5 s on two cores.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let four = NonZeroUsize::MIN.saturating_add(3);
        Self {
            parallel_max: cores.min(four),
            threads_max: cores.min(four),
            memory_bytes_max: 4 << 30,
            cpu_time_s_max: 120,
            wall_time_ms_max: 60_000,
        }
    }
}

impl CompileLimits {
    /// The same, but for the time: so long, and twice that of CPU time, for a compiler has threads.
    #[must_use]
    pub fn within(self, time: Millis) -> Self {
        Self {
            cpu_time_s_max: time.as_u64().saturating_mul(2).div_ceil(1_000),
            wall_time_ms_max: time.as_u64(),
            ..self
        }
    }

    /// The same for one of so many components: its part of the threads, and one at least.
    fn shared_by(self, components: u64) -> Self {
        let components = usize::try_from(components).unwrap_or(usize::MAX).max(1);
        let threads = self.threads_max.get() / components;
        Self {
            threads_max: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
            ..self
        }
    }
}

/// One component to compile.
#[derive(Debug)]
pub struct CompileJob<'a> {
    /// Where its bytes are.
    pub path: &'a Path,
    /// Their name: the child checks them against it, for the code is filed under it.
    pub component: Digest,
    /// Which engine it is for.
    pub world: World,
    /// The code that the parent's engine of that world can run.
    pub fingerprint: &'a Fingerprint,
    /// Where to look for code of functions that didn't change; for `up` alone.
    pub incremental: Option<IncrementalDir<'a>>,
}

/// A folder of an incremental cache and the key of its entries, which is used for nothing else.
#[derive(Debug, Clone, Copy)]
pub struct IncrementalDir<'a> {
    /// The folder.
    pub dir: &'a Path,
    /// The key.
    pub key: &'a SecretBox<[u8; 32]>,
}

/// A component that was compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compiled {
    /// Size of the machine code's file, in bytes.
    pub code_bytes: u64,
    /// How long it took, from the start of the process to its end.
    pub took: Duration,
    /// How much was found in the incremental cache; all zero without one.
    pub reuse: Reuse,
}

/// Why a component wasn't compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Wasmtime doesn't take it.
    #[error("the component is invalid: {reason}: build it again with current tools")]
    Invalid {
        /// What Wasmtime says.
        reason: String,
    },
    /// It took longer than its limit.
    #[error(
        "the component took longer to {doing} than {limit}: make it smaller (`opt-level = \"s\"`, \
         fewer dependencies), or raise the node's limit"
    )]
    TooLong {
        /// What was done with it: compile or check.
        doing: &'static str,
        /// The limit, in words.
        limit: String,
    },
    /// It took more memory than its limit.
    #[error(
        "the component needs more than {} MiB of memory to {doing}: make it smaller \
         (`opt-level = \"s\"`, fewer dependencies), or raise the node's limit",
        .bytes_max >> 20
    )]
    TooMuchMemory {
        /// What was done with it: compile or check.
        doing: &'static str,
        /// The limit.
        bytes_max: u64,
    },
    /// The process ended without saying how it went.
    #[error("the compiler process died ({status}){}", .stderr.is_empty().then_some("").map_or_else(
        || format!(", and its last words were: {stderr}"), str::to_owned))]
    Died {
        /// How it ended.
        status: String,
        /// The start of what it wrote to stderr.
        stderr: String,
    },
    /// The child runs, and can't do its work: a fault of ours or of the machine.
    #[error("the compiler process couldn't {doing}: {reason}")]
    Failed {
        /// What it was doing.
        doing: String,
        /// What went wrong.
        reason: String,
    },
    /// The process couldn't be started or talked to.
    #[error("failed to {doing} the compiler process `{program}`")]
    Process {
        /// What was being attempted.
        doing: &'static str,
        /// The program.
        program: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl CompileError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "EW2006",
            Self::TooLong { .. } | Self::TooMuchMemory { .. } => "EW2005",
            Self::Died { .. } | Self::Failed { .. } | Self::Process { .. } => "EW2012",
        }
    }
}

/// Compiles components, a bounded number at once.
#[derive(Debug)]
pub struct Compiler {
    command: CompilerCommand,
    limits: CompileLimits,
    permits: Semaphore,
    waiting: AtomicU64,
}

/// Counts a component from when it is asked for until it is compiled or given up.
struct Waiting<'a>(&'a AtomicU64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Compiler {
    /// A compiler that starts its processes with `command`.
    pub fn new(command: CompilerCommand, limits: CompileLimits) -> Self {
        let permits = Semaphore::new(limits.parallel_max.get().min(Semaphore::MAX_PERMITS));
        Self {
            command,
            limits,
            permits,
            waiting: AtomicU64::new(0),
        }
    }

    /// Components that are compiled, or wait for their turn.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Compiles one component into the file `output`, which must exist and be empty. Waits for its
    /// turn first; the limits count from then on, its process's start included. Dropping the future kills it.
    ///
    /// # Errors
    ///
    /// [`CompileError`]; what was written to `output` by then is no code.
    pub async fn compile(
        &self,
        job: CompileJob<'_>,
        output: &Path,
    ) -> Result<Compiled, CompileError> {
        let _turn = self.turn().await;
        let started = Instant::now();
        let line = self.line_of(&job, output);
        let limits = self.limits.shared_by(self.waiting());
        match process::run(&self.command, &limits, &line).await? {
            Outcome::Compiled(success) => Ok(Compiled {
                code_bytes: success.code_bytes,
                took: started.elapsed(),
                reuse: success.reuse,
            }),
            _ => Err(beside_the_point()),
        }
    }

    /// Reads what a component says of itself, in a process that it can do no harm in: as [`inspect`](crate::inspect::inspect),
    /// for components of strangers. Waits for its turn first. Dropping the future kills the process.
    ///
    /// # Errors
    ///
    /// [`CompileError`] when it can't be read within its bounds. That it isn't a component that can be served is in the
    /// inner result.
    pub async fn inspect(
        &self,
        path: &Path,
        component: Digest,
        limits: InspectLimits,
    ) -> Result<Result<ComponentFacts, InspectError>, CompileError> {
        let _turn = self.turn().await;
        let bounds = CompileLimits {
            memory_bytes_max: INSPECT_MEMORY_BYTES_MAX.min(self.limits.memory_bytes_max),
            cpu_time_s_max: INSPECT_CPU_TIME_S_MAX.min(self.limits.cpu_time_s_max),
            wall_time_ms_max: INSPECT_WALL_TIME_MS_MAX.min(self.limits.wall_time_ms_max),
            ..self.limits
        };
        let job = Job {
            component_path: path.to_owned(),
            component,
            limits: child_limits(&bounds),
            task: Task::Inspect {
                component_bytes_max: limits.component_bytes_max,
            },
        };
        match process::run(&self.command, &bounds, &job).await? {
            Outcome::Inspected(found) => Ok(found),
            _ => Err(beside_the_point()),
        }
    }

    async fn turn(&self) -> (Waiting<'_>, SemaphorePermit<'_>) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        let permit = self.permits.acquire().await;
        (waiting, permit.expect("the semaphore is never closed"))
    }

    fn line_of(&self, job: &CompileJob<'_>, output: &Path) -> Job {
        Job {
            component_path: job.path.to_owned(),
            component: job.component,
            limits: child_limits(&self.limits),
            task: Task::Compile(CompileTask {
                world: job.world,
                fingerprint: job.fingerprint.clone(),
                output_path: output.to_owned(),
                incremental: job.incremental.map(|incremental| IncrementalJob {
                    dir: incremental.dir.to_owned(),
                    key: *incremental.key.expose_secret(),
                }),
            }),
        }
    }
}

fn child_limits(limits: &CompileLimits) -> ChildLimits {
    ChildLimits {
        memory_bytes_max: limits.memory_bytes_max,
        cpu_time_s_max: limits.cpu_time_s_max,
    }
}

/// The child is the same binary: it answers what it was asked.
fn beside_the_point() -> CompileError {
    CompileError::Failed {
        doing: "answer".to_owned(),
        reason: "it told of something that it wasn't asked".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_components_share_the_threads_of_one() {
        let four = NonZeroUsize::MIN.saturating_add(3);
        let limits = CompileLimits {
            threads_max: four,
            ..CompileLimits::default()
        };
        let threads = |components| limits.shared_by(components).threads_max.get();
        assert_eq!([0, 1, 2, 3, 4, 100].map(threads), [4, 4, 2, 1, 1, 1]);
    }
}
