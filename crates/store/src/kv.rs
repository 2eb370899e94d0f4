//! The port for key-value data: what functions keep between requests, by key.
//!
//! Owns the contract, its bounds and its errors. Names are in `names`. Knows nothing of WIT, guests or grants, nor of
//! how an engine keeps entries.
//!
//! Time is an argument: an entry whose time has come is never returned, whether it was swept already or not. Nothing
//! here waits for a clock.

use bytes::Bytes;
use everwarm_manifest::{AppName, TenantId};

use crate::catalog::UnixMillis;
use crate::{EngineError, StoreFuture};

mod names;

pub use everwarm_manifest::grants::{BUCKET_BYTES_MAX, BucketName, BucketNameError};
pub use names::{Bucket, KEY_BYTES_MAX, Key, KeyError};

/// Bytes of a value. A write is held in memory whole, and is written and synced together with its neighbours: a larger
/// one would hold them up. What is larger is a blob, not a value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Keys of one page.
pub const PAGE_MAX: u32 = 1_000;
/// Keys of one batch.
pub const BATCH_MAX: usize = 100;
/// Bytes of the keys and values of one batch, whether it is written or read: eight of the largest values.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Entries that one sweep removes.
pub const SWEEP_MAX: u32 = 1_000;

/// What functions keep by key. Each bucket is an app's own.
///
/// A write that was answered with `Ok` survives power loss, and whoever reads after the answer sees it. A write that
/// fails changes nothing, a batch as a whole. An engine whose data is on this machine may read on the thread that polls
/// the future: that takes microseconds for what is in memory, and one wait for the disk for what isn't.
pub trait KeyValue: Send + Sync {
    /// What is kept under a key.
    ///
    /// # Errors
    ///
    /// [`KvError::Damaged`] or [`KvError::Failed`] when the engine can't read.
    fn get<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Option<Entry>, KvError>>;

    /// Whether something is kept under a key, and which state of it. Doesn't read the value.
    ///
    /// # Errors
    ///
    /// As [`KeyValue::get`].
    fn revision<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Option<Revision>, KvError>>;

    /// What is kept under each of these keys, in their order, as of one moment.
    ///
    /// # Errors
    ///
    /// As [`KeyValue::get`], and [`KvError::BatchTooLong`] or [`KvError::BatchTooLarge`].
    fn get_many<'a>(
        &'a self,
        bucket: &'a Bucket,
        keys: &'a [Key],
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Vec<Option<Entry>>, KvError>>;

    /// The keys that begin with `prefix`, in the order of their bytes, those after `after`. A page has at most
    /// `count_max` (1 at least) and [`PAGE_MAX`] keys. It may have fewer, even none, when more come after it: what has
    /// expired is passed over.
    ///
    /// # Errors
    ///
    /// As [`KeyValue::get`].
    fn list<'a>(
        &'a self,
        bucket: &'a Bucket,
        prefix: &'a str,
        after: Option<&'a Key>,
        count_max: u32,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Page, KvError>>;

    /// Keeps a value under a key, in the place of what was there, its expiry with it.
    ///
    /// # Errors
    ///
    /// [`KvError::ValueTooLarge`], a quota's, [`KvError::DiskFull`], [`KvError::Damaged`] or [`KvError::Failed`].
    fn set<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        value: NewValue,
        quota: KvQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Revision, KvError>>;

    /// Keeps several values, all or none. Of two under the same key the later one stays.
    ///
    /// # Errors
    ///
    /// As [`KeyValue::set`], and [`KvError::BatchTooLong`] or [`KvError::BatchTooLarge`].
    fn set_many<'a>(
        &'a self,
        bucket: &'a Bucket,
        values: Vec<(Key, NewValue)>,
        quota: KvQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<(), KvError>>;

    /// Forgets what is kept under a key. Says whether there was something.
    ///
    /// # Errors
    ///
    /// [`KvError::DiskFull`], [`KvError::Damaged`] or [`KvError::Failed`].
    fn delete<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<bool, KvError>>;

    /// Forgets what is kept under several keys, all or none. Says of how many there was something.
    ///
    /// # Errors
    ///
    /// As [`KeyValue::delete`], and [`KvError::BatchTooLong`] or [`KvError::BatchTooLarge`].
    fn delete_many<'a>(
        &'a self,
        bucket: &'a Bucket,
        keys: Vec<Key>,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<u32, KvError>>;

    /// Adds to the number under a key and answers the sum. Without an entry the number is 0. A number is kept as
    /// decimal ASCII, so that a guest may set one and read it, as with Redis and Wasmtime's own host. The entry keeps
    /// its expiry.
    ///
    /// # Errors
    ///
    /// As [`KeyValue::set`], and [`KvError::NotANumber`] or [`KvError::Overflow`].
    fn increment<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        delta: i64,
        quota: KvQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<i64, KvError>>;

    /// As [`KeyValue::set`], if what is kept under the key is in the state `expected`; `None` expects nothing there. No
    /// revision comes back, so an entry that was changed and changed back is found.
    ///
    /// # Errors
    ///
    /// As [`KeyValue::set`], and [`KvError::RevisionDiffers`].
    fn swap<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        expected: Option<Revision>,
        value: NewValue,
        quota: KvQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Revision, KvError>>;

    /// What an app keeps in all its buckets, what has expired and wasn't swept yet included.
    ///
    /// # Errors
    ///
    /// As [`KeyValue::get`].
    fn kept<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Kept, KvError>>;

    /// The apps that keep something or did, of all tenants, ordered by tenant and app, those after `after`, at most
    /// `count_max` and [`PAGE_MAX`]: with it, what the catalog doesn't know any more is found.
    ///
    /// # Errors
    ///
    /// As [`KeyValue::get`].
    fn apps<'a>(
        &'a self,
        after: Option<(&'a TenantId, &'a AppName)>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<(TenantId, AppName)>, KvError>>;

    /// Forgets all that an app keeps, at once for readers; sweeps give the room back. Says whether there was such an
    /// app.
    ///
    /// # Errors
    ///
    /// As [`KeyValue::delete`].
    fn remove_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<bool, KvError>>;

    /// Removes some of what has expired and of removed apps, at most `count_max` and [`SWEEP_MAX`] entries, of all
    /// tenants. What expired first goes first.
    ///
    /// # Errors
    ///
    /// As [`KeyValue::delete`].
    fn sweep(&self, now: UnixMillis, count_max: u32) -> StoreFuture<'_, Result<Swept, KvError>>;
}

/// What is kept under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Names this state of the entry.
    pub revision: Revision,
    /// From when on it is gone.
    pub expires: Option<UnixMillis>,
}

/// Names one state of one entry. Each write makes a new one, larger than all before it of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A value to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewValue {
    /// Its bytes.
    pub bytes: Bytes,
    /// From when on it is gone; `None` for never.
    pub expires: Option<UnixMillis>,
}

/// Keys of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In the order of their bytes.
    pub keys: Vec<Key>,
    /// What to list after for the next page; `None` after the last one. It needn't be a key of the page.
    pub next: Option<Key>,
}

/// How much an app may keep in all its buckets. A write that makes it no more is never refused for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvQuota {
    /// Entries.
    pub entries_max: u64,
    /// Bytes of their keys and values.
    pub bytes_max: u64,
}

impl KvQuota {
    /// No bound.
    pub const NONE: Self = Self {
        entries_max: u64::MAX,
        bytes_max: u64::MAX,
    };
}

/// What an app keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Entries.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// What a sweep has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Entries.
    pub entries: u32,
    /// Whether there may be more to remove already.
    pub more: bool,
}

/// Why the store didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// A value is too large.
    #[error(
        "the value has {bytes} bytes, and a value may have {VALUE_BYTES_MAX}: keep it in parts"
    )]
    ValueTooLarge {
        /// Its bytes.
        bytes: usize,
    },
    /// A batch has too many keys.
    #[error("the batch has {keys} keys, and a batch may have {BATCH_MAX}: make several of it")]
    BatchTooLong {
        /// How many it has.
        keys: usize,
    },
    /// The keys and values of a batch are too large together.
    #[error("the batch has more than {BATCH_BYTES_MAX} bytes: make several of it")]
    BatchTooLarge,
    /// The app has as many entries as it may.
    #[error(
        "the app's key-value data may have {entries_max} entries, which is its quota: \
         delete some, or ask for a larger quota"
    )]
    TooManyEntries {
        /// How many it may have.
        entries_max: u64,
    },
    /// The app keeps as many bytes as it may.
    #[error(
        "the app's key-value data has {kept} bytes, {more} more are over its quota of {bytes_max}: \
         delete some, or ask for a larger quota"
    )]
    TooManyBytes {
        /// What it keeps.
        kept: u64,
        /// What was to be kept too.
        more: u64,
        /// What it may keep.
        bytes_max: u64,
    },
    /// The entry isn't in the state that was expected.
    #[error("the entry was changed meanwhile: read it again")]
    RevisionDiffers {
        /// The state it is in; `None` when there is no entry.
        current: Option<Revision>,
    },
    /// What is to be added to isn't a number.
    #[error("the value is no decimal number of 64 bits: only such a one can be incremented")]
    NotANumber,
    /// The sum has no room.
    #[error("the sum is more than a signed number of 64 bits can be")]
    Overflow,
    /// Nothing more fits on the disk.
    #[error("the store's disk is full: make room on it; what is kept can still be read")]
    DiskFull,
    /// What is kept can't be what was written.
    #[error(
        "the store's key-value data is damaged ({reason}): check the disk, and restore from a backup"
    )]
    Damaged {
        /// What is wrong with it.
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
