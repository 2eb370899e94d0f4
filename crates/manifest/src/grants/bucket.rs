//! The names of an app's key-value stores, as grants have them. Owns their form. Knows nothing of what is kept in one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of a bucket's name.
pub const BUCKET_BYTES_MAX: usize = 64;

/// The name of a bucket, which is one of an app's key-value stores: 1 to [`BUCKET_BYTES_MAX`] visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

impl TryFrom<String> for BucketName {
    type Error = BucketNameError;

    fn try_from(text: String) -> Result<Self, BucketNameError> {
        Self::new(&text)
    }
}

impl From<BucketName> for String {
    fn from(name: BucketName) -> Self {
        name.0.into()
    }
}
