//! A blob on its way from its file or its object. Owns that a whole one is checked against its digest when its last byte is read.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use everwarm_manifest::Digest;
use sha2::{Digest as _, Sha256};

use super::bucket::{BucketFault, Reading};
use super::files::failed;
use super::flights::Flight;
use super::{Inner, KeptAt, Place};
use crate::StoreFuture;
use crate::blobs::{Blob, BlobError, Container, Download, PIECE_BYTES};

/// See the module's documentation.
pub(super) struct KeptDownload {
    pub(super) inner: Arc<Inner>,
    pub(super) blob: Blob,
    pub(super) range: Range<u64>,
    pub(super) left: u64,
    /// `None` while a read is under way, and for good when its caller gave it up or it failed.
    pub(super) open: Option<Open>,
    /// Whose blob it is.
    pub(super) container: Container,
    /// `None` at the end.
    pub(super) flight: Option<Flight>,
}

/// What a read needs.
pub(super) struct Open {
    pub(super) source: Source,
    /// What the whole has to be, with what was read of it.
    pub(super) check: Option<(Digest, Sha256)>,
}

/// Where the bytes come from.
pub(super) enum Source {
    File(Box<dyn Read + Send>),
    Object(Box<Reading>),
}

impl Open {
    /// Reads so many bytes, which there are.
    async fn read(
        mut self,
        inner: &Inner,
        len: usize,
        is_last: bool,
    ) -> Result<(Bytes, Self), BlobError> {
        let came = match &mut self.source {
            Source::File(_) => None,
            Source::Object(object) => {
                let came = object.read(len).await;
                Some(came.map_err(BucketFault::into_error)?)
            }
        };
        if came.is_some() && self.check.is_none() {
            return Ok((came.unwrap_or_default(), self));
        }
        // What is hashed would hold up the caller's thread.
        let read = inner.on_disk("read a blob", move || {
            let piece = match (came, &mut self.source) {
                (None, Source::File(file)) => read_file(file, len)?,
                (came, _) => came.unwrap_or_default(),
            };
            if let Some((digest, hasher)) = &mut self.check {
                hasher.update(&piece);
                if is_last && Digest::from_bytes(hasher.finalize_reset().into()) != *digest {
                    return Err(damaged("a blob has other bytes than were written"));
                }
            }
            Ok((piece, self))
        });
        read.await
    }
}

fn read_file(file: &mut Box<dyn Read + Send>, len: usize) -> Result<Bytes, BlobError> {
    let mut piece = vec![0; len];
    file.read_exact(&mut piece).map_err(|error| {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            damaged("a blob's file ends early")
        } else {
            failed("read a blob")(error)
        }
    })?;
    Ok(piece.into())
}

fn damaged(reason: &str) -> BlobError {
    BlobError::Damaged {
        reason: reason.to_owned(),
    }
}

impl Download for KeptDownload {
    fn blob(&self) -> &Blob {
        &self.blob
    }

    fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    fn read(&mut self) -> StoreFuture<'_, Result<Option<Bytes>, BlobError>> {
        Box::pin(async move {
            if self.left == 0 {
                return Ok(None);
            }
            let open = self.open.take().ok_or_else(|| BlobError::Failed {
                doing: "read a blob",
                source: "an earlier read of it failed or was given up".into(),
            })?;
            let len = usize::try_from(self.left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            self.left -= len as u64;
            let is_last = self.left == 0;
            let (piece, open) = open.read(&self.inner, len, is_last).await?;
            // The file of one that was read to its end is closed.
            self.open = (!is_last).then_some(open);
            Ok(Some(piece))
        })
    }
}

impl Drop for KeptDownload {
    fn drop(&mut self) {
        self.open = None;
        let nobodys = self.flight.take().and_then(Flight::end);
        let nobodys = nobodys.map(|name| KeptAt {
            place: Place::Bucket,
            name,
        });
        self.inner.let_go_of(&self.container, nobodys);
    }
}
