//! What is counted while a guest runs: shared by the code inside the guest's calls (the epoch
//! callback, the memory limiter) and by whoever polls it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::cpu::CpuTime;

/// What the epoch callback, inside the guest, and whoever polls the guest tell each other.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// CPU time charged against the limit of what runs now.
    pub(crate) cpu: CpuTime,
    /// The guest was interrupted because its slice of the thread was over.
    interrupted: AtomicBool,
    memory_peak: AtomicU64,
}

impl Meter {
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// The instance's memory has grown to `bytes`; it never shrinks.
    pub(crate) fn record_memory(&self, bytes: u64) {
        self.memory_peak.store(bytes, Ordering::Relaxed);
    }

    /// Most memory the instance has had, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory_peak.load(Ordering::Relaxed)
    }

    /// Whether the guest was interrupted since the last call.
    pub(crate) fn take_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) && self.interrupted.swap(false, Ordering::Relaxed)
    }
}

/// Who pays for CPU time.
pub(crate) trait Payer: Send + Sync + 'static {
    /// Charges one poll of the guest, which took `ns` on the CPU and ended by itself unless
    /// `interrupted`.
    fn charge(&self, ns: u64, interrupted: bool);
}
