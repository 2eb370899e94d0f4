//! The port for blobs: what functions keep that is too large for a value, read and written as a stream.
//!
//! Owns the contract, its bounds and its errors. Names are in `names`. Knows nothing of WIT, guests or grants, nor of how
//! an engine keeps bytes.

use std::ops::Range;

use bytes::Bytes;
use everwarm_manifest::{AppName, TenantId};

use crate::StoreFuture;
use crate::catalog::UnixMillis;

mod copy;
mod error;
mod names;

pub use copy::copy;
pub use error::BlobError;
pub use names::{
    BLOB_NAME_BYTES_MAX, BlobId, BlobName, BlobNameError, CONTENT_TYPE_BYTES_MAX, Container,
    ContentType, ContentTypeError, Etag,
};

/// Bytes of a blob: what S3 takes in one go.
pub const BLOB_BYTES_MAX: u64 = 5 << 30;
/// Blobs of one page.
pub const PAGE_MAX: u32 = 1_000;
/// Bytes that are read or written at once: what a stream holds in memory.
pub const PIECE_BYTES: usize = 256 << 10;
/// Files that one sweep looks at.
pub const SWEEP_MAX: u32 = 1_000;

/// What functions keep as streams. Each container is an app's own, and needn't be made.
///
/// A blob is there whole or not at all: nobody sees one whose writing hasn't ended, and whoever reads one goes on
/// reading the same bytes when it is replaced or deleted meanwhile. What was answered with `Ok` survives power loss, and
/// whoever reads after the answer sees it.
pub trait Blobs: Send + Sync {
    /// Begins to write a blob. Nothing of it is there before [`Upload::finish`].
    ///
    /// # Errors
    ///
    /// [`BlobError::TooManyUploads`], [`BlobError::DiskFull`] or [`BlobError::Failed`].
    fn put<'a>(
        &'a self,
        blob: &'a BlobId,
        content_type: Option<ContentType>,
        quota: BlobQuota,
    ) -> StoreFuture<'a, Result<Box<dyn Upload>, BlobError>>;

    /// Begins to read a blob, or a part of it; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`BlobError::BadRange`], [`BlobError::TooManyDownloads`], [`BlobError::Damaged`] or [`BlobError::Failed`].
    fn get<'a>(
        &'a self,
        blob: &'a BlobId,
        part: Part,
    ) -> StoreFuture<'a, Result<Option<Box<dyn Download>>, BlobError>>;

    /// What is known of a blob; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`BlobError::Damaged`] or [`BlobError::Failed`].
    fn head<'a>(&'a self, blob: &'a BlobId) -> StoreFuture<'a, Result<Option<Blob>, BlobError>>;

    /// The blobs whose names begin with `prefix`, in the order of their bytes, those after `after`, at most `count_max` (1
    /// at least) and [`PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// As [`Blobs::head`].
    fn list<'a>(
        &'a self,
        container: &'a Container,
        prefix: &'a str,
        after: Option<&'a BlobName>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<BlobPage, BlobError>>;

    /// Forgets a blob. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`BlobError::Changed`], [`BlobError::DiskFull`], [`BlobError::Damaged`] or [`BlobError::Failed`].
    fn delete<'a>(
        &'a self,
        blob: &'a BlobId,
        condition: Condition,
    ) -> StoreFuture<'a, Result<bool, BlobError>>;

    /// Gives a blob another name, in the same container or another one of the app, in the place of what has it. Says
    /// whether there was such a blob.
    ///
    /// # Errors
    ///
    /// As [`Blobs::delete`], and [`BlobError::OtherApp`].
    fn rename<'a>(
        &'a self,
        from: &'a BlobId,
        to: &'a BlobId,
    ) -> StoreFuture<'a, Result<bool, BlobError>>;

    /// Forgets all blobs of a container, part by part: what is written meanwhile may stay. Says how many there were.
    ///
    /// # Errors
    ///
    /// As [`Blobs::delete`]; then some may be gone.
    fn clear<'a>(&'a self, container: &'a Container) -> StoreFuture<'a, Result<u64, BlobError>>;

    /// When the first blob was kept in a container; `None` when none ever was, or it was cleared.
    ///
    /// # Errors
    ///
    /// As [`Blobs::head`].
    fn created<'a>(
        &'a self,
        container: &'a Container,
    ) -> StoreFuture<'a, Result<Option<UnixMillis>, BlobError>>;

    /// What an app keeps in all its containers.
    ///
    /// # Errors
    ///
    /// As [`Blobs::head`].
    fn kept<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<KeptBlobs, BlobError>>;

    /// The apps that keep blobs or did, of all tenants, ordered by tenant and app, those after `after`, at most
    /// `count_max` and [`PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// As [`Blobs::head`].
    fn apps<'a>(
        &'a self,
        after: Option<(&'a TenantId, &'a AppName)>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<(TenantId, AppName)>, BlobError>>;

    /// Forgets all blobs of an app, at once for readers; sweeps give the room back. Says whether there was such an app.
    ///
    /// # Errors
    ///
    /// As [`Blobs::delete`].
    fn remove_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<bool, BlobError>>;

    /// Gives back some of the room of removed apps, and of what was being written when a process ended. Says whether
    /// there may be more.
    ///
    /// # Errors
    ///
    /// As [`Blobs::delete`].
    fn sweep(&self) -> StoreFuture<'_, Result<bool, BlobError>>;
}

/// A blob that is being written. Dropped before its end, nothing of it stays.
pub trait Upload: Send {
    /// Writes more. It is done when the bytes are handed to the disk or the network: whoever has more waits for it. Bytes of
    /// any length are taken, best [`PIECE_BYTES`].
    ///
    /// # Errors
    ///
    /// [`BlobError::TooLarge`], a quota's, [`BlobError::DiskFull`] or [`BlobError::Failed`]. Nothing can be written to it
    /// any more then.
    fn write(&mut self, bytes: Bytes) -> StoreFuture<'_, Result<(), BlobError>>;

    /// Ends it: the blob is there, in the place of what had the name, or what had it stays.
    ///
    /// # Errors
    ///
    /// As [`Upload::write`], and [`BlobError::Changed`] when the condition doesn't hold.
    fn finish(
        self: Box<Self>,
        condition: Condition,
        now: UnixMillis,
    ) -> StoreFuture<'static, Result<Blob, BlobError>>;
}

/// A blob, or a part of it, that is being read.
pub trait Download: Send {
    /// The blob.
    fn blob(&self) -> &Blob;

    /// Which of its bytes are read.
    fn range(&self) -> Range<u64>;

    /// The next bytes, [`PIECE_BYTES`] at most; `None` at the end. Nothing is read ahead.
    ///
    /// # Errors
    ///
    /// [`BlobError::Damaged`], when the bytes aren't those that were written, or [`BlobError::Failed`].
    fn read(&mut self) -> StoreFuture<'_, Result<Option<Bytes>, BlobError>>;
}

/// What is known of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its name in its container.
    pub name: BlobName,
    /// Its bytes.
    pub size: u64,
    /// Names its contents.
    pub etag: Etag,
    /// What it is, as in HTTP, if its writer said so.
    pub content_type: Option<ContentType>,
    /// When it was written.
    pub created: UnixMillis,
}

/// Blobs of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobPage {
    /// In the order of their names' bytes.
    pub blobs: Vec<Blob>,
    /// What to list after for the next page; `None` after the last one.
    pub next: Option<BlobName>,
}

/// What has to hold for a write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// Nothing.
    #[default]
    Any,
    /// There is no blob of that name.
    Absent,
    /// There is one with these contents.
    Matches(Etag),
}

impl Condition {
    /// Checks it.
    ///
    /// # Errors
    ///
    /// [`BlobError::Changed`] when it doesn't hold.
    pub fn check(&self, current: Option<&Etag>) -> Result<(), BlobError> {
        let holds = match self {
            Self::Any => true,
            Self::Absent => current.is_none(),
            Self::Matches(etag) => current == Some(etag),
        };
        if holds {
            Ok(())
        } else {
            Err(BlobError::Changed {
                current: current.cloned(),
            })
        }
    }
}

/// Which bytes of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The first of them.
    pub start: u64,
    /// How many at most. There are fewer when the blob ends before.
    pub len_max: u64,
}

impl Part {
    /// All.
    pub const WHOLE: Self = Self {
        start: 0,
        len_max: u64::MAX,
    };

    /// Which these are of a blob of so many bytes.
    ///
    /// # Errors
    ///
    /// [`BlobError::BadRange`] when the blob ends before the first.
    pub fn of(self, size: u64) -> Result<Range<u64>, BlobError> {
        let start = self.start;
        if start > size {
            return Err(BlobError::BadRange { start, size });
        }
        Ok(start..size.min(start.saturating_add(self.len_max)))
    }
}

/// How much an app may keep in all its containers. A write that makes it no more is never refused for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobQuota {
    /// Blobs.
    pub blobs_max: u64,
    /// Their bytes. What is being written isn't counted among them, and may have as many again.
    pub bytes_max: u64,
}

impl BlobQuota {
    /// No bound.
    pub const NONE: Self = Self {
        blobs_max: u64::MAX,
        bytes_max: u64::MAX,
    };
}

/// What an app keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeptBlobs {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}
