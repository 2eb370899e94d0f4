//! Which threads a guest runs on: its connection's own, or the pool for heavy guests.
//!
//! A data-plane thread that polls a guest serves nobody else meanwhile. So a guest that is still
//! computing when its slice is over is moved, at that very point, to a pool of threads with lower
//! priority, and a function that does so again and again starts there. Owns the decision
//! (`Weight`) and the pool ([`HeavyPool`]).

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::runtime::{Handle, Runtime};

use crate::priority;

/// On-CPU time that a guest may use in one go on a data-plane thread, in nanoseconds.
pub(crate) const SLICE_NS: u64 = 500_000;

/// How heavy a function has been lately.
#[derive(Debug, Default)]
pub(crate) struct Weight(AtomicU32);

/// A function whose score has reached this starts in the pool.
const HEAVY: u32 = 4;
/// The score can't grow beyond this, so a function is forgiven after as many light requests.
const SCORE_MAX: u32 = 8;

/// The score after one more request; pure.
fn next_score(score: u32, overran: bool) -> u32 {
    if overran {
        (score + HEAVY).min(SCORE_MAX)
    } else {
        score.saturating_sub(1)
    }
}

impl Weight {
    /// Whether the next request should start in the pool.
    pub(crate) fn is_heavy(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= HEAVY
    }

    /// Learns from a request that ended after `cpu_ns` of on-CPU time.
    pub(crate) fn observe(&self, cpu_ns: u64) {
        let overran = cpu_ns > SLICE_NS;
        let score = self.0.load(Ordering::Relaxed);
        // A lost update between two threads costs a request in the wrong place, not correctness.
        let next = next_score(score, overran);
        if next != score {
            self.0.store(next, Ordering::Relaxed);
        }
    }
}

/// Threads for guests that compute, below the data plane in priority.
#[derive(Debug)]
pub struct HeavyPool {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl HeavyPool {
    /// Starts the pool with `threads` threads.
    ///
    /// # Errors
    ///
    /// When the operating system refuses the threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("everwarm-heavy")
            .enable_all()
            .on_thread_start(priority::be_patient)
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for HeavyPool {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // May be dropped inside another runtime, where waiting isn't allowed.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_heavy_after_one_long_run_and_forgiven_after_light_ones() {
        let weight = Weight::default();
        assert!(!weight.is_heavy());
        weight.observe(SLICE_NS + 1);
        assert!(weight.is_heavy());
        weight.observe(SLICE_NS + 1);
        for _ in 0..SCORE_MAX {
            weight.observe(SLICE_NS / 2);
        }
        assert!(!weight.is_heavy());
    }

    #[test]
    fn the_score_stays_in_its_bounds() {
        let mut score = 0;
        for step in 0..1000 {
            score = next_score(score, step % 3 != 0);
            assert!(score <= SCORE_MAX);
        }
    }
}
