//! Blobs: a file for each, and an index of them in SQLite.
//!
//! Owns the engine: which threads do what, and when a file is let go. The index's file is of the make of key-value data's
//! ([`Grouped`]); its SQL is in `index` and `look`. How a blob is written and read is in `upload` and `download`, what is
//! swept in `sweep`, the port in `port`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use everwarm_manifest::{AppName, TenantId};

use super::OpenError;
use super::backup::BackupError;
use super::database::Tables;
use super::disk::Medium;
use super::grouped::{Data, Grouped, Words, fails};
use crate::blobs::{BlobError, Container};

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

use files::Files;
use flights::Flights;
use hands::Hands;
pub(super) use listed::{ListedBlob, listed};
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

fn chance(path: &std::path::Path) -> Result<u64, OpenError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(std::io::Error::other)
        .map_err(OpenError::io("get random bytes for", path))?;
    Ok(u64::from_le_bytes(bytes))
}

impl BlobStore {
    /// Opens the index, and the folder of the files, which is made when the first blob is.
    pub(super) fn open(
        index: PathBuf,
        folder: PathBuf,
        medium: &Medium,
    ) -> Result<Self, OpenError> {
        let start = OpenError::io("start a thread for the store in", &folder);
        Ok(Self(Arc::new(Inner {
            hands: Hands::spawn().map_err(start)?,
            index: Grouped::open(index, medium.clone())?,
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

impl BlobStore {
    /// Keeps all files that blobs are in now, until the answer is dropped.
    pub(super) fn hold(&self) -> Held<'_> {
        self.0.backups.fetch_add(1, Ordering::SeqCst);
        Held(&self.0)
    }

    /// Copies the index into another file.
    pub(super) async fn copy(&self, to: &std::path::Path) -> Result<(), BackupError> {
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

    /// A file is nobody's any more. It goes without anybody waiting for it; what can't go now does so with a sweep.
    fn let_go_of(&self, container: &Container, file: Option<String>) {
        if let Some(file) = file {
            self.let_go(&container.tenant, &container.app, &[file]);
        }
    }

    fn let_go(&self, tenant: &TenantId, app: &AppName, files: &[String]) {
        if self.is_backed_up() {
            self.walk_again();
            return;
        }
        let paths: Vec<_> = files
            .iter()
            .map(|file| self.files.path(tenant, app, file))
            .collect();
        let files = self.files.clone();
        let is_left = self.hands.leave(move || {
            for path in paths {
                if let Err(error) = files.remove(&path) {
                    tracing::warn!(path = %path.display(), %error, "a blob's old file stays for now");
                }
            }
        });
        if !is_left {
            self.walk_again();
        }
    }

    fn stops(&self) -> u32 {
        self.stops.load(Ordering::SeqCst)
    }

    fn is_backed_up(&self) -> bool {
        self.backups.load(Ordering::SeqCst) > 0
    }
}
