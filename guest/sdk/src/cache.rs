//! Values that are kept in the node's memory for a time: what takes long to compute or to ask for. Here is the API; how the
//! host is asked is `sys`.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys;

/// What is kept under a key of 1 to 512 bytes. It may be gone at any time, and is after a restart: what has to stay belongs
/// into a [key-value store](crate::kv).
///
/// The values belong to the app; its functions that are granted `cache` share them, and so do its versions.
///
/// ```
/// use std::time::Duration;
///
/// use everwarm_sdk::{Result, cache};
///
/// #[everwarm_sdk::http]
/// async fn report() -> Result<Vec<u8>> {
///     if let Some(report) = cache::get("report").await? {
///         return Ok(report);
///     }
///     let report = b"what took long to make".to_vec();
///     cache::set("report", &report, Duration::from_secs(60)).await?;
///     Ok(report)
/// }
/// ```
///
/// # Errors
/// [`CacheError::AccessDenied`] without a grant, [`CacheError::Invalid`] for a key that can't be one.
#[expect(clippy::unused_async, reason = "as in `kv`")]
pub async fn get(key: &str) -> Result<Option<Vec<u8>>, CacheError> {
    sys::cache::get(key)
}

/// Keeps a value of 1 MiB at most under a key for so long, at least a millisecond.
///
/// # Errors
/// As [`get`], and [`CacheError::Invalid`] for a value that is too large.
#[expect(clippy::unused_async, reason = "as in `kv`")]
pub async fn set(key: &str, value: impl AsRef<[u8]>, ttl: Duration) -> Result<(), CacheError> {
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    sys::cache::set(key, value.as_ref(), ttl_ms)
}

/// Forgets what is kept under a key.
///
/// # Errors
/// As [`get`].
#[expect(clippy::unused_async, reason = "as in `kv`")]
pub async fn delete(key: &str) -> Result<(), CacheError> {
    sys::cache::delete(key)
}

/// As [`get`], a value that was kept as JSON.
///
/// # Errors
/// As [`get`], and [`CacheError::Json`] when it is something else.
pub async fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, CacheError> {
    let value = get(key).await?;
    let value = value.map(|value| serde_json::from_slice(&value));
    value.transpose().map_err(CacheError::Json)
}

/// As [`set`], as JSON.
///
/// # Errors
/// As [`set`], and [`CacheError::Json`] for what has no such form.
pub async fn set_json<T: Serialize + ?Sized>(
    key: &str,
    value: &T,
    ttl: Duration,
) -> Result<(), CacheError> {
    let value = serde_json::to_vec(value).map_err(CacheError::Json)?;
    set(key, value, ttl).await
}

/// Why a value wasn't kept or given.
#[derive(Debug)]
#[non_exhaustive]
pub enum CacheError {
    /// The function's manifest doesn't grant it.
    AccessDenied,
    /// A value isn't the JSON that it should be.
    Json(serde_json::Error),
    /// A key or a value that can't be kept, in the host's words.
    Invalid(String),
}

impl fmt::Display for CacheError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccessDenied => formatter.write_str(
                "the function's manifest doesn't grant the cache: add `cache = true` to [function.grants]",
            ),
            Self::Json(_) => formatter.write_str("the value isn't the JSON that it should be"),
            Self::Invalid(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for CacheError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}
