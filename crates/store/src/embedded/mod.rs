//! The store engine that needs nothing but a folder: SQLite and content-addressed files.
//!
//! Owns how the ports' calls reach the threads that do the blocking work: one for the catalog (SQLite has one writer),
//! one for files, so that a large upload doesn't hold up a small row. Key-value data has its own file and ways (`kv`), and
//! so have queues (`queue`), SQL databases (`sql`) and blobs (`blobs`). Knows nothing of the rows (`catalog`), the files (`files`) or the folder's layout (`data_dir`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{Mutex, RwLock};

use everwarm_manifest::{Digest, TenantId};

use crate::{EngineError, Store};

mod accounts;
mod apps;
mod artifacts;
mod audit;
pub mod backup;
mod blobs;
mod catalog;
mod commits;
mod data_dir;
mod database;
pub mod disk;
mod files;
mod grouped;
mod hosts;
mod kv;
mod node_key;
mod once;
mod ports;
mod prune;
mod queue;
mod schema;
mod secrets;
mod secrets_port;
mod sql;
mod usage;
mod worker;

pub use data_dir::DataDir;
pub use node_key::{KEY_LEN, NodeKey};
pub use schema::SCHEMA_VERSION;

use blobs::BlobStore;
pub use blobs::BucketConfig;
use disk::{Medium, make_dirs};
use files::ArtifactFiles;
use kv::Kv;
use queue::Queue;
use sql::Sql;
use worker::Worker;

/// The embedded engine.
#[derive(Debug)]
pub struct Embedded {
    node_key: NodeKey,
    // The order matters: the threads end before the folder's lock is let go.
    catalog: Worker<Connection>,
    files: Worker<ArtifactFiles>,
    kv: Kv,
    queue: Queue,
    sql: Sql,
    blobs: BlobStore,
    /// Held for reading from when a file is there until its row is, for writing while both are removed.
    uploads: RwLock<()>,
    /// Held while garbage is collected, and while a backup reads what a collection would take from it.
    collecting: Mutex<()>,
    /// Where it is opened again after it was let go.
    medium: Medium,
    data_dir: DataDir,
}

impl Embedded {
    /// Opens the store in a folder; makes what isn't there yet. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`OpenError`], each variant with what to do about it.
    pub fn open(root: &Path) -> Result<Self, OpenError> {
        Self::open_on(root, Medium::local())
    }

    /// As [`Embedded::open`], with new blobs in a bucket of an S3 server, if one is given. Nothing of it is waited for.
    ///
    /// # Errors
    ///
    /// As [`Embedded::open`].
    pub fn open_with(root: &Path, bucket: Option<BucketConfig>) -> Result<Self, OpenError> {
        Self::open_all(root, Medium::local(), bucket)
    }

    /// As [`Embedded::open`], on a disk of one's own. The folder's lock is on the operating system's all the same.
    ///
    /// # Errors
    ///
    /// As [`Embedded::open`].
    pub fn open_on(root: &Path, medium: Medium) -> Result<Self, OpenError> {
        Self::open_all(root, medium, None)
    }

    fn open_all(
        root: &Path,
        medium: Medium,
        bucket: Option<BucketConfig>,
    ) -> Result<Self, OpenError> {
        let data_dir = DataDir::lock(root)?;
        if root.join(backup::UNFINISHED).exists() {
            return Err(OpenError::RestoreUnfinished(root.to_owned()));
        }
        let disk = &medium.disk;
        for folder in [data_dir.artifacts(), data_dir.compiled()] {
            make_dirs(&**disk, &folder).map_err(OpenError::io("make the folder", &folder))?;
        }
        let node_key = NodeKey::load_or_create(&**disk, &data_dir.node_key())?;
        let connection = schema::open(&data_dir.catalog(), &medium)?;
        let files = ArtifactFiles::open(Arc::clone(&medium.disk), data_dir.artifacts())
            .map_err(OpenError::io("prepare the folder", &data_dir.artifacts()))?;
        let start = OpenError::io("start a thread for the store in", root);
        let places = blobs::Places {
            index: data_dir.blob_index(),
            folder: data_dir.blobs(),
            spools: data_dir.blob_parts(),
            bucket,
        };
        Ok(Self {
            node_key,
            catalog: Worker::spawn("store-catalog", connection).map_err(&start)?,
            files: Worker::spawn("store-artifacts", files).map_err(&start)?,
            kv: Kv::open(data_dir.kv(), medium.clone())?,
            queue: Queue::open(data_dir.queue(), medium.clone())?,
            sql: Sql::open(&data_dir.sql(), medium.clone())?,
            blobs: BlobStore::open(places, &medium)?,
            uploads: RwLock::new(()),
            collecting: Mutex::new(()),
            medium,
            data_dir,
        })
    }

    /// Finishes what it was asked for, and lets another process have the folder. From now on every operation fails,
    /// until [`Self::take_back`]. Blocks on the disk.
    pub fn let_go(&self) {
        self.catalog.stop();
        self.files.stop();
        self.kv.stop();
        self.queue.stop();
        self.sql.stop();
        self.blobs.stop();
        self.data_dir.let_go();
    }

    /// Opens the store again that was let go. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// As [`Self::open`]; then it stays as it is.
    pub fn take_back(&self) -> Result<(), OpenError> {
        let root = self.data_dir.root();
        self.data_dir.lock_again()?;
        let open = || {
            let medium = self.medium.clone();
            let connection = schema::open(&self.data_dir.catalog(), &medium)?;
            let artifacts = self.data_dir.artifacts();
            let files = ArtifactFiles::open(medium.disk, artifacts).map_err(OpenError::io(
                "prepare the folder",
                &self.data_dir.artifacts(),
            ))?;
            let start = OpenError::io("start a thread for the store in", root);
            self.catalog.start(connection).map_err(&start)?;
            self.files.start(files).map_err(&start)?;
            self.kv.start()?;
            self.queue.start()?;
            self.sql.start()?;
            self.blobs.start()
        };
        open().inspect_err(|_| self.let_go())
    }

    /// The folder that the store is in.
    pub fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }

    /// The file of an artifact on this machine, if it is there: whoever reads it checks that its bytes are the ones. Asks
    /// nothing of the store, so that what is on the disk is served without it.
    pub fn artifact_path(&self, tenant: &TenantId, digest: Digest) -> PathBuf {
        files::path_of(&self.data_dir.artifacts(), tenant, digest)
    }

    /// The node's secret key.
    pub fn node_key(&self) -> &NodeKey {
        &self.node_key
    }
}

impl Store for Embedded {
    fn catalog(&self) -> &dyn crate::catalog::Catalog {
        self
    }

    fn artifacts(&self) -> &dyn crate::artifacts::Artifacts {
        self
    }

    fn accounts(&self) -> &dyn crate::accounts::Accounts {
        self
    }

    fn audit(&self) -> &dyn crate::audit::Audit {
        self
    }

    fn usage(&self) -> &dyn crate::usage::UsageLog {
        self
    }

    fn kv(&self) -> &dyn crate::kv::KeyValue {
        &self.kv
    }

    fn secrets(&self) -> &dyn crate::secrets::Secrets {
        self
    }

    fn sql(&self) -> &dyn crate::sql::Databases {
        &self.sql
    }

    fn triggers(&self) -> &dyn crate::triggers::Triggers {
        &self.queue
    }

    fn blobs(&self) -> &dyn crate::blobs::Blobs {
        &self.blobs
    }
}

impl Embedded {
    /// Runs a job on the catalog's thread. `stopped` makes the port's own error of a thread that is gone.
    async fn on_catalog<T, E, F>(&self, job: F, stopped: fn(EngineError) -> E) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        let done = self.catalog.run(job).await;
        done.unwrap_or_else(|error| Err(stopped(Box::new(error))))
    }

    /// As [`Embedded::on_catalog`], outside of any transaction.
    async fn alone_on_catalog<T, F>(&self, job: F) -> Result<T, backup::BackupError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, backup::BackupError> + Send + 'static,
    {
        let done = self.catalog.run_alone(job).await;
        done.unwrap_or_else(|error| {
            Err(backup::BackupError::Failed {
                doing: "read its catalog",
                source: Box::new(error),
            })
        })
    }

    /// As [`Embedded::on_catalog`], on the thread for files.
    async fn on_files<T, E, F>(&self, job: F, stopped: fn(EngineError) -> E) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&mut ArtifactFiles) -> Result<T, E> + Send + 'static,
    {
        let done = self.files.run(job).await;
        done.unwrap_or_else(|error| Err(stopped(Box::new(error))))
    }
}

/// Why the embedded store didn't open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder.
    #[error(
        "the data folder {} is in use by another process{}: stop that process, or use another folder",
        .dir.display(),
        .holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The process that has it, as far as it said so.
        holder: Option<u32>,
    },
    /// The tables were made by a later release.
    #[error(
        "the database {} has schema version {found} and this binary knows up to {known}: \
         use the newer everwarm that wrote it, or another data folder",
        .path.display()
    )]
    SchemaNewer {
        /// The SQLite file.
        path: PathBuf,
        /// The version that it has.
        found: i64,
        /// The version that this binary knows.
        known: i64,
    },
    /// A restore into the folder didn't end.
    #[error(
        "a restore into {} didn't end, and what is there isn't whole: empty the folder, and restore again",
        .0.display()
    )]
    RestoreUnfinished(PathBuf),
    /// The node's key can't be used.
    #[error(
        "the node's key {} can't be used: {fault}. Make it readable by its owner alone \
         (chmod 600), or delete it: then all functions are compiled again",
        .path.display()
    )]
    NodeKey {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// Blobs are in a bucket, and there is none.
    #[error(
        "blobs of the data folder whose files are in {} are in an S3 bucket, and the node isn't told of it: start it with \
         the settings --blobs-s3-... that it had",
        .0.display()
    )]
    NoBucket(PathBuf),
    /// The settings of a bucket aren't those of one, or its index can't be read.
    #[error("the S3 bucket of blobs can't be set up: {0}")]
    Bucket(#[source] EngineError),
    /// SQLite refused.
    #[error("failed to {doing} {}: check the disk, or restore the file from a backup", .path.display())]
    Sqlite {
        /// What was being attempted.
        doing: &'static str,
        /// The SQLite file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The file system refused.
    #[error("failed to {doing} {}: check that this user may write there and that the disk isn't full", .path.display())]
    Io {
        /// What was being attempted.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "EW4002",
            Self::SchemaNewer { .. } => "EW4004",
            Self::RestoreUnfinished(_) => "EW4007",
            Self::NoBucket(_) | Self::Bucket(_) => "EW4009",
            Self::NodeKey { .. } | Self::Sqlite { .. } | Self::Io { .. } => "EW4003",
        }
    }

    fn io(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path: path.clone(),
            source,
        }
    }
}
