//! The port for the bytes of components and of bundles of assets, named by their SHA-256.
//!
//! Owns the contract. Doesn't know what a component or a bundle is, nor anything of compiled artifacts: those
//! are a node's own and never come from a store.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use everwarm_manifest::{Digest, TenantId};
use sha2::{Digest as _, Sha256};

use crate::catalog::UnixMillis;
use crate::{EngineError, StoreFuture};

/// The bytes of components and bundles.
///
/// Bytes that come back are always the bytes that the digest names: every read checks.
pub trait Artifacts: Send + Sync {
    /// Keeps the bytes and answers their name. Putting the same bytes again changes nothing but that they are kept
    /// for longer, and mends them when what was kept has been damaged. `bytes_max` bounds all that the tenant
    /// keeps.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Quota`], or [`ArtifactError::Failed`] when the engine can't keep them; nothing is kept then.
    fn put<'a>(
        &'a self,
        tenant: &'a TenantId,
        bytes: Bytes,
        bytes_max: u64,
    ) -> StoreFuture<'a, Result<Digest, ArtifactError>>;

    /// The bytes of that name.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::NotFound`], or [`ArtifactError::Damaged`] when other bytes are kept under
    /// that name.
    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        digest: Digest,
    ) -> StoreFuture<'a, Result<Bytes, ArtifactError>>;

    /// A file on this machine that holds the bytes of that name, for a process that reads it by
    /// path. An engine that keeps them elsewhere fetches them first. The file isn't the caller's:
    /// it must not be written to. Its reader checks the digest again, for files change.
    ///
    /// # Errors
    ///
    /// As [`Artifacts::get`].
    fn local_file<'a>(
        &'a self,
        tenant: &'a TenantId,
        digest: Digest,
    ) -> StoreFuture<'a, Result<PathBuf, ArtifactError>>;

    /// Whether bytes of that name are kept. Doesn't read them. What is there is kept for as long as if it had been
    /// put now: whoever asks needs no upload.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Failed`] when the engine can't tell.
    fn contains<'a>(
        &'a self,
        tenant: &'a TenantId,
        digest: Digest,
    ) -> StoreFuture<'a, Result<bool, ArtifactError>>;

    /// How many bytes a tenant keeps.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Failed`] when the engine can't tell.
    fn bytes_kept<'a>(
        &'a self,
        tenant: &'a TenantId,
    ) -> StoreFuture<'a, Result<u64, ArtifactError>>;

    /// The names of all artifacts, of all tenants.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Failed`] when the engine can't list them.
    fn digests(&self) -> StoreFuture<'_, Result<BTreeSet<Digest>, ArtifactError>>;

    /// Forgets what no version refers to and nobody has put or asked for since `before`, of all tenants.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Failed`] when the engine can't forget something; what it forgot until then is gone.
    fn collect(&self, before: UnixMillis) -> StoreFuture<'_, Result<Collected, ArtifactError>>;
}

/// What a collection has forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Artifacts.
    pub artifacts: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The name of these bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Why the store didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Nothing of that name.
    #[error("no artifact {digest} is in the store: deploy the app that needs it again")]
    NotFound {
        /// The name that was asked for.
        digest: Digest,
    },
    /// What is kept isn't what the name says.
    #[error(
        "artifact {digest} is damaged in the store (its bytes are {found}): deploy the app that needs it again"
    )]
    Damaged {
        /// The name that was asked for.
        digest: Digest,
        /// The name of the bytes that were there.
        found: Digest,
    },
    /// The tenant keeps as much as it may.
    #[error(
        "the tenant's components have {kept} bytes, these {more} bytes are more than its quota of {bytes_max}: \
         remove apps or versions, or ask for a larger quota"
    )]
    Quota {
        /// What it keeps.
        kept: u64,
        /// What was to be kept too.
        more: u64,
        /// What it may keep.
        bytes_max: u64,
    },
    /// The engine failed.
    #[error("the store failed to {doing}")]
    Failed {
        /// What was being attempted.
        doing: String,
        /// What the engine says.
        #[source]
        source: EngineError,
    },
}

impl ArtifactError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Quota { .. } => "EW5008",
            Self::NotFound { .. } => "EW5006",
            Self::Damaged { .. } | Self::Failed { .. } => "EW4003",
        }
    }
}
