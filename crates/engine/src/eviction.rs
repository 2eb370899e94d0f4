//! Which of many things was used longest ago, without a lock on the way of those who use them.
//!
//! Pure: owns the order. A use only sets a number of the thing's own; the order is mended when somebody has to go, in
//! logarithmic time for each that goes or was used since it was looked at last. Knows nothing of functions.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Things in the order of their last use, as far as it is known.
#[derive(Debug)]
pub(crate) struct Eviction<T> {
    heap: BinaryHeap<Seat<T>>,
}

#[derive(Debug)]
struct Seat<T> {
    /// When it was used last, when it was looked at last.
    seen_at: u64,
    thing: T,
}

impl<T> Eq for Seat<T> {}

impl<T> PartialEq for Seat<T> {
    fn eq(&self, other: &Self) -> bool {
        self.seen_at == other.seen_at
    }
}

impl<T> Ord for Seat<T> {
    /// The heap gives the greatest first: that is the oldest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.seen_at.cmp(&self.seen_at)
    }
}

impl<T> PartialOrd for Seat<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Default for Eviction<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
        }
    }
}

impl<T> Eviction<T> {
    /// Takes a thing in, which was used at that time.
    pub(crate) fn push(&mut self, thing: T, used_at: u64) {
        self.heap.push(Seat {
            seen_at: used_at,
            thing,
        });
    }

    /// Gives the thing that was used longest ago. `used_at` says when each was; it only grows.
    pub(crate) fn pop(&mut self, used_at: impl Fn(&T) -> u64) -> Option<T> {
        loop {
            let mut oldest = self.heap.peek_mut()?;
            let now = used_at(&oldest.thing);
            if now == oldest.seen_at {
                return Some(std::collections::binary_heap::PeekMut::pop(oldest).thing);
            }
            // It was used since: its place is further back.
            oldest.seen_at = now;
        }
    }

    /// Forgets the things that `keep` doesn't want.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.heap.retain(|seat| keep(&seat.thing));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::Eviction;

    #[derive(Debug, Clone)]
    enum Act {
        Push,
        Use(usize),
        Pop,
        Forget(usize),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            Just(Act::Push),
            (0..16_usize).prop_map(Act::Use),
            Just(Act::Pop),
            (0..16_usize).prop_map(Act::Forget),
        ]
    }

    proptest! {
        #[test]
        fn the_one_that_goes_was_used_longest_ago(acts in proptest::collection::vec(act(), 1..200)) {
            let mut queue = Eviction::default();
            let mut there: Vec<Rc<Cell<u64>>> = Vec::new();
            for (now, act) in (1..).zip(acts) {
                match act {
                    Act::Push => {
                        let thing = Rc::new(Cell::new(now));
                        queue.push(Rc::clone(&thing), now);
                        there.push(thing);
                    }
                    Act::Use(index) if !there.is_empty() => there[index % there.len()].set(now),
                    Act::Forget(index) if !there.is_empty() => {
                        let gone = there.remove(index % there.len());
                        queue.retain(|thing| !Rc::ptr_eq(thing, &gone));
                    }
                    Act::Use(_) | Act::Forget(_) => {}
                    Act::Pop => {
                        let expected = there.iter().map(|thing| thing.get()).min();
                        let popped = queue.pop(|thing| thing.get());
                        prop_assert_eq!(popped.as_ref().map(|thing| thing.get()), expected);
                        there.retain(|thing| Some(thing.get()) != expected);
                    }
                }
            }
        }
    }
}
