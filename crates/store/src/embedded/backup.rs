//! Backups: a consistent copy of a store that goes on working, as one archive that `tar` can list.
//!
//! Owns when a copy is consistent: the catalog is copied in one go, and nothing that it refers to is collected until
//! the archive is out. Key-value data and queues are copied in one go each a moment later, and each SQL database as its
//! turn comes. Blobs are those of the index's copy: no file of theirs goes before the archive is out. The archive's form is in `archive`, the way back in `restore`. The node's key stays behind: it is the node's alone, and protects nothing but machine code, which
//! a restored node makes again.

mod archive;
mod blob_parts;
mod restore;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use everwarm_manifest::{Digest, TenantId};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::Embedded;
use super::disk::{Disk as _, LocalDisk, remove_if_there};
use super::files::hash_file;
use super::schema::SCHEMA_VERSION;
use super::{blobs, kv, queue, sql};
use crate::artifacts::{ArtifactError, Artifacts as _};
use crate::catalog::UnixMillis;
use crate::{EngineError, StoreFuture};

use archive::{
    About, FilePart, SqlDatabase, SqlPart, artifact_name, blob_name, database_name, entry_end,
    entry_head, sql_list,
};
pub use restore::{RestoreError, Restored, UNFINISHED, check, restore};

/// Bytes of a file that are sent at once.
const PIECE_BYTES: usize = 256 << 10;

/// Blobs that are listed at once.
const BLOBS_A_PAGE: u32 = 1_000;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Another backup, or a collection of garbage.
    #[error("another backup or a collection of garbage is going on: try again when it is over")]
    Busy,
    /// Whoever wanted it is gone.
    #[error("the archive isn't taken any more")]
    Gone,
    /// An artifact is missing or damaged.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The engine failed.
    #[error("the store failed to {doing}")]
    Failed {
        /// What was being attempted.
        doing: &'static str,
        /// What the engine says.
        #[source]
        source: EngineError,
    },
}

impl BackupError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy => "EW5016",
            Self::Artifact(error) => error.code(),
            Self::Gone | Self::Failed { .. } => "EW4003",
        }
    }
}

fn failed<E: Into<EngineError>>(doing: &'static str) -> impl Fn(E) -> BackupError {
    move |source| BackupError::Failed {
        doing,
        source: source.into(),
    }
}

/// The copy of an SQLite file, which is gone when this value is.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        // It may not have been made yet; the next backup overwrites what is left.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Embedded {
    /// Sends a backup, piece by piece, as fast as its receiver takes it. What is deployed meanwhile may be in it or
    /// not; what is in it is whole.
    ///
    /// # Errors
    ///
    /// [`BackupError`]; what was sent until then is no backup, and restoring it is refused.
    pub fn back_up(&self, pieces: mpsc::Sender<Bytes>) -> StoreFuture<'_, Result<(), BackupError>> {
        Box::pin(async move {
            // Held to the end: what the copy refers to stays.
            let _no_collection = self.collecting.try_lock().map_err(|_| BackupError::Busy)?;
            let copy = Copy(self.data_dir.root().join("backup.sqlite"));
            let path = copy.0.clone();
            let artifacts = self
                .alone_on_catalog(move |connection| copy_catalog(connection, &path))
                .await?;
            let kv_copy = Copy(self.data_dir.root().join("backup-kv.sqlite"));
            self.kv.copy(&kv_copy.0).await?;
            let queue_copy = Copy(self.data_dir.root().join("backup-queue.sqlite"));
            self.queue.copy(&queue_copy.0).await?;
            // Held to the end as well.
            let _no_blob_goes = self.blobs.hold();
            let blob_copy = Copy(self.data_dir.root().join("backup-blobs.sqlite"));
            self.blobs.copy(&blob_copy.0).await?;
            let (digest, bytes) = self.measure(&copy).await?;
            let (kv_digest, kv_bytes) = self.measure(&kv_copy).await?;
            let (queue_digest, queue_bytes) = self.measure(&queue_copy).await?;
            let (blob_digest, blob_bytes) = self.measure(&blob_copy).await?;
            let about = About {
                format: archive::FORMAT,
                everwarm: env!("CARGO_PKG_VERSION").to_owned(),
                schema: SCHEMA_VERSION,
                made_ms: UnixMillis::now().0,
                catalog: digest,
                artifacts: artifacts.len() as u64,
                kv: Some(FilePart {
                    schema: kv::TABLES.version(),
                    digest: kv_digest,
                }),
                sql: Some(SqlPart {
                    schema: sql::TABLES.version(),
                }),
                queue: Some(FilePart {
                    schema: queue::TABLES.version(),
                    digest: queue_digest,
                }),
                blobs: Some(FilePart {
                    schema: blobs::TABLES.version(),
                    digest: blob_digest,
                }),
            };
            let sender = Sender { pieces };
            sender.whole(archive::ABOUT, about.to_json()).await?;
            for (name, copy, bytes) in [
                (archive::CATALOG, copy, bytes),
                (archive::KV, kv_copy, kv_bytes),
                (archive::QUEUE, queue_copy, queue_bytes),
            ] {
                self.send_part(&sender, name, &copy, bytes).await?;
            }
            self.send_databases(&sender).await?;
            self.send_part(&sender, archive::BLOBS, &blob_copy, blob_bytes)
                .await?;
            for (tenant, digest) in artifacts {
                // Checked on the way: a damaged one is no backup.
                let artifact = self.get(&tenant, digest).await?;
                sender
                    .whole(&artifact_name(&tenant, digest), artifact)
                    .await?;
            }
            self.send_blobs(&sender, &blob_copy).await?;
            sender.send(Bytes::from_static(&archive::END)).await
        })
    }
}

impl Embedded {
    /// Copies and sends each SQL database, one after another, and then the list of them.
    async fn send_databases(&self, sender: &Sender) -> Result<(), BackupError> {
        let mut sent = Vec::new();
        for database in self.sql.all().await? {
            let copy = Copy(self.data_dir.root().join("backup-sql.sqlite"));
            if !self.sql.copy(database.clone(), copy.0.clone()).await? {
                // Its app was removed meanwhile.
                continue;
            }
            let (digest, bytes) = self.measure(&copy).await?;
            sender.entry(&database_name(&database), bytes).await?;
            self.send_file(sender, &copy.0, bytes).await?;
            sender.end(bytes).await?;
            sent.push(SqlDatabase {
                tenant: database.tenant,
                app: database.app,
                name: database.name,
                digest,
            });
        }
        sender.whole(archive::SQL_LIST, sql_list(&sent)).await
    }

    /// Sends the copy of an SQLite file.
    async fn send_part(
        &self,
        sender: &Sender,
        name: &str,
        copy: &Copy,
        bytes: u64,
    ) -> Result<(), BackupError> {
        sender.entry(name, bytes).await?;
        self.send_file(sender, &copy.0, bytes).await?;
        sender.end(bytes).await
    }

    /// Sends each blob that the index's copy has.
    async fn send_blobs(&self, sender: &Sender, copy: &Copy) -> Result<(), BackupError> {
        let mut after = None;
        loop {
            let (path, from) = (copy.0.clone(), after.take());
            let page = self.on_file(move || {
                blobs::listed(&path, from.as_deref(), BLOBS_A_PAGE).map_err(io::Error::other)
            });
            let page = page.await?;
            for blob in &page {
                let path = blob.path(&self.data_dir.blobs());
                sender.entry(&blob_name(blob), blob.size).await?;
                let found = self.send_file(sender, &path, blob.size).await?;
                if found != blob.digest {
                    // Checked on the way: a damaged one is no backup.
                    let text = format!("{} has other bytes than were written", path.display());
                    return Err(failed("read its blobs")(EngineError::from(text)));
                }
                sender.end(blob.size).await?;
            }
            after = page.into_iter().next_back().map(|blob| blob.file);
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// The digest of a copy, and how many bytes it has.
    async fn measure(&self, copy: &Copy) -> Result<(Digest, u64), BackupError> {
        let path = copy.0.clone();
        self.on_file(move || Ok((hash_file(&path)?, std::fs::metadata(&path)?.len())))
            .await
    }

    /// Reads a file of the operating system's, on the thread for files.
    async fn on_file<T, F>(&self, job: F) -> Result<T, BackupError>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let read = failed("read its files");
        let done = self.files.run(move |_| job()).await;
        done.map_err(|error| failed("use its folder")(Box::new(error) as EngineError))?
            .map_err(&read)
    }

    /// Sends a file that has so many bytes, and says what they are. Others have the thread between two pieces.
    async fn send_file(
        &self,
        sender: &Sender,
        path: &Path,
        bytes: u64,
    ) -> Result<Digest, BackupError> {
        let path = path.to_owned();
        let mut file = self.on_file(move || File::open(path)).await?;
        let mut left = bytes;
        let mut hasher = Sha256::new();
        while left > 0 {
            let length = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            let piece;
            (file, hasher, piece) = self
                .on_file(move || {
                    let mut piece = vec![0; length];
                    file.read_exact(&mut piece)?;
                    hasher.update(&piece);
                    Ok((file, hasher, piece))
                })
                .await?;
            left -= length as u64;
            sender.send(piece.into()).await?;
        }
        Ok(Digest::from_bytes(hasher.finalize().into()))
    }
}

/// Copies the catalog into a file, and lists the artifacts that the copy has.
fn copy_catalog(
    connection: &mut Connection,
    path: &Path,
) -> Result<Vec<(TenantId, Digest)>, BackupError> {
    let copied = || -> Result<(), EngineError> {
        remove_if_there(&LocalDisk, path)?;
        let text = path
            .to_str()
            .ok_or("the data folder's path isn't UTF-8, which SQLite needs here")?;
        // The folder may be open to others; the file isn't.
        LocalDisk.create(path)?;
        connection.execute("VACUUM INTO ?1", [text])?;
        Ok(())
    };
    copied().map_err(failed("copy the catalog"))?;
    let listed = || -> Result<Vec<(TenantId, Digest)>, EngineError> {
        // Nothing came between: this thread has the connection.
        let mut query =
            connection.prepare("SELECT tenant, digest FROM artifact ORDER BY tenant, digest")?;
        let mut rows = query.query([])?;
        let mut artifacts = Vec::new();
        while let Some(row) = rows.next()? {
            let tenant: String = row.get(0)?;
            artifacts.push((TenantId::new(&tenant)?, Digest::from_bytes(row.get(1)?)));
        }
        Ok(artifacts)
    };
    listed().map_err(failed("list the artifacts"))
}

/// Where the archive goes.
struct Sender {
    pieces: mpsc::Sender<Bytes>,
}

impl Sender {
    async fn send(&self, mut bytes: Bytes) -> Result<(), BackupError> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
            let sent = self.pieces.send(piece).await;
            sent.map_err(|_| BackupError::Gone)?;
        }
        Ok(())
    }

    /// Sends a part that is in memory.
    async fn whole(&self, name: &str, part: Bytes) -> Result<(), BackupError> {
        let bytes = part.len() as u64;
        self.entry(name, bytes).await?;
        self.send(part).await?;
        self.end(bytes).await
    }

    async fn entry(&self, name: &str, bytes: u64) -> Result<(), BackupError> {
        let head = entry_head(name, bytes).map_err(failed("name a part of the backup"))?;
        self.send(head).await
    }

    async fn end(&self, bytes: u64) -> Result<(), BackupError> {
        self.send(entry_end(bytes)).await
    }
}
