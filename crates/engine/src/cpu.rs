//! On-CPU time of guests: the clock, and the run that is going on now.
//!
//! Wasmtime's epochs are wall clock. A guest's CPU limit is on the time its thread was really on a
//! CPU while it polled the guest, so a busy machine can't make an innocent guest look greedy. Owns
//! the thread-local state of the clock; knows nothing of what is done with the figures.
//!
//! Asking the kernel for a thread's CPU time costs about a microsecond, a tenth of a small request.
//! So a short run is charged its wall time, which costs two reads of the monotonic clock and is
//! wrong only by [`SHORT_RUN_NS`] at most, when the thread was descheduled in the middle. A longer
//! run is measured: from an anchor, a reading of the CPU clock that is never older than
//! [`ANCHOR_AGE_NS_MAX`] when a run starts.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// Runs up to this long, in nanoseconds of wall time, are charged as they are.
const SHORT_RUN_NS: u64 = 200_000;
/// Wall time after which a new run takes a new anchor, in nanoseconds. Bounds what a long run may
/// be charged too much.
const ANCHOR_AGE_NS_MAX: u64 = 1_000_000;

fn read_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// A thread's reading of both clocks at one time.
#[derive(Clone, Copy)]
struct Anchor {
    wall_ns: u64,
    cpu_ns: u64,
}

impl Anchor {
    fn take(wall_ns: u64) -> Self {
        Self {
            wall_ns,
            cpu_ns: read_ns(ClockId::ThreadCPUTime),
        }
    }

    /// On-CPU time of a run that started at `started_ns`, not before the anchor, and ends now.
    fn run_ns(self, started_ns: u64, now: Self) -> u64 {
        let wall_ns = now.wall_ns.saturating_sub(started_ns);
        wall_ns.min(now.cpu_ns.saturating_sub(self.cpu_ns))
    }
}

thread_local! {
    static ANCHOR: Cell<Anchor> = const { Cell::new(Anchor { wall_ns: 0, cpu_ns: 0 }) };
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

    /// Adds a run that has ended.
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
    let started_ns = read_ns(ClockId::Monotonic);
    let mut anchor = ANCHOR.get();
    if started_ns.saturating_sub(anchor.wall_ns) > ANCHOR_AGE_NS_MAX {
        anchor = Anchor::take(started_ns);
        ANCHOR.set(anchor);
    }
    RUN_STARTED_NS.set(started_ns);
    let result = poll();
    let ended_ns = read_ns(ClockId::Monotonic);
    let wall_ns = ended_ns.saturating_sub(started_ns);
    if wall_ns <= SHORT_RUN_NS {
        return (result, wall_ns);
    }
    let now = Anchor::take(ended_ns);
    ANCHOR.set(now);
    (result, anchor.run_ns(started_ns, now))
}

/// How long the run that is going on now has been on the CPU, in nanoseconds. Asked by the epoch
/// callback, inside [`measure`].
pub(crate) fn current_run_ns() -> u64 {
    let now = Anchor::take(read_ns(ClockId::Monotonic));
    ANCHOR.get().run_ns(RUN_STARTED_NS.get(), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_was_descheduled_is_charged_what_it_computed() {
        let anchor = Anchor {
            wall_ns: 1_000,
            cpu_ns: 500,
        };
        let now = Anchor {
            wall_ns: 90_000_000,
            cpu_ns: 600_500,
        };
        assert_eq!(anchor.run_ns(2_000, now), 600_000);
    }

    #[test]
    fn a_run_is_never_charged_more_than_its_wall_time() {
        let anchor = Anchor {
            wall_ns: 0,
            cpu_ns: 0,
        };
        let now = Anchor {
            wall_ns: 1_500_000,
            cpu_ns: 1_400_000,
        };
        assert_eq!(anchor.run_ns(1_200_000, now), 300_000);
    }

    #[test]
    fn sleeping_costs_no_cpu_time() {
        let ((), ns) = measure(|| std::thread::sleep(std::time::Duration::from_millis(30)));
        assert!(ns < 25_000_000, "charged {ns} ns for a sleep");
    }
}
