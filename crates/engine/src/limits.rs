//! The bound on an instance's memory, and its peak.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::fault::machine_limit;
use crate::meter::Meter;

/// Elements that all tables of an instance may have together.
const TABLE_ELEMENTS_MAX: usize = 1_000_000;

/// Counts an instance's linear memory and refuses what is over its limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit: usize,
    in_use: usize,
    meter: Arc<Meter>,
    table_elements: usize,
    denied: bool,
    /// What the operating system refused, though the limit allowed it.
    machine: Option<Arc<str>>,
}

impl MemoryLimiter {
    pub(crate) fn new(limit_bytes: u64, meter: Arc<Meter>) -> Self {
        Self {
            limit: usize::try_from(limit_bytes).unwrap_or(usize::MAX),
            in_use: 0,
            meter,
            table_elements: 0,
            denied: false,
            machine: None,
        }
    }

    /// What the operating system has refused since the last call.
    pub(crate) fn take_machine(&mut self) -> Option<Arc<str>> {
        self.machine.take()
    }

    /// Whether a request for more memory was refused since the last call.
    pub(crate) fn take_denied(&mut self) -> bool {
        std::mem::take(&mut self.denied)
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let in_use = self.in_use.saturating_add(desired.saturating_sub(current));
        if in_use > self.limit {
            self.denied = true;
            return Ok(false);
        }
        self.in_use = in_use;
        self.meter.record_memory(in_use as u64);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // The guest hears that there is no more; what it makes of that is its business.
        if machine_limit(&error).is_some() {
            self.machine = Some(format!("{error:#}").into());
        }
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        if elements > TABLE_ELEMENTS_MAX {
            self.denied = true;
            return Ok(false);
        }
        self.table_elements = elements;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_counted_together_and_the_refusal_is_remembered_once() {
        let meter = Arc::new(Meter::default());
        let mut limiter = MemoryLimiter::new(100, Arc::clone(&meter));
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(60, 90, None).unwrap());
        assert_eq!(meter.memory_peak(), 90);
        assert!(limiter.take_denied());
        assert!(!limiter.take_denied());
    }
}
