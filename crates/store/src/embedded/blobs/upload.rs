//! A blob on its way to a file.
//!
//! Owns the order of things: the bytes and the file's name are on the disk before the index says that the blob is there. A
//! file that the index doesn't know is nobody's, and a sweep takes it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use everwarm_manifest::Digest;
use sha2::{Digest as _, Sha256};

use super::super::disk::NewFile;
use super::Inner;
use super::files::failed;
use super::flights::Flight;
use super::index::{self, NewEntry};
use crate::StoreFuture;
use crate::blobs::{
    BLOB_BYTES_MAX, Blob, BlobError, BlobId, BlobQuota, Condition, ContentType, Etag, Upload,
};
use crate::catalog::UnixMillis;

/// See the module's documentation.
pub(super) struct FileUpload {
    pub(super) inner: Arc<Inner>,
    pub(super) blob: BlobId,
    pub(super) content_type: Option<ContentType>,
    pub(super) quota: BlobQuota,
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// `None` at the end.
    pub(super) flight: Option<Flight>,
    pub(super) size: u64,
    /// `None` while a write is under way, and for good when its caller gave it up or it failed.
    pub(super) open: Option<Open>,
    pub(super) fate: Fate,
    /// How often the store had been stopped when it began.
    pub(super) stops: u32,
}

/// Whose the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody's, and not there yet: it is being made.
    Begun,
    /// Nobody's.
    Written,
    /// The blob's, or nobody's: the index was asked to take it, and nobody has heard what came of it.
    Unheard,
    /// The blob's.
    Kept,
}

/// What a write needs.
pub(super) struct Open {
    pub(super) file: Box<dyn NewFile>,
    pub(super) hasher: Sha256,
}

fn given_up() -> BlobError {
    let text = "an earlier write of the blob failed or was given up: begin it again";
    BlobError::Refused(text.to_owned())
}

impl Upload for FileUpload {
    fn write(&mut self, bytes: Bytes) -> StoreFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            if bytes.is_empty() {
                return Ok(());
            }
            let mut open = self.open.take().ok_or_else(given_up)?;
            let more = bytes.len() as u64;
            if self.size.saturating_add(more) > BLOB_BYTES_MAX {
                return Err(BlobError::TooLarge);
            }
            if let Some(flight) = &mut self.flight {
                flight.grow(more, self.quota)?;
            }
            self.size += more;
            let written = self.inner.on_disk("write a blob", move || {
                open.file
                    .write_all(&bytes)
                    .map_err(failed("write a blob"))?;
                open.hasher.update(&bytes);
                Ok(open)
            });
            self.open = Some(written.await?);
            Ok(())
        })
    }

    fn finish(
        mut self: Box<Self>,
        condition: Condition,
        now: UnixMillis,
    ) -> StoreFuture<'static, Result<Blob, BlobError>> {
        Box::pin(async move {
            let Open { file, hasher } = self.open.take().ok_or_else(given_up)?;
            let (files, path) = (self.inner.files.clone(), self.path.clone());
            let digest = self.inner.on_disk("keep a blob", move || {
                files.keep(file, &path).map_err(failed("keep a blob"))?;
                Ok(Digest::from_bytes(hasher.finalize().into()))
            });
            let digest = digest.await?;
            let new = NewEntry {
                blob: self.blob.clone(),
                file: self.name.clone(),
                size: self.size,
                digest,
                content_type: self.content_type.clone(),
                created: now,
            };
            let quota = self.quota;
            self.fate = Fate::Unheard;
            let (inner, stops) = (Arc::clone(&self.inner), self.stops);
            let put = self.inner.index.write(0, move |connection| {
                // Whoever had the store meanwhile took the file for nobody's.
                if inner.stops() != stops {
                    return Err(given_up());
                }
                index::put(connection, &new, &condition, quota)
            });
            match put.await {
                Ok(replaced) => {
                    self.fate = Fate::Kept;
                    self.inner.let_go_of(&self.blob.container, replaced);
                    Ok(Blob {
                        name: self.blob.name.clone(),
                        size: self.size,
                        etag: Etag::new(&digest.hex()),
                        content_type: self.content_type.clone(),
                        created: now,
                    })
                }
                Err(refused) => {
                    // What failed in another way may be there.
                    if !matches!(
                        refused,
                        BlobError::Failed { .. } | BlobError::Damaged { .. }
                    ) {
                        self.fate = Fate::Written;
                    }
                    Err(refused)
                }
            }
        })
    }
}

impl Drop for FileUpload {
    fn drop(&mut self) {
        self.open = None;
        match self.fate {
            Fate::Kept => {}
            // It may come to be after it was removed.
            Fate::Begun => self.inner.walk_again(),
            Fate::Written => {
                let name = std::mem::take(&mut self.name);
                self.inner.let_go_of(&self.blob.container, Some(name));
            }
            Fate::Unheard => {
                if let Some(flight) = self.flight.take() {
                    self.inner.walk_when_heard(flight);
                }
            }
        }
    }
}
