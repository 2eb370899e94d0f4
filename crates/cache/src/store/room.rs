//! The bound on answers that aren't whole yet, all of them together and each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Room that an answer takes before it is whole. Given back when dropped.
#[derive(Debug)]
pub struct Room {
    recorded: Arc<AtomicU64>,
    taken: u64,
    bytes_max: u64,
    all_max: u64,
}

impl Room {
    pub(super) fn new(recorded: &Arc<AtomicU64>, bytes_max: u64, all_max: u64) -> Self {
        Self {
            recorded: Arc::clone(recorded),
            taken: 0,
            bytes_max,
            all_max,
        }
    }

    /// The most that one answer may have.
    pub fn bytes_max(&self) -> usize {
        usize::try_from(self.bytes_max).unwrap_or(usize::MAX)
    }

    /// Takes so much more. `false` when there isn't as much.
    pub fn take(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let before = self.recorded.fetch_add(bytes, Ordering::Relaxed);
        self.taken += bytes;
        self.taken <= self.bytes_max && before.saturating_add(bytes) <= self.all_max
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.recorded.fetch_sub(self.taken, Ordering::Relaxed);
    }
}
