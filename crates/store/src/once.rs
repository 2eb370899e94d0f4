//! What a deploy that is sent again is known by: a key that its sender made, and what was asked under it.
//!
//! Owns the form of a key and how long it is remembered. Pure; remembering is the catalog's.

use std::fmt;

use crate::catalog::VersionId;

/// How long a key is remembered, in milliseconds: a sender that tries again for longer than a day is another one.
pub const REMEMBERED_MS: u64 = 24 * 3_600_000;
/// Keys that are remembered of one tenant; the oldest go first.
pub const KEYS_MAX: u32 = 10_000;
/// The longest key.
const KEY_BYTES_MAX: usize = 128;

/// A key that a sender made for one deploy, and sends again with it: 1 to 128 visible ASCII characters
/// (draft-ietf-httpapi-idempotency-key-header).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

/// Text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {KEY_BYTES_MAX} visible ASCII characters")]
pub struct KeyError;

impl IdempotencyKey {
    /// Checks the form.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let is_key = (1..=KEY_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_key {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A deploy that is to be done once, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Its key.
    pub key: IdempotencyKey,
    /// SHA-256 of what is asked: another request under the same key is a mistake of its sender's.
    pub request: [u8; 32],
}

/// What was done under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// SHA-256 of what was asked.
    pub request: [u8; 32],
    /// The version that was deployed.
    pub version: VersionId,
}
