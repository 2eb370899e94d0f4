//! On-CPU time of guests: the clock, and the run that is going on now.
//!
//! Wasmtime's epochs are wall clock. A guest's CPU limit is on the time its thread was really on a
//! CPU while it polled the guest, so a busy machine can't make an innocent guest look greedy. Owns
//! the thread-local start of the current run; knows nothing of what is done with the figures.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// CPU time this thread has used, in nanoseconds.
fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

thread_local! {
    static RUN_STARTED_NS: Cell<u64> = const { Cell::new(0) };
}

/// CPU time that a guest has used, in nanoseconds, over all its runs that have ended.
#[derive(Debug, Default)]
pub(crate) struct CpuTime(AtomicU64);

impl CpuTime {
    /// Time used by runs that have ended.
    pub(crate) fn used_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds time that was measured elsewhere.
    pub(crate) fn add_ns(&self, ns: u64) {
        self.0.fetch_add(ns, Ordering::Relaxed);
    }

    /// Starts again at nothing, for the next request of a reused instance.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Runs `poll` and says how long this thread was on the CPU for it, in nanoseconds.
pub(crate) fn measure<R>(poll: impl FnOnce() -> R) -> (R, u64) {
    let started = thread_cpu_ns();
    let outer = RUN_STARTED_NS.replace(started);
    let result = poll();
    RUN_STARTED_NS.set(outer);
    (result, thread_cpu_ns().saturating_sub(started))
}

/// How long the run that is going on now has been on the CPU, in nanoseconds. Asked by the epoch
/// callback, inside [`measure`].
pub(crate) fn current_run_ns() -> u64 {
    thread_cpu_ns().saturating_sub(RUN_STARTED_NS.get())
}
