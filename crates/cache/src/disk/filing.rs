//! An answer that is too large for memory, on its way to the disk while it comes in pieces. Owns how much of it waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Disk, Job, LetGo};

/// Bytes of one that wait to be written; whoever gives more waits.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Answers that come in pieces, at once.
const FILINGS_MAX: usize = 16;

/// What is known of it by both sides. It is one of those at once until neither side has it.
#[derive(Debug)]
pub(super) struct State {
    waiting: Mutex<Waiting>,
    filings: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: usize,
    has_failed: bool,
    waker: Option<Waker>,
}

impl State {
    /// So much was written, or can't be.
    pub(super) fn written(&self, bytes: usize, failed: bool) {
        let waker = {
            let mut waiting = self.waiting.lock();
            waiting.bytes = waiting.bytes.saturating_sub(bytes);
            waiting.has_failed |= failed;
            waiting.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether a part of it is missing.
    pub(super) fn has_failed(&self) -> bool {
        self.waiting.lock().has_failed
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.filings.fetch_sub(1, Ordering::Relaxed);
    }
}

/// See the module's documentation. Dropped before it is finished, nothing is kept.
#[derive(Debug)]
pub struct Filing {
    disk: Arc<Disk>,
    number: u64,
    state: Arc<State>,
    length: u64,
    length_max: u64,
    is_finished: bool,
}

impl Filing {
    /// `None` when there are so many already.
    pub(crate) fn begin(disk: &Arc<Disk>, length_max: u64) -> Option<Self> {
        if disk.filings.fetch_add(1, Ordering::Relaxed) >= FILINGS_MAX {
            disk.filings.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self {
            disk: Arc::clone(disk),
            number: disk.next_number(),
            state: Arc::new(State {
                waiting: Mutex::default(),
                filings: Arc::clone(&disk.filings),
            }),
            length: 0,
            length_max,
            is_finished: false,
        })
    }

    /// So much more of it. `false` when it isn't kept after all.
    #[must_use]
    pub fn push(&mut self, bytes: Bytes) -> bool {
        self.length += bytes.len() as u64;
        {
            let mut waiting = self.state.waiting.lock();
            if waiting.has_failed || self.length > self.length_max {
                return false;
            }
            waiting.bytes += bytes.len();
        }
        let (length, state) = (bytes.len(), Arc::clone(&self.state));
        let is_taken = self.disk.push(Job::Piece(self.number, bytes, state));
        if !is_taken {
            self.state.written(length, true);
        }
        is_taken
    }

    /// Whether there is room for more.
    pub fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waiting = self.state.waiting.lock();
        if waiting.has_failed || waiting.bytes < WAITING_BYTES_MAX {
            return Poll::Ready(());
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// All of it has come. `answer` is without its content.
    pub(crate) fn finish(mut self, answer: LetGo) {
        self.is_finished = true;
        let state = Arc::clone(&self.state);
        // After the end it isn't kept, which nobody waits to hear.
        self.disk
            .push(Job::Finish(Box::new(answer), self.number, state));
    }
}

impl Drop for Filing {
    fn drop(&mut self) {
        if !self.is_finished {
            let state = Arc::clone(&self.state);
            // After the end what was begun goes with the thread.
            self.disk.push(Job::GiveUp(self.number, state));
        }
    }
}
