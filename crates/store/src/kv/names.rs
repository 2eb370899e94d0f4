//! What entries are named by: a bucket of an app, and a key in it. Owns the forms of both. Pure.

use std::fmt;

use everwarm_manifest::{AppName, TenantId};

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a bucket's name.
pub const BUCKET_BYTES_MAX: usize = 64;

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

/// The name of a bucket: 1 to [`BUCKET_BYTES_MAX`] visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(Box<str>);

/// Text that is no bucket's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a key-value store has 1 to {BUCKET_BYTES_MAX} visible ASCII characters")]
pub struct BucketNameError;

impl BucketName {
    /// Checks the form.
    ///
    /// # Errors
    ///
    /// [`BucketNameError`].
    pub fn new(text: &str) -> Result<Self, BucketNameError> {
        let is_name = (1..=BUCKET_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_name {
            Ok(Self(text.into()))
        } else {
            Err(BucketNameError)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
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
