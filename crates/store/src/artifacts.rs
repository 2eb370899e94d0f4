//! The port for the bytes of components, named by their SHA-256.
//!
//! Owns the contract. Doesn't know what a component is, nor anything of compiled artifacts: those
//! are a node's own and never come from a store.

use std::path::PathBuf;

use bytes::Bytes;
use everwarm_manifest::{Digest, TenantId};
use sha2::{Digest as _, Sha256};

use crate::{EngineError, StoreFuture};

/// The bytes of components.
///
/// Bytes that come back are always the bytes that the digest names: every read checks.
pub trait Artifacts: Send + Sync {
    /// Keeps the bytes and answers their name. Putting the same bytes again changes nothing, and
    /// mends them when what was kept has been damaged.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Failed`] when the engine can't keep them; nothing is kept then.
    fn put<'a>(
        &'a self,
        tenant: &'a TenantId,
        bytes: Bytes,
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

    /// Whether bytes of that name are kept. Doesn't read them.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Failed`] when the engine can't tell.
    fn contains<'a>(
        &'a self,
        tenant: &'a TenantId,
        digest: Digest,
    ) -> StoreFuture<'a, Result<bool, ArtifactError>>;
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
        "EW4003"
    }
}
