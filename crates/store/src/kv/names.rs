//! What entries are named by: a bucket of an app, and a key in it. Owns the form of keys. Pure.

use std::fmt;

use everwarm_manifest::{AppName, BucketName, TenantId};

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;

/// A key: 1 to [`KEY_BYTES_MAX`] bytes of UTF-8 without a NUL, which other stores and tools take for an end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<str>);

/// Text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has 1 to {KEY_BYTES_MAX} bytes of UTF-8 and no NUL")]
pub struct KeyError;

impl Key {
    /// Checks the form.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let is_key = (1..=KEY_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
        if is_key {
            Ok(Self(text.into()))
        } else {
            Err(KeyError)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of an app's stores. It needn't be made: it is there as soon as something is kept in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Whose app.
    pub tenant: TenantId,
    /// The app.
    pub app: AppName,
    /// Which of the app's.
    pub name: BucketName,
}
