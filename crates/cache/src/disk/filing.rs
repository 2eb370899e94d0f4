//! An answer that is too large for memory, on its way to the disk while it comes in pieces. Owns how much of it waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Disk, Job, LetGo};

/// Bytes of one that wait to be written; whoever gives more waits.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Answers that come in pieces, at once.
const FILINGS_MAX: usize = 16;

/// What is known of it by both sides.
#[derive(Debug, Default)]
pub(super) struct State(Mutex<Waiting>);

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
            let mut waiting = self.0.lock();
            waiting.bytes = waiting.bytes.saturating_sub(bytes);
            waiting.has_failed |= failed;
            waiting.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
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
            state: Arc::default(),
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
            let mut waiting = self.state.0.lock();
            if waiting.has_failed || self.length > self.length_max {
                return false;
            }
            waiting.bytes += bytes.len();
        }
        let state = Arc::clone(&self.state);
        self.disk.push(Job::Piece(self.number, bytes, state));
        true
    }

    /// Whether there is room for more.
    pub fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waiting = self.state.0.lock();
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
        self.disk
            .push(Job::Finish(Box::new(answer), self.number, state));
    }
}

impl Drop for Filing {
    fn drop(&mut self) {
        self.disk.filings.fetch_sub(1, Ordering::Relaxed);
        if !self.is_finished {
            self.disk.push(Job::GiveUp(self.number));
        }
    }
}
