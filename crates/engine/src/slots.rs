//! The resources of one instance that our own bindings hand out.
//!
//! A vector of slots and a free list instead of a general resource table: an instance lives for
//! microseconds and has a dozen resources. `wasi:io`'s resources come from two places, ours and
//! `wasmtime-wasi`'s table, which share their resource types: ours carry [`OURS`] in their number.

/// Marks a resource number as a slot of ours.
const OURS: u32 = 1 << 30;
/// Resources that one instance may hold at once.
pub(crate) const SLOTS_MAX: usize = 16_384;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Slots<S> {
    entries: Vec<Option<S>>,
    free: Vec<u32>,
}

/// A resource number that fits no slot, or a slot of another kind: a guest can't cause it through
/// Wasmtime's handle tables, so it ends the guest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SlotError {
    #[error("resource {0} is of another kind, or was dropped")]
    Wrong(u32),
    #[error("the instance holds {SLOTS_MAX} resources, which is the most it may")]
    Full,
}

impl<S> Slots<S> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::with_capacity(16),
            free: Vec::new(),
        }
    }

    /// Whether the number names one of these slots, rather than one of `wasmtime-wasi`'s.
    pub(crate) fn owns(rep: u32) -> bool {
        rep & OURS != 0
    }

    pub(crate) fn push(&mut self, slot: S) -> Result<u32, SlotError> {
        if let Some(index) = self.free.pop() {
            self.entries[index as usize] = Some(slot);
            return Ok(index | OURS);
        }
        let index = self.entries.len();
        if index >= SLOTS_MAX {
            return Err(SlotError::Full);
        }
        self.entries.push(Some(slot));
        // SLOTS_MAX is far below u32::MAX.
        #[allow(clippy::cast_possible_truncation)]
        Ok(index as u32 | OURS)
    }

    pub(crate) fn get(&self, rep: u32) -> Result<&S, SlotError> {
        self.entries
            .get((rep & !OURS) as usize)
            .and_then(Option::as_ref)
            .ok_or(SlotError::Wrong(rep))
    }

    pub(crate) fn get_mut(&mut self, rep: u32) -> Result<&mut S, SlotError> {
        self.entries
            .get_mut((rep & !OURS) as usize)
            .and_then(Option::as_mut)
            .ok_or(SlotError::Wrong(rep))
    }

    pub(crate) fn take(&mut self, rep: u32) -> Result<S, SlotError> {
        let index = rep & !OURS;
        let slot = self
            .entries
            .get_mut(index as usize)
            .and_then(Option::take)
            .ok_or(SlotError::Wrong(rep))?;
        self.free.push(index);
        Ok(slot)
    }

    /// Resources that may still come.
    pub(crate) fn left(&self) -> usize {
        SLOTS_MAX - self.len()
    }

    /// Resources in use.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_and_a_dropped_one_is_refused() {
        let mut slots = Slots::new();
        let first = slots.push("a").unwrap();
        let second = slots.push("b").unwrap();
        assert!(Slots::<&str>::owns(first) && !Slots::<&str>::owns(7));
        assert_eq!(slots.take(first).unwrap(), "a");
        assert!(matches!(slots.get(first), Err(SlotError::Wrong(_))));
        assert_eq!(slots.push("c").unwrap(), first);
        assert_eq!(*slots.get(second).unwrap(), "b");
        assert_eq!(slots.len(), 2);
    }

    #[test]
    fn an_instance_that_hoards_resources_is_stopped() {
        let mut slots = Slots::new();
        for _ in 0..SLOTS_MAX {
            slots.push(()).unwrap();
        }
        assert!(matches!(slots.push(()), Err(SlotError::Full)));
    }
}
