//! What the node keeps of answers: how much, where, and what is told of it. What is kept of which answer is the cache crate's.

use std::path::Path;
use std::sync::Arc;

use everwarm_cache::disk::Removal;
use everwarm_cache::store::{Bounds, Store};
use everwarm_edge::cache::DiskReads;

/// Bytes of answers that are kept in memory, of all tenants, unless told otherwise.
const CACHE_BYTES_MAX: u64 = 128 << 20;
/// The same on the disk.
const CACHE_DISK_BYTES_MAX: u64 = 1 << 30;
/// One tenant has one of so many parts: half, so that nobody has all of it for himself.
const PARTS_OF_TENANT: u64 = 2;
/// The largest answer that is kept in memory, with its head.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// The largest answer that is kept on the disk.
const ANSWER_DISK_BYTES_MAX: u64 = 64 << 20;
/// The folder for them, in the data folder.
const FOLDER: &str = "cache";

/// How much is kept of answers, of all tenants; a tenant has half of it at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheRoom {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of the disk that the data folder is on. Zero: none are kept there.
    pub disk_bytes: u64,
}

impl CacheRoom {
    /// Without the disk, unless told otherwise.
    pub const IN_MEMORY: Self = Self {
        memory_bytes: CACHE_BYTES_MAX,
        disk_bytes: 0,
    };
    /// In memory and on the disk, unless told otherwise.
    pub const ON_DISK: Self = Self {
        memory_bytes: CACHE_BYTES_MAX,
        disk_bytes: CACHE_DISK_BYTES_MAX,
    };

    fn bounds(self) -> Bounds {
        let of_tenant = self.memory_bytes / PARTS_OF_TENANT;
        let disk_of_tenant = self.disk_bytes / PARTS_OF_TENANT;
        Bounds {
            bytes: self.memory_bytes,
            bytes_of_tenant: of_tenant,
            bytes_of_entry: ANSWER_BYTES_MAX.min(of_tenant),
            disk_bytes: self.disk_bytes,
            disk_bytes_of_tenant: disk_of_tenant,
            disk_bytes_of_entry: ANSWER_DISK_BYTES_MAX.min(disk_of_tenant),
        }
    }
}

/// The node's store of answers, and of values that functions keep for a time. Empty at first.
#[derive(Debug)]
pub(crate) struct KeptAnswers {
    pub(crate) store: Arc<Store>,
    pub(crate) reads: DiskReads,
}

impl KeptAnswers {
    pub(crate) fn new(room: CacheRoom) -> Self {
        Self {
            store: Store::new(room.bounds()),
            reads: DiskReads::default(),
        }
    }
}

/// Keeps answers on the disk from now on: the apps that serve are known, and the data folder is this process' own. Goes
/// without if it can't.
pub(crate) fn open_disk(store: &Arc<Store>, data_dir: &Path) {
    if let Err(error) = store.open_disk(data_dir.join(FOLDER)) {
        tracing::warn!(%error, "answers are kept in memory alone");
    }
}

/// Lets another process have the folder.
pub(crate) async fn close_disk(store: &Arc<Store>) {
    let store = Arc::clone(store);
    // It joins a thread, which blocks. A panic has been logged.
    let _ = tokio::task::spawn_blocking(move || store.close_disk()).await;
}

/// Lets another process have the folder while this one serves on: it begins with nothing.
pub(crate) async fn give_disk_up(store: &Arc<Store>) {
    let store = Arc::clone(store);
    // As above.
    let given_up = tokio::task::spawn_blocking(move || store.give_disk_up()).await;
    if let Ok(Err(error)) = given_up {
        tracing::error!(
            %error,
            "the process that takes over may give kept answers that are changed meanwhile: purge them there"
        );
    }
}

/// Waits until files are removed. `false` when one may be there again for the next process.
pub(crate) async fn are_removed(removals: Vec<Removal>) -> bool {
    if removals.iter().all(Removal::is_done) {
        return true;
    }
    let wait = move || removals.into_iter().all(Removal::wait);
    tokio::task::spawn_blocking(wait).await.unwrap_or(false)
}
