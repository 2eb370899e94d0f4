//! What is kept in memory of files, bounded by bytes, and how many reads of the disk are on their way.
//!
//! Owns the bound, and what goes when it is reached: what wasn't used since it was last looked at. Knows no file and no
//! HTTP. A request that finds what it wants writes nothing here.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use everwarm_manifest::{Digest, TenantId};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

/// Reads of the disk at once, of all lanes: each is a thread while it lasts.
const READS_MAX: usize = 32;
/// Weak references that are kept before those that lead nowhere are dropped.
const QUEUE_MIN: usize = 64;

/// Where bundles are.
pub trait Bundles: Send + Sync + 'static {
    /// The file of a bundle on this machine, if it is there. Its reader checks that it is the one.
    fn local_file(&self, tenant: &TenantId, bundle: Digest) -> PathBuf;
}

/// What can be let go to make room.
pub(crate) trait Shelved: Send + Sync {
    /// Lets go of what it holds, unless it was used since this was last asked. Says whether it did.
    fn let_go(&self) -> bool;
}

/// See the module's documentation. One for all apps of a node; what is kept of one is never another's.
pub struct Library {
    bundles: Arc<dyn Bundles>,
    bytes_max: u64,
    bytes: Arc<AtomicU64>,
    queue: Mutex<Queue>,
    reads: Arc<Semaphore>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stock {
    /// Bytes that are kept in memory.
    pub bytes: u64,
}

#[derive(Default)]
struct Queue {
    /// Each once, the one that came or was looked at longest ago first.
    items: VecDeque<Weak<dyn Shelved>>,
    tidy_at: usize,
}

/// So many bytes of the bound, until it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    bytes: u64,
    of: Arc<AtomicU64>,
}

impl Library {
    /// One that keeps `bytes_max` at most, but for what is being sent.
    pub fn new(bundles: Arc<dyn Bundles>, bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            bundles,
            bytes_max,
            bytes: Arc::default(),
            queue: Mutex::default(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
        })
    }

    /// How much there is.
    pub fn stock(&self) -> Stock {
        Stock {
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn bundles(&self) -> &dyn Bundles {
        &*self.bundles
    }

    /// Takes room for so many bytes, at once. What has to go for it goes with [`Self::keep`].
    pub(crate) fn charge(&self, bytes: u64) -> Charge {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Charge {
            bytes,
            of: Arc::clone(&self.bytes),
        }
    }

    /// Keeps one more, and lets others go until all fit.
    pub(crate) fn keep(&self, item: Weak<dyn Shelved>) {
        let mut queue = self.queue.lock();
        self.make_room(&mut queue.items);
        // It is the last to be looked at: it goes at once only if it has no room alone.
        queue.items.push_back(item);
        self.make_room(&mut queue.items);
        if queue.items.len() >= queue.tidy_at.max(QUEUE_MIN) {
            queue.items.retain(|item| item.strong_count() > 0);
            queue.tidy_at = 2 * queue.items.len();
        }
    }

    fn make_room(&self, items: &mut VecDeque<Weak<dyn Shelved>>) {
        // Twice round: the first time may only find that all of them were used.
        let mut looks = 2 * items.len();
        while self.bytes.load(Ordering::Relaxed) > self.bytes_max && looks > 0 {
            looks -= 1;
            let Some(first) = items.pop_front() else {
                break;
            };
            let stays = first.upgrade().is_some_and(|item| !item.let_go());
            if stays {
                items.push_back(first);
            }
        }
    }

    /// Does what reads the disk, on the threads for what blocks, when it is its turn.
    ///
    /// A task waits for the turn: who isn't polled, as a guest that does something else, has none, and no place in the
    /// queue. Work that nobody waits for any more isn't begun.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let reads = Arc::clone(&self.reads);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let turn = reads.acquire_owned().await;
            let turn = turn.expect("the semaphore is never closed");
            let done = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                work()
            });
            done.await
        });
        task.join_next().await.expect("there is a task")?
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").finish_non_exhaustive()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    struct Nowhere;

    impl Bundles for Nowhere {
        fn local_file(&self, _: &TenantId, _: Digest) -> PathBuf {
            PathBuf::new()
        }
    }

    struct Item {
        used: AtomicBool,
        held: Mutex<Option<Charge>>,
    }

    impl Shelved for Item {
        fn let_go(&self) -> bool {
            let was_used = self.used.swap(false, Ordering::Relaxed);
            if !was_used {
                *self.held.lock() = None;
            }
            !was_used
        }
    }

    fn put(library: &Library, bytes: u64) -> Arc<Item> {
        let item = Arc::new(Item {
            used: AtomicBool::new(true),
            held: Mutex::new(Some(library.charge(bytes))),
        });
        let weak = Arc::downgrade(&item);
        library.keep(weak);
        item
    }

    #[test]
    fn what_was_not_used_goes_first_and_the_bound_holds() {
        let library = Library::new(Arc::new(Nowhere), 100);
        let items: Vec<_> = (0..10).map(|_| put(&library, 10)).collect();
        assert_eq!(library.stock().bytes, 100);
        for item in &items {
            item.used.store(false, Ordering::Relaxed);
        }
        items[0].used.store(true, Ordering::Relaxed);
        let _more = put(&library, 10);
        assert_eq!(library.stock().bytes, 100);
        assert!(items[0].held.lock().is_some(), "it was used");
        assert!(
            items[1].held.lock().is_none(),
            "it was the oldest that was not"
        );
        drop(items);
        assert_eq!(library.stock().bytes, 10, "what is gone holds nothing");
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let library = Library::new(Arc::new(Nowhere), u64::MAX);
        for _ in 0..10_000 {
            drop(put(&library, 1));
        }
        assert!(library.queue.lock().items.len() <= 2 * QUEUE_MIN);
        assert_eq!(library.stock().bytes, 0);
    }
}
