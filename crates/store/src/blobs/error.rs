//! Why a store doesn't keep, or doesn't give, a blob.

use super::{BLOB_BYTES_MAX, Etag};
use crate::EngineError;

/// Why the store didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The blob is too large.
    #[error("a blob may have {BLOB_BYTES_MAX} bytes: keep it in parts")]
    TooLarge,
    /// The app has as many blobs as it may.
    #[error(
        "the app may have {blobs_max} blobs, which is its quota: delete some, or ask for a larger quota"
    )]
    TooManyBlobs {
        /// How many it may have.
        blobs_max: u64,
    },
    /// The app keeps as many bytes as it may, or writes as many at once.
    #[error(
        "the app's blobs have {kept} bytes, {more} more are over its quota of {bytes_max}: delete some, or ask for a \
         larger quota"
    )]
    TooManyBytes {
        /// What it keeps.
        kept: u64,
        /// What was to be kept too.
        more: u64,
        /// What it may keep.
        bytes_max: u64,
    },
    /// Too many blobs are being written.
    #[error("too many blobs are being written at once, {max} is the most: finish some first")]
    TooManyUploads {
        /// How many may be at once.
        max: usize,
    },
    /// Too many blobs are being read.
    #[error("too many blobs are being read at once, {max} is the most: finish some first")]
    TooManyDownloads {
        /// How many may be at once.
        max: usize,
    },
    /// The blob isn't as the condition says.
    #[error("the blob isn't as the condition says: look at it again")]
    Changed {
        /// Names its contents; `None` when there is none.
        current: Option<Etag>,
    },
    /// The blob ends before the first byte that is asked for.
    #[error("the blob has {size} bytes, and the part begins at {start}")]
    BadRange {
        /// The first byte.
        start: u64,
        /// The blob's bytes.
        size: u64,
    },
    /// The blob can't be moved to another app.
    #[error("a blob stays with its app")]
    OtherApp,
    /// What was written was given up, or nobody knows any more whose it is.
    #[error("{0}")]
    Refused(String),
    /// The server that keeps the blobs doesn't do what it is asked.
    #[error("the server that keeps this node's blobs can't be used now: {reason}")]
    Unavailable {
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing more fits on the disk.
    #[error("the store's disk is full: make room on it; what is kept can still be read")]
    DiskFull,
    /// What is kept can't be what was written.
    #[error("the store's blobs are damaged ({reason}): check the disk, and restore from a backup")]
    Damaged {
        /// What is wrong with them.
        reason: String,
    },
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
