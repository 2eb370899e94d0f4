//! Key-value stores: what an app keeps between requests. Here is the API; how the host is asked is `sys`.

mod error;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::error::KvError;
use crate::sys::keyvalue::{Bucket, Cas, Swap};

/// How often [`Store::update`] begins anew before it gives up.
const UPDATES_MAX: u32 = 100;

/// One of the app's key-value stores.
///
/// A write has survived power loss when it returns, and whoever reads then sees it. Keys are text of 1 to 512 bytes.
///
/// ```
/// use everwarm_sdk::kv::Store;
/// use everwarm_sdk::Result;
///
/// #[everwarm_sdk::http]
/// async fn visits() -> Result<String> {
///     let store = Store::open("default")?;
///     let count = store.increment("visits", 1).await?;
///     Ok(format!("visit {count}\n"))
/// }
/// ```
#[derive(Debug)]
pub struct Store(Bucket);

/// Keys of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, in the order of their bytes. There may be none although more pages come.
    pub keys: Vec<String>,
    /// What to ask the next page with; `None` after the last one.
    pub cursor: Option<String>,
}

#[expect(
    clippy::unused_async,
    reason = "the host answers at once today; WASI's interfaces are becoming async"
)]
impl Store {
    /// Opens a store, which the function's manifest has to grant. It needn't be made first.
    ///
    /// # Errors
    /// [`KvError::AccessDenied`] without a grant, [`KvError::NoSuchStore`] when there is none of that name.
    pub fn open(name: &str) -> Result<Self, KvError> {
        Bucket::open(name).map(Self)
    }

    /// What is kept under a key.
    ///
    /// # Errors
    /// When the host can't say.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.0.get(key)
    }

    /// Keeps a value under a key, in the place of what was there.
    ///
    /// # Errors
    /// When the value isn't kept: it is too large, the app keeps as much as it may, or the host can't write.
    pub async fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), KvError> {
        self.0.set(key, value.as_ref())
    }

    /// As [`Store::set`]; the entry is gone after that time, of 1 ms at least.
    ///
    /// # Errors
    /// As [`Store::set`].
    pub async fn set_for(
        &self,
        key: &str,
        value: impl AsRef<[u8]>,
        time_to_live: Duration,
    ) -> Result<(), KvError> {
        let ttl_ms = u64::try_from(time_to_live.as_millis()).unwrap_or(u64::MAX);
        self.0.set_for(key, value.as_ref(), ttl_ms)
    }

    /// What [`Store::set_json`] keeps under a key.
    ///
    /// # Errors
    /// As [`Store::get`], and [`KvError::Json`] when it is something else.
    pub async fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, KvError> {
        let value = self.0.get(key)?;
        value
            .map(|value| serde_json::from_slice(&value).map_err(KvError::Json))
            .transpose()
    }

    /// Keeps a value as JSON.
    ///
    /// # Errors
    /// As [`Store::set`], and [`KvError::Json`] when it can't be written as JSON.
    pub async fn set_json<T: Serialize + ?Sized>(
        &self,
        key: &str,
        value: &T,
    ) -> Result<(), KvError> {
        self.0
            .set(key, &serde_json::to_vec(value).map_err(KvError::Json)?)
    }

    /// Forgets what is kept under a key, if there is anything.
    ///
    /// # Errors
    /// When the host can't write.
    pub async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.0.delete(key)
    }

    /// Whether anything is kept under a key.
    ///
    /// # Errors
    /// When the host can't say.
    pub async fn exists(&self, key: &str) -> Result<bool, KvError> {
        self.0.exists(key)
    }

    /// Adds to the number under a key, 0 where there is none, and returns the sum. Nobody else's addition is lost. A
    /// number is kept as decimal text.
    ///
    /// # Errors
    /// As [`Store::set`], and when what is there isn't a number or the sum is larger than an `i64`.
    pub async fn increment(&self, key: &str, delta: i64) -> Result<i64, KvError> {
        self.0.increment(key, delta)
    }

    /// Changes what is kept under a key to what `change` makes of it, and returns that. If somebody else writes in
    /// between, `change` is asked again, with what they wrote.
    ///
    /// ```
    /// use everwarm_sdk::kv::{KvError, Store};
    ///
    /// async fn add_name(store: &Store, name: &str) -> Result<(), KvError> {
    ///     store
    ///         .update("names", |names| {
    ///             let mut names = names.unwrap_or_default();
    ///             names.extend_from_slice(name.as_bytes());
    ///             names.push(b'\n');
    ///             names
    ///         })
    ///         .await
    ///         .map(drop)
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Store::set`], and [`KvError::Contended`] when others write all the time.
    pub async fn update(
        &self,
        key: &str,
        mut change: impl FnMut(Option<Vec<u8>>) -> Vec<u8>,
    ) -> Result<Vec<u8>, KvError> {
        let mut cas = Cas::new(&self.0, key)?;
        for _ in 0..UPDATES_MAX {
            let value = change(cas.current()?);
            match cas.swap(&value)? {
                Swap::Done => return Ok(value),
                Swap::Changed(next) => cas = next,
            }
        }
        Err(KvError::Contended)
    }

    /// What is kept under each of these keys, as of one moment, in their order. At most 100.
    ///
    /// # Errors
    /// As [`Store::get`], and when there are too many.
    pub async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, KvError> {
        self.0.get_many(keys)
    }

    /// Keeps several values, all or none. At most 100.
    ///
    /// # Errors
    /// As [`Store::set`], and when there are too many.
    pub async fn set_many(&self, values: &[(&str, &[u8])]) -> Result<(), KvError> {
        self.0.set_many(values)
    }

    /// Forgets what is kept under several keys, all or none. At most 100.
    ///
    /// # Errors
    /// As [`Store::delete`], and when there are too many.
    pub async fn delete_many(&self, keys: &[&str]) -> Result<(), KvError> {
        self.0.delete_many(keys)
    }

    /// A page of the store's keys. `cursor` is the page's before, `None` for the first one.
    ///
    /// # Errors
    /// When the host can't say, or knows no such cursor.
    pub async fn keys(&self, cursor: Option<&str>) -> Result<Page, KvError> {
        self.0.list(cursor)
    }

    /// As [`Store::keys`], of those that begin with `prefix`, at most `count_max` of them.
    ///
    /// # Errors
    /// As [`Store::keys`].
    pub async fn keys_with_prefix(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        count_max: u32,
    ) -> Result<Page, KvError> {
        self.0.list_prefix(prefix, cursor, count_max)
    }
}

#[cfg(test)]
mod tests;
