//! What waits to be sent: so much at most. Whoever comes with more than there is room for goes on without waiting, and
//! what it brought is counted.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Counts;

/// Things that are sent together.
pub(super) const BATCH_MAX: usize = 512;

/// See the module's documentation.
pub(super) struct Waiting<T> {
    state: Mutex<State<T>>,
    /// A batch is full.
    full: Notify,
    items_max: usize,
    bytes_max: usize,
    counts: Counts,
}

struct State<T> {
    items: std::collections::VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> Waiting<T> {
    pub(super) fn new(items_max: usize, bytes_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: std::collections::VecDeque::new(),
                bytes: 0,
            }),
            full: Notify::new(),
            items_max,
            bytes_max,
            counts: Counts::default(),
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Has it wait, if there is room.
    pub(super) fn push(&self, item: T, bytes: usize) {
        let mut state = self.state.lock();
        let has_room = state.items.len() < self.items_max
            && state.bytes.saturating_add(bytes) <= self.bytes_max;
        if has_room {
            state.items.push_back((item, bytes));
            state.bytes += bytes;
        }
        let is_full = state.items.len() == BATCH_MAX;
        drop(state);
        if !has_room {
            self.counts.dropped(1);
        } else if is_full {
            self.full.notify_one();
        }
    }

    /// Ready once a batch is full.
    pub(super) async fn full(&self) {
        self.full.notified().await;
    }

    /// The oldest of them, a batch at most.
    pub(super) fn take(&self) -> Vec<T> {
        let mut state = self.state.lock();
        let count = state.items.len().min(BATCH_MAX);
        let taken: Vec<_> = state.items.drain(..count).collect();
        state.bytes -= taken.iter().map(|(_, bytes)| bytes).sum::<usize>();
        drop(state);
        taken.into_iter().map(|(item, _)| item).collect()
    }

    /// Drops all that waits, and tells how much it was.
    pub(super) fn give_up(&self) -> usize {
        let mut state = self.state.lock();
        let items = std::mem::take(&mut state.items);
        state.bytes = 0;
        drop(state);
        self.counts.dropped(items.len());
        items.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_counted_and_what_was_there_stays() {
        let waiting = Waiting::new(BATCH_MAX + 2, usize::MAX);
        for number in 0..BATCH_MAX + 5 {
            waiting.push(number, 1);
        }
        assert_eq!(waiting.counts().read(), (0, 3));
        let first = waiting.take();
        assert_eq!((first.len(), first[0]), (BATCH_MAX, 0));
        assert_eq!(waiting.take(), [BATCH_MAX, BATCH_MAX + 1]);
        assert!(waiting.take().is_empty());
    }

    #[test]
    fn bytes_are_bounded_too_and_come_back() {
        let waiting = Waiting::new(usize::MAX, 10);
        waiting.push('a', 6);
        waiting.push('b', 6);
        waiting.push('c', 4);
        assert_eq!(waiting.take(), ['a', 'c']);
        waiting.push('d', 10);
        assert_eq!(waiting.give_up(), 1);
        waiting.push('e', 10);
        assert_eq!(waiting.take(), ['e']);
        assert_eq!(waiting.counts().read().1, 2);
    }
}
