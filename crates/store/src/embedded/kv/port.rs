//! The port: each method is one read on the caller's thread, or one job of the writer's. Owns what is refused before
//! that.

use everwarm_manifest::{AppName, TenantId};

use super::write::{self, Place};
use super::{Kv, read, sweep};
use crate::StoreFuture;
use crate::catalog::UnixMillis;
use crate::kv::{
    BATCH_BYTES_MAX, BATCH_MAX, Bucket, Entry, Kept, Key, KeyValue, KvError, KvQuota, NewValue,
    PAGE_MAX, Page, Revision, Swept, VALUE_BYTES_MAX,
};

/// Bytes of a value that may be kept.
fn checked(value: &NewValue) -> Result<usize, KvError> {
    let bytes = value.bytes.len();
    if bytes > VALUE_BYTES_MAX {
        return Err(KvError::ValueTooLarge { bytes });
    }
    Ok(bytes)
}

/// Bytes of a batch that isn't too large.
fn batch(keys: usize, bytes: impl Iterator<Item = usize>) -> Result<usize, KvError> {
    if keys > BATCH_MAX {
        return Err(KvError::BatchTooLong { keys });
    }
    let bytes = bytes.sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(KvError::BatchTooLarge);
    }
    Ok(bytes)
}

fn key_bytes(key: &Key) -> usize {
    key.as_str().len()
}

impl KeyValue for Kv {
    fn get<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Option<Entry>, KvError>> {
        Box::pin(async move { self.read(|connection| read::get(connection, bucket, key, now)) })
    }

    fn revision<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Option<Revision>, KvError>> {
        Box::pin(
            async move { self.read(|connection| read::revision(connection, bucket, key, now)) },
        )
    }

    fn get_many<'a>(
        &'a self,
        bucket: &'a Bucket,
        keys: &'a [Key],
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Vec<Option<Entry>>, KvError>> {
        Box::pin(async move {
            batch(keys.len(), keys.iter().map(key_bytes))?;
            self.read(|connection| read::get_many(connection, bucket, keys, now))
        })
    }

    fn list<'a>(
        &'a self,
        bucket: &'a Bucket,
        prefix: &'a str,
        after: Option<&'a Key>,
        count_max: u32,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Page, KvError>> {
        let count_max = count_max.clamp(1, PAGE_MAX);
        Box::pin(async move {
            self.read(|connection| read::list(connection, bucket, prefix, after, count_max, now))
        })
    }

    fn set<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        value: NewValue,
        quota: KvQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Revision, KvError>> {
        let (place, key) = (Place::new(bucket, quota, now), key.clone());
        Box::pin(async move {
            let bytes = checked(&value)?;
            let values = [(key, value)];
            let set = self.write(bytes, move |connection| {
                write::set(connection, &place, &values)
            });
            set.await
        })
    }

    fn set_many<'a>(
        &'a self,
        bucket: &'a Bucket,
        values: Vec<(Key, NewValue)>,
        quota: KvQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<(), KvError>> {
        let place = Place::new(bucket, quota, now);
        Box::pin(async move {
            let sizes = values
                .iter()
                .map(|(key, value)| key_bytes(key) + value.bytes.len());
            let bytes = batch(values.len(), sizes)?;
            for (_, value) in &values {
                checked(value)?;
            }
            let set = self.write(bytes, move |connection| {
                write::set(connection, &place, &values)
            });
            set.await.map(|_| ())
        })
    }

    fn delete<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<bool, KvError>> {
        let (bucket, keys) = (bucket.clone(), [key.clone()]);
        Box::pin(async move {
            let deleted = self.write(0, move |connection| {
                write::delete(connection, &bucket, &keys, now)
            });
            deleted.await.map(|count| count > 0)
        })
    }

    fn delete_many<'a>(
        &'a self,
        bucket: &'a Bucket,
        keys: Vec<Key>,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<u32, KvError>> {
        let bucket = bucket.clone();
        Box::pin(async move {
            let bytes = batch(keys.len(), keys.iter().map(key_bytes))?;
            let deleted = self.write(bytes, move |connection| {
                write::delete(connection, &bucket, &keys, now)
            });
            deleted.await
        })
    }

    fn increment<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        delta: i64,
        quota: KvQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<i64, KvError>> {
        let (place, key) = (Place::new(bucket, quota, now), key.clone());
        Box::pin(self.write(0, move |connection| {
            write::increment(connection, &place, &key, delta)
        }))
    }

    fn swap<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a Key,
        expected: Option<Revision>,
        value: NewValue,
        quota: KvQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Revision, KvError>> {
        let (place, key) = (Place::new(bucket, quota, now), key.clone());
        Box::pin(async move {
            let bytes = checked(&value)?;
            let swapped = self.write(bytes, move |connection| {
                write::swap(connection, &place, &key, expected, &value)
            });
            swapped.await
        })
    }

    fn kept<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Kept, KvError>> {
        Box::pin(async move { self.read(|connection| read::kept(connection, tenant, app)) })
    }

    fn apps<'a>(
        &'a self,
        after: Option<(&'a TenantId, &'a AppName)>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<(TenantId, AppName)>, KvError>> {
        let count_max = count_max.min(PAGE_MAX);
        Box::pin(async move { self.apps(after, count_max) })
    }

    fn remove_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<bool, KvError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(self.write(0, move |connection| {
            write::remove_app(connection, &tenant, &app)
        }))
    }

    fn sweep(&self, now: UnixMillis, count_max: u32) -> StoreFuture<'_, Result<Swept, KvError>> {
        Box::pin(self.write(0, move |connection| {
            sweep::sweep(connection, now, count_max)
        }))
    }
}
