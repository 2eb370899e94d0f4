//! The port for secrets of apps: which there are, in which versions, and which of those is current.
//!
//! Owns the contract. Values are sealed before they come here: an engine keeps bytes that say nothing to it, and knows
//! no key.

use bytes::Bytes;
use everwarm_manifest::{AppName, ConfigName, TenantId};

use crate::audit::Note;
use crate::catalog::UnixMillis;
use crate::{EngineError, StoreFuture};

/// Versions of a secret that are kept; the oldest go first, but never the current one.
pub const VERSIONS_MAX: u32 = 10;

/// Secrets of apps. An app needn't be deployed to have some.
///
/// A write that was answered with `Ok` survives power loss. A write that takes a [`Note`] keeps it in the same
/// transaction.
pub trait Secrets: Send + Sync {
    /// The number that the next version of a secret gets. No number is given twice for as long as the secret is there.
    ///
    /// # Errors
    ///
    /// [`SecretError::Failed`] when the engine can't look.
    fn next_version<'a>(
        &'a self,
        app: &'a SecretsOf,
        name: &'a ConfigName,
    ) -> StoreFuture<'a, Result<u32, SecretError>>;

    /// Keeps a version of a secret, makes it the current one, and forgets the oldest beyond [`VERSIONS_MAX`].
    ///
    /// # Errors
    ///
    /// [`SecretError::Outpaced`] when another version has come since the number was asked for,
    /// [`SecretError::TooMany`] or [`SecretError::TooLarge`] beyond the bounds, [`SecretError::Apps`] when the app is
    /// new and the tenant has as many as it may; then nothing has changed.
    fn put<'a>(
        &'a self,
        app: &'a SecretsOf,
        name: &'a ConfigName,
        new: NewSecret,
        bounds: SecretBounds,
        note: Note,
    ) -> StoreFuture<'a, Result<(), SecretError>>;

    /// Makes a version that is kept the current one: the one before the current one, or the one that is asked for.
    /// Answers which.
    ///
    /// # Errors
    ///
    /// [`SecretError::NoVersion`] when there is none, [`SecretError::TooLarge`] when its value doesn't fit beside the
    /// others any more.
    fn set_current<'a>(
        &'a self,
        app: &'a SecretsOf,
        name: &'a ConfigName,
        to: Option<u32>,
        bounds: SecretBounds,
        note: Note,
    ) -> StoreFuture<'a, Result<u32, SecretError>>;

    /// Forgets a secret with all its versions. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`SecretError::Failed`]; then it is still there.
    fn remove<'a>(
        &'a self,
        app: &'a SecretsOf,
        name: &'a ConfigName,
        note: Note,
    ) -> StoreFuture<'a, Result<bool, SecretError>>;

    /// The secrets of an app by name, with their versions, newest first.
    ///
    /// # Errors
    ///
    /// [`SecretError::Failed`] when the engine can't look.
    fn list<'a>(
        &'a self,
        app: &'a SecretsOf,
    ) -> StoreFuture<'a, Result<Vec<SecretSummary>, SecretError>>;

    /// The current versions of an app's secrets, by name.
    ///
    /// # Errors
    ///
    /// [`SecretError::Failed`] when the engine can't look.
    fn current<'a>(
        &'a self,
        app: &'a SecretsOf,
    ) -> StoreFuture<'a, Result<Vec<SealedRow>, SecretError>>;

    /// All versions of all secrets in the order of their keys, those after `after`, at most `count_max`.
    ///
    /// # Errors
    ///
    /// [`SecretError::Failed`] when the engine can't look.
    fn rows<'a>(
        &'a self,
        after: Option<&'a RowKey>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<SealedRow>, SecretError>>;

    /// Puts other bytes in the place of those that a version has, if it has them still. Says whether it had.
    ///
    /// # Errors
    ///
    /// [`SecretError::Failed`]; then it has what it had.
    fn reseal<'a>(
        &'a self,
        row: &'a RowKey,
        before: Bytes,
        after: Bytes,
    ) -> StoreFuture<'a, Result<bool, SecretError>>;

    /// Keeps an entry in the audit log, of the node's own: that secrets are sealed with another key from now on.
    ///
    /// # Errors
    ///
    /// [`SecretError::Failed`]; then there is no entry.
    fn note_rotation(&self, note: Note) -> StoreFuture<'_, Result<(), SecretError>>;
}

/// Whose secrets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretsOf {
    /// Whose app.
    pub tenant: TenantId,
    /// The app.
    pub app: AppName,
}

/// Names a version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// Whose.
    pub of: SecretsOf,
    /// Which.
    pub name: ConfigName,
    /// The version, from 1 on.
    pub version: u32,
}

/// A version that isn't kept yet.
#[derive(Debug, Clone)]
pub struct NewSecret {
    /// The number that it was sealed under.
    pub version: u32,
    /// The sealed value.
    pub sealed: Bytes,
    /// When it was set.
    pub created: UnixMillis,
}

/// What an app may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretBounds {
    /// Secrets.
    pub count_max: u32,
    /// Sealed bytes of all current versions.
    pub bytes_max: u64,
    /// Apps of the tenant, those without a version among them.
    pub apps_max: u32,
}

/// A version as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRow {
    /// Which one.
    pub key: RowKey,
    /// The sealed value.
    pub sealed: Bytes,
    /// Whether functions get this one.
    pub is_current: bool,
}

/// A secret in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSummary {
    /// Its name.
    pub name: ConfigName,
    /// The version that functions get.
    pub current: u32,
    /// The versions that are kept and when each was set, newest first.
    pub versions: Vec<(u32, UnixMillis)>,
}

/// Why the store didn't do with secrets what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Somebody else was faster.
    #[error("another version of the secret has come meanwhile: try again")]
    Outpaced,
    /// The app has as many as it may.
    #[error("the app has {count_max} secrets, which is the most: remove one that isn't needed")]
    TooMany {
        /// How many it may have.
        count_max: u32,
    },
    /// The app's secrets would be larger than they may.
    #[error(
        "the app's secrets would have more than {bytes_max} bytes in all: keep large data in key-value storage"
    )]
    TooLarge {
        /// How much they may have.
        bytes_max: u64,
    },
    /// The tenant has as many apps as it may.
    #[error(
        "the tenant has {apps_max} apps, which is its quota: remove one, or ask for a larger quota"
    )]
    Apps {
        /// How many it may have.
        apps_max: u32,
    },
    /// There is no such secret, or no such version of it.
    #[error("{0}")]
    NoVersion(NoVersion),
    /// A row isn't what was kept.
    #[error("a secret is damaged in the store ({reason}): restore a backup, or set it again")]
    Damaged {
        /// What is wrong with it. No value.
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

/// What isn't there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoVersion {
    /// No secret of the name.
    #[error("there is no secret `{0}`")]
    OfSecret(ConfigName),
    /// The secret isn't kept in an older version.
    #[error("there is no version of the secret `{name}` before version {current}")]
    Before {
        /// Which.
        name: ConfigName,
        /// The version that functions get.
        current: u32,
    },
    /// The secret isn't kept in that version.
    #[error("there is no version {version} of the secret `{name}`")]
    Number {
        /// Which.
        name: ConfigName,
        /// The version that was asked for.
        version: u32,
    },
}

impl SecretError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoVersion(_) => "EW5005",
            Self::Apps { .. } => "EW5008",
            Self::Outpaced | Self::TooMany { .. } | Self::TooLarge { .. } => "EW5018",
            Self::Damaged { .. } | Self::Failed { .. } => "EW4003",
        }
    }
}
