//! A blob on its way from its file. Owns that a whole one is checked against its digest when its last byte is read.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use everwarm_manifest::Digest;
use sha2::{Digest as _, Sha256};

use super::Inner;
use super::files::failed;
use super::flights::Flight;
use crate::StoreFuture;
use crate::blobs::{Blob, BlobError, Download, PIECE_BYTES};

/// See the module's documentation.
pub(super) struct FileDownload {
    pub(super) inner: Arc<Inner>,
    pub(super) blob: Blob,
    pub(super) range: Range<u64>,
    pub(super) left: u64,
    /// `None` while a read is under way, and for good when its caller gave it up or it failed.
    pub(super) open: Option<Open>,
    pub(super) _flight: Flight,
}

/// What a read needs.
pub(super) struct Open {
    pub(super) file: Box<dyn Read + Send>,
    /// What the whole has to be, with what was read of it.
    pub(super) check: Option<(Digest, Sha256)>,
}

impl Open {
    /// Reads so many bytes, which there are.
    fn read(&mut self, len: usize, is_last: bool) -> Result<Bytes, BlobError> {
        let mut piece = vec![0; len];
        self.file.read_exact(&mut piece).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                damaged("a blob's file ends early")
            } else {
                failed("read a blob")(error)
            }
        })?;
        if let Some((digest, hasher)) = &mut self.check {
            hasher.update(&piece);
            if is_last && Digest::from_bytes(hasher.finalize_reset().into()) != *digest {
                return Err(damaged("a blob's file has other bytes than were written"));
            }
        }
        Ok(piece.into())
    }
}

fn damaged(reason: &str) -> BlobError {
    BlobError::Damaged {
        reason: reason.to_owned(),
    }
}

impl Download for FileDownload {
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
            let mut open = self.open.take().ok_or_else(|| BlobError::Failed {
                doing: "read a blob",
                source: "an earlier read of it failed or was given up".into(),
            })?;
            let len = usize::try_from(self.left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            self.left -= len as u64;
            let is_last = self.left == 0;
            let read = self.inner.on_disk("read a blob", move || {
                let piece = open.read(len, is_last)?;
                Ok((piece, open))
            });
            let (piece, open) = read.await?;
            // The file of one that was read to its end is closed.
            self.open = (!is_last).then_some(open);
            Ok(Some(piece))
        })
    }
}
