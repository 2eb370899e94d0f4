//! Blobs: a file for each, or an object in a bucket of an S3 server, and an index of them in SQLite.
//!
//! Owns the engine: which threads do what, and when a file or an object is let go. The index's file is of the make of
//! key-value data's ([`Grouped`]); its SQL is in `index` and `look`. Files are in `files`, the bucket is in `bucket`. How a blob is written and read is in `upload` and `download`, what is
//! swept in `sweep`, the port in `port`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use everwarm_manifest::{AppName, TenantId};

use super::OpenError;
use super::backup::BackupError;
use super::database::Tables;
use super::disk::Medium;
use super::grouped::{Data, Grouped, Words, fails};
use crate::blobs::{BlobError, Container};

mod bucket;
mod download;
mod files;
mod flights;
mod hands;
mod index;
mod listed;
mod look;
mod port;
mod sweep;
mod tables;
mod upload;

pub use bucket::BucketConfig;

use bucket::Bucket;
use files::Files;
use flights::Flights;
use hands::Hands;
pub(super) use listed::{ListedBlob, elsewhere, forget_owner, listed};
use look::{KeptAt, Place};
use sweep::Walk;
pub(super) use tables::TABLES;

/// The engine of blobs.
#[derive(Debug)]
pub(super) struct BlobStore(Arc<Inner>);

/// What those share who write and read.
#[derive(Debug)]
struct Inner {
    // The order matters: jobs ask the index.
    hands: Hands,
    index: Grouped<Index>,
    files: Files,
    /// Where new blobs go; into files when `None`.
    bucket: Option<Arc<Bucket>>,
    flights: Arc<Flights>,
    /// The beginning of the names of files that this process makes, by chance, and how many it has made.
    run: AtomicU64,
    made: AtomicU32,
    /// How often it was stopped: another process may have had the store meanwhile.
    stops: AtomicU32,
    /// Backups that are under way: no file goes meanwhile.
    backups: AtomicU32,
    walk: Mutex<Walk>,
}

/// What is in the index's file.
#[derive(Debug)]
struct Index;

impl Data for Index {
    const NAME: &'static str = "index of blobs";
    const WORDS: Words = Words {
        read: "read the index of blobs",
        change: "change the index of blobs",
        copy: "copy its index of blobs",
    };
    const THREAD: &'static str = "store-blob-index";
    const COPY_THREAD: &'static str = "store-blob-copy";
    const TABLES: &'static Tables = &TABLES;
    type Error = BlobError;
}

fails!(BlobError);

fn chance(path: &Path) -> Result<u64, OpenError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(std::io::Error::other)
        .map_err(OpenError::io("get random bytes for", path))?;
    Ok(u64::from_le_bytes(bytes))
}

/// What the engine keeps its bytes in.
pub(super) struct Places {
    pub(super) index: PathBuf,
    /// Of files; made when the first blob is.
    pub(super) folder: PathBuf,
    /// Where parts of objects are until they are sent.
    pub(super) spools: PathBuf,
    /// Where new blobs go; into files when `None`.
    pub(super) bucket: Option<BucketConfig>,
}

impl BlobStore {
    /// Opens the index. Of a bucket's server nothing is needed for that.
    pub(super) fn open(places: Places, medium: &Medium) -> Result<Self, OpenError> {
        let Places {
            index,
            folder,
            spools,
            bucket,
        } = places;
        let start = OpenError::io("start a thread for the store in", &folder);
        let hands = Hands::spawn().map_err(start)?;
        let (index, bucket) = if let Some(config) = bucket {
            let name = format!("{:016x}{:016x}", chance(&index)?, chance(&index)?);
            let (index, owner) =
                Grouped::<Index>::open_with(index, medium.clone(), |connection| {
                    index::owner(connection, &name)
                })?;
            (index, Some(open_bucket(config, owner, &spools)?))
        } else {
            let index = Grouped::<Index>::open(index, medium.clone())?;
            let has_objects = index.read(look::has_objects);
            let has_objects = has_objects.map_err(|error| OpenError::Bucket(Box::new(error)))?;
            if has_objects {
                return Err(OpenError::NoBucket(folder));
            }
            (index, None)
        };
        Ok(Self(Arc::new(Inner {
            bucket,
            hands,
            index,
            run: AtomicU64::new(chance(&folder)?),
            made: AtomicU32::new(0),
            files: Files::new(Arc::clone(&medium.disk), folder),
            flights: Arc::default(),
            stops: AtomicU32::new(0),
            backups: AtomicU32::new(0),
            walk: Mutex::default(),
        })))
    }

    /// Opens it again after it was stopped.
    pub(super) fn start(&self) -> Result<(), OpenError> {
        let Inner {
            hands, index, run, ..
        } = &*self.0;
        let folder = self.0.files.root();
        index.start()?;
        run.store(chance(folder)?, Ordering::Relaxed);
        self.0.walk_again();
        if let Some(bucket) = &self.0.bucket {
            bucket.begin_to_claim();
        }
        hands
            .start()
            .map_err(OpenError::io("start a thread for the store in", folder))
    }

    /// Finishes what it was asked for, and closes the index. What is being written is nobody's.
    pub(super) fn stop(&self) {
        self.0.stops.fetch_add(1, Ordering::SeqCst);
        self.0.hands.stop();
        self.0.index.stop();
    }
}

/// The bucket, which is asked in the background whose its objects are. `owner` is the store's name there.
fn open_bucket(
    config: BucketConfig,
    owner: String,
    spools: &Path,
) -> Result<Arc<Bucket>, OpenError> {
    // Left by a process that was killed while it made one.
    let _ = std::fs::remove_dir_all(spools);
    let bucket = Bucket::new(config, owner, spools.to_owned());
    let bucket = Arc::new(bucket.map_err(|error| OpenError::Bucket(Box::new(error)))?);
    bucket.begin_to_claim();
    Ok(bucket)
}

impl BlobStore {
    /// Keeps all files that blobs are in now, until the answer is dropped.
    pub(super) fn hold(&self) -> Held<'_> {
        self.0.backups.fetch_add(1, Ordering::SeqCst);
        Held(&self.0)
    }

    /// Copies the index into another file.
    pub(super) async fn copy(&self, to: &Path) -> Result<(), BackupError> {
        self.0.index.copy(to).await
    }
}

/// See [`BlobStore::hold`].
pub(super) struct Held<'a>(&'a Inner);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.backups.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for BlobStore {
    fn drop(&mut self) {
        // Streams that outlive it find it stopped.
        self.stop();
    }
}

impl Inner {
    /// Does what blocks on the disk.
    async fn on_disk<T, F>(&self, doing: &'static str, job: F) -> Result<T, BlobError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, BlobError> + Send + 'static,
    {
        let done = self.hands.run(job).await;
        done.unwrap_or_else(|lost| {
            Err(BlobError::Failed {
                doing,
                source: Box::new(lost),
            })
        })
    }

    /// A name for a new file.
    fn new_name(&self) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        if number == u32::MAX {
            // The next ones begin elsewhere.
            self.run.fetch_add(1, Ordering::Relaxed);
        }
        Files::name(self.run.load(Ordering::Relaxed), number)
    }

    /// A file or an object is nobody's any more. It goes without anybody waiting for it; what can't go now does so with a
    /// sweep.
    fn let_go_of(self: &Arc<Self>, container: &Container, kept: Option<KeptAt>) {
        if let Some(kept) = kept {
            self.let_go(&container.tenant, &container.app, vec![kept]);
        }
    }

    fn let_go(self: &Arc<Self>, tenant: &TenantId, app: &AppName, kept: Vec<KeptAt>) {
        let (files, mut objects): (Vec<_>, Vec<_>) = kept
            .into_iter()
            .partition(|kept| kept.place == Place::Folder);
        if !files.is_empty() && !self.let_files_go(tenant, app, &files) {
            self.walk_again();
        }
        objects.retain(|object| !self.flights.is_read(&object.name));
        if objects.is_empty() {
            return;
        }
        let names: Vec<_> = objects.into_iter().map(|object| object.name).collect();
        let inner = Arc::clone(self);
        let is_left = self.bucket.as_ref().is_some_and(|bucket| {
            bucket.leave_to_remove(tenant, app, &names, move || inner.walk_again())
        });
        if !is_left {
            self.walk_again();
        }
    }

    /// Says whether that is under way.
    fn let_files_go(&self, tenant: &TenantId, app: &AppName, kept: &[KeptAt]) -> bool {
        if self.is_backed_up() {
            return false;
        }
        let paths: Vec<_> = kept
            .iter()
            .map(|kept| self.files.path(tenant, app, &kept.name))
            .collect();
        let files = self.files.clone();
        self.hands.leave(move || {
            for path in paths {
                if let Err(error) = files.remove(&path) {
                    tracing::warn!(path = %path.display(), %error, "a blob's old file stays for now");
                }
            }
        })
    }

    fn stops(&self) -> u32 {
        self.stops.load(Ordering::SeqCst)
    }

    fn is_backed_up(&self) -> bool {
        self.backups.load(Ordering::SeqCst) > 0
    }
}
