//! A blob on its way to a file, or to an object of the bucket.
//!
//! Owns the order of things: the bytes and the file's name are on the disk, or the object is whole in the bucket, before the
//! index says that the blob is there. A file or an object that the index doesn't know is nobody's, and a sweep takes it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use everwarm_manifest::Digest;
use sha2::{Digest as _, Sha256};

use super::super::disk::NewFile;
use super::bucket::{BucketFault, Writing};
use super::files::{Files, failed};
use super::flights::Flight;
use super::index::{self, NewEntry};
use super::{Inner, KeptAt};
use crate::StoreFuture;
use crate::blobs::{
    BLOB_BYTES_MAX, Blob, BlobError, BlobId, BlobQuota, Condition, ContentType, Etag, Upload,
};
use crate::catalog::UnixMillis;

/// See the module's documentation.
pub(super) struct KeptUpload {
    pub(super) inner: Arc<Inner>,
    pub(super) blob: BlobId,
    pub(super) content_type: Option<ContentType>,
    pub(super) quota: BlobQuota,
    pub(super) kept: KeptAt,
    /// `None` at the end.
    pub(super) flight: Option<Flight>,
    pub(super) size: u64,
    /// `None` while a write is under way, and for good when its caller gave it up or it failed.
    pub(super) open: Option<Open>,
    pub(super) fate: Fate,
    /// How often the store had been stopped when it began.
    pub(super) stops: u32,
}

/// Whose the file or the object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing is there.
    Nothing,
    /// Nobody's, and it is being made.
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
    pub(super) sink: Sink,
    pub(super) hasher: Sha256,
}

/// Where the bytes go.
pub(super) enum Sink {
    File(Box<dyn NewFile>, PathBuf),
    Object(Box<Writing>),
}

impl Open {
    /// How many bytes are taken at once.
    fn room(&self) -> usize {
        match &self.sink {
            Sink::File(..) => usize::MAX,
            Sink::Object(object) => object.room(),
        }
    }

    /// Blocks on the disk.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.sink {
            Sink::File(file, _) => file.write_all(bytes)?,
            Sink::Object(object) => object.write(bytes)?,
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Sends what the server takes only whole, if it is.
    async fn send_full(mut self, inner: &Inner) -> Result<Self, BlobError> {
        if self.room() > 0 {
            return Ok(self);
        }
        let Sink::Object(mut object) = self.sink else {
            return Ok(self);
        };
        let places = object.places().await;
        let taken = inner.on_disk("read a blob's part", move || {
            let part = object.take(places).map_err(failed("read a blob's part"))?;
            Ok((object, part))
        });
        let part;
        (object, part) = taken.await?;
        let sent = object.send(part).await;
        sent.map_err(BucketFault::into_error)?;
        self.sink = Sink::Object(object);
        Ok(self)
    }
}

impl Sink {
    /// Makes what was written last.
    async fn keep(self, inner: &Inner, files: Files) -> Result<(), BlobError> {
        match self {
            Self::File(file, path) => {
                let kept = inner.on_disk("keep a blob", move || {
                    files.keep(file, &path).map_err(failed("keep a blob"))
                });
                kept.await
            }
            Self::Object(mut object) => {
                let places = object.places().await;
                let taken = inner.on_disk("read a blob's part", move || {
                    let part = object.take(places).map_err(failed("read a blob's part"))?;
                    Ok((object, part))
                });
                let (object, part) = taken.await?;
                let finished = object.finish(part).await;
                finished.map_err(BucketFault::into_error)
            }
        }
    }
}

fn given_up() -> BlobError {
    let text = "an earlier write of the blob failed or was given up: begin it again";
    BlobError::Refused(text.to_owned())
}

impl Upload for KeptUpload {
    fn write(&mut self, mut bytes: Bytes) -> StoreFuture<'_, Result<(), BlobError>> {
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
            while !bytes.is_empty() {
                let piece = bytes.split_to(bytes.len().min(open.room()));
                let written = self.inner.on_disk("write a blob", move || {
                    open.write(&piece).map_err(failed("write a blob"))?;
                    Ok(open)
                });
                open = written.await?.send_full(&self.inner).await?;
            }
            self.open = Some(open);
            Ok(())
        })
    }

    fn finish(
        mut self: Box<Self>,
        condition: Condition,
        now: UnixMillis,
    ) -> StoreFuture<'static, Result<Blob, BlobError>> {
        Box::pin(async move {
            let Open { sink, hasher } = self.open.take().ok_or_else(given_up)?;
            if self.fate == Fate::Nothing {
                self.fate = Fate::Begun;
            }
            sink.keep(&self.inner, self.inner.files.clone()).await?;
            self.fate = Fate::Written;
            let digest = Digest::from_bytes(hasher.finalize().into());
            let new = NewEntry {
                blob: self.blob.clone(),
                file: self.kept.clone(),
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

impl Drop for KeptUpload {
    fn drop(&mut self) {
        self.open = None;
        match self.fate {
            Fate::Nothing | Fate::Kept => {}
            // It may come to be after it was removed.
            Fate::Begun => self.inner.walk_again(),
            Fate::Written => {
                let kept = self.kept.clone();
                self.inner.let_go_of(&self.blob.container, Some(kept));
            }
            Fate::Unheard => {
                if let Some(flight) = self.flight.take() {
                    self.inner.walk_when_heard(flight);
                }
            }
        }
    }
}
