//! What can be done with a store that is open. Owns what is refused before the engine is asked, and what a function is
//! told when the engine fails. Knows no interface.

use std::sync::Arc;

use bytes::Bytes;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::kv::{
    Bucket, Entry, KEY_BYTES_MAX, Key, KeyValue, KvError, KvQuota, NewValue, PAGE_MAX, Page,
    Revision,
};

use super::Stores;
use crate::notice::Notices;

/// A store that a function has opened: one of its app's buckets.
#[derive(Clone)]
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub struct OpenBucket(pub(super) Arc<Opened>);

/// What is shared by all who have opened it.
pub(super) struct Opened {
    pub(super) bucket: Bucket,
    pub(super) stores: Arc<dyn Stores>,
    pub(super) notices: Arc<Notices>,
}

/// One key, and the state of its entry that a swap expects.
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub struct Cas {
    bucket: OpenBucket,
    key: Key,
    expected: Option<Revision>,
}

/// Why a function gets nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// There can be no store of that name.
    NoSuchStore,
    /// It isn't granted.
    AccessDenied,
    /// Something else, in words.
    Other(String),
}

/// Why a swap wasn't done.
pub(super) enum NotSwapped {
    /// The entry is in another state, which the next swap expects.
    Changed(Cas),
    Refused(Refused),
}

impl OpenBucket {
    pub(super) fn name(&self) -> &str {
        self.0.bucket.name.as_str()
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<Bytes>, Refused> {
        let key = key(name)?;
        let entry = self.kv()?.get(&self.0.bucket, &key, UnixMillis::now());
        let entry = entry.await.map_err(|error| self.refused(&error))?;
        Ok(entry.map(|entry| entry.value))
    }

    pub(super) async fn set(
        &self,
        name: &str,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<(), Refused> {
        let key = key(name)?;
        let now = UnixMillis::now();
        let value = NewValue {
            bytes: value.into(),
            expires: expiry(now, ttl_ms)?,
        };
        let kv = self.kv()?;
        let set = kv.set(&self.0.bucket, &key, value, self.quota(), now);
        set.await.map(drop).map_err(|error| self.refused(&error))
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Refused> {
        let key = key(name)?;
        let deleted = self.kv()?.delete(&self.0.bucket, &key, UnixMillis::now());
        deleted
            .await
            .map(drop)
            .map_err(|error| self.refused(&error))
    }

    pub(super) async fn exists(&self, name: &str) -> Result<bool, Refused> {
        Ok(self.revision(&key(name)?).await?.is_some())
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        count_max: u32,
    ) -> Result<Page, Refused> {
        if prefix.len() > KEY_BYTES_MAX {
            return Ok(Page::default());
        }
        let after = cursor.map(|cursor| {
            let text = "the cursor isn't one that a list has answered";
            Key::new(cursor).map_err(|_| Refused::Other(text.to_owned()))
        });
        let (bucket, after) = (&self.0.bucket, after.transpose()?);
        let now = UnixMillis::now();
        let page = self
            .kv()?
            .list(bucket, prefix, after.as_ref(), count_max, now);
        page.await.map_err(|error| self.refused(&error))
    }

    /// As [`Self::list`], all keys.
    pub(super) async fn list_all(&self, cursor: Option<&str>) -> Result<Page, Refused> {
        self.list("", cursor, PAGE_MAX).await
    }

    pub(super) async fn increment(&self, name: &str, delta: i64) -> Result<i64, Refused> {
        let key = key(name)?;
        let (bucket, now) = (&self.0.bucket, UnixMillis::now());
        let sum = self.kv()?.increment(bucket, &key, delta, self.quota(), now);
        sum.await.map_err(|error| self.refused(&error))
    }

    pub(super) async fn get_many(
        &self,
        names: Vec<String>,
    ) -> Result<Vec<(String, Option<Entry>)>, Refused> {
        let keys = names.iter().map(|name| key(name));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let entries = self.kv()?;
        let entries = entries.get_many(&self.0.bucket, &keys, UnixMillis::now());
        let entries = entries.await.map_err(|error| self.refused(&error))?;
        Ok(names.into_iter().zip(entries).collect())
    }

    pub(super) async fn set_many(&self, values: Vec<(String, Vec<u8>)>) -> Result<(), Refused> {
        let values = values.into_iter().map(|(name, bytes)| {
            let value = NewValue {
                bytes: bytes.into(),
                expires: None,
            };
            Ok((key(&name)?, value))
        });
        let values = values.collect::<Result<Vec<_>, Refused>>()?;
        let (bucket, now) = (&self.0.bucket, UnixMillis::now());
        let set = self.kv()?.set_many(bucket, values, self.quota(), now);
        set.await.map_err(|error| self.refused(&error))
    }

    pub(super) async fn delete_many(&self, names: &[String]) -> Result<(), Refused> {
        let keys = names.iter().map(|name| key(name));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let (bucket, now) = (&self.0.bucket, UnixMillis::now());
        let deleted = self.kv()?.delete_many(bucket, keys, now);
        deleted
            .await
            .map(drop)
            .map_err(|error| self.refused(&error))
    }

    async fn revision(&self, key: &Key) -> Result<Option<Revision>, Refused> {
        let revision = self.kv()?;
        let revision = revision.revision(&self.0.bucket, key, UnixMillis::now());
        revision.await.map_err(|error| self.refused(&error))
    }

    fn kv(&self) -> Result<&dyn KeyValue, Refused> {
        let starting = "the node is starting: its store isn't open yet";
        let kv = self.0.stores.kv();
        kv.ok_or_else(|| Refused::Other(starting.to_owned()))
    }

    fn quota(&self) -> KvQuota {
        self.0.stores.kv_quota(&self.0.bucket.tenant)
    }

    fn refused(&self, error: &KvError) -> Refused {
        match error {
            KvError::ValueTooLarge { .. }
            | KvError::BatchTooLong { .. }
            | KvError::BatchTooLarge
            | KvError::RevisionDiffers { .. }
            | KvError::NotANumber
            | KvError::Overflow => {}
            KvError::TooManyEntries { .. } | KvError::TooManyBytes { .. } | KvError::DiskFull => {
                self.0.notices.store_failed(self.name(), error);
            }
            // What is broken is for the node's operator to know.
            KvError::Damaged { .. } | KvError::Failed { .. } => {
                tracing::error!(
                    app = %self.0.bucket.app,
                    store = self.name(),
                    error = error as &dyn std::error::Error,
                    "key-value data can't be read or written"
                );
                let text = "the node's key-value data can't be read or written: its log says why";
                return Refused::Other(text.to_owned());
            }
        }
        Refused::Other(error.to_string())
    }
}

impl Cas {
    /// Expects the entry to stay as it is now.
    pub(super) async fn new(bucket: OpenBucket, name: &str) -> Result<Self, Refused> {
        let key = key(name)?;
        let expected = bucket.revision(&key).await?;
        Ok(Self {
            bucket,
            key,
            expected,
        })
    }

    /// What is there. If it isn't what the swap expects any more, the swap fails: so what is read here and swapped then
    /// has no gap in between.
    pub(super) async fn current(&self) -> Result<Option<Bytes>, Refused> {
        self.bucket.get(self.key.as_str()).await
    }

    pub(super) async fn swap(self, value: Vec<u8>) -> Result<(), NotSwapped> {
        let kv = self.bucket.kv().map_err(NotSwapped::Refused)?;
        let value = NewValue {
            bytes: value.into(),
            expires: None,
        };
        let quota = self.bucket.quota();
        let (bucket, now) = (&self.bucket.0.bucket, UnixMillis::now());
        let swapped = kv.swap(bucket, &self.key, self.expected, value, quota, now);
        match swapped.await {
            Ok(_) => Ok(()),
            Err(KvError::RevisionDiffers { current }) => Err(NotSwapped::Changed(Self {
                expected: current,
                ..self
            })),
            Err(error) => Err(NotSwapped::Refused(self.bucket.refused(&error))),
        }
    }
}

fn key(text: &str) -> Result<Key, Refused> {
    Key::new(text).map_err(|error| Refused::Other(error.to_string()))
}

fn expiry(now: UnixMillis, ttl_ms: Option<u64>) -> Result<Option<UnixMillis>, Refused> {
    match ttl_ms {
        None => Ok(None),
        Some(0) => Err(Refused::Other(
            "an entry's time to live is 1 ms at least: delete it instead".to_owned(),
        )),
        Some(ms) => Ok(Some(UnixMillis(now.0.saturating_add(ms)))),
    }
}

impl Notices {
    /// The function opens a store that it isn't granted.
    pub(super) fn store_denied(&self, store: &str) {
        self.say("a key-value store wasn't opened", |name| {
            format!(
                "key-value store `{store}` denied: no grant allows it. To allow it, add \"{store}\" to `kv` in \
                 [function.grants] of the function `{name}`"
            )
        });
    }

    /// A write isn't kept, and the app's owner can do something about it.
    fn store_failed(&self, store: &str, error: &KvError) {
        self.say("key-value data wasn't kept", |_| {
            format!("key-value store `{store}`: {error}")
        });
    }
}
