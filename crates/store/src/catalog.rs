//! The port for apps, their immutable versions, and which version is live.
//!
//! Owns the contract and the identity of a version. Knows nothing of how an engine keeps rows.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use everwarm_manifest::{App, AppName, Digest, FunctionName, TenantId};
use sha2::{Digest as _, Sha256};

use crate::{EngineError, StoreFuture};

/// Apps, their versions, and which version is live.
///
/// A write that was answered with `Ok` survives power loss.
pub trait Catalog: Send + Sync {
    /// Keeps a version. The same content is the same version: putting it again changes nothing and
    /// answers the version as first put.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Failed`] when the engine can't keep it.
    fn put_version<'a>(
        &'a self,
        tenant: &'a TenantId,
        version: NewVersion,
    ) -> StoreFuture<'a, Result<Version, CatalogError>>;

    /// Makes a version the live one of its app, in one atomic switch: a reader sees the old version
    /// or this one.
    ///
    /// # Errors
    ///
    /// [`CatalogError::UnknownVersion`] when the tenant's app has no such version; what was live
    /// stays live.
    fn set_live<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        version: VersionId,
    ) -> StoreFuture<'a, Result<(), CatalogError>>;

    /// The live version of one app.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Damaged`] when what was kept isn't what is read.
    fn live<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Option<Version>, CatalogError>>;

    /// Every app's live version, of all tenants, ordered by tenant and app: what a node serves.
    ///
    /// # Errors
    ///
    /// As [`Catalog::live`].
    fn list_live(&self) -> StoreFuture<'_, Result<Vec<LiveVersion>, CatalogError>>;

    /// The newest versions of one app, newest first, at most `count_max`.
    ///
    /// # Errors
    ///
    /// As [`Catalog::live`].
    fn versions<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<Version>, CatalogError>>;
}

/// An immutable deployment of an app.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Names the content.
    pub id: VersionId,
    /// The manifest it was deployed with.
    pub manifest: App,
    /// The component of each function of the manifest.
    pub components: BTreeMap<FunctionName, Digest>,
    /// When it was first put.
    pub created: UnixMillis,
}

/// A live version and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveVersion {
    /// The owner.
    pub tenant: TenantId,
    /// What serves.
    pub version: Version,
}

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The wall clock's time; a clock before 1970 counts as 1970.
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Names a version by its content: SHA-256 over the manifest and the component of each function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(Digest);

impl VersionId {
    /// The identity of a manifest's JSON together with its components.
    pub(crate) fn of(
        manifest_json: &str,
        components: &BTreeMap<FunctionName, Digest>,
    ) -> VersionId {
        let mut hasher = Sha256::new();
        hasher.update(b"everwarm version 1\0");
        hasher.update((manifest_json.len() as u64).to_le_bytes());
        hasher.update(manifest_json);
        for (function, digest) in components {
            let name = function.as_str();
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name);
            hasher.update(digest.as_bytes());
        }
        Self(Digest::from_bytes(hasher.finalize().into()))
    }

    /// The 32 bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The identity with these bytes; whether such a version exists is the catalog's to say.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A version that isn't kept yet: every function of the manifest has its component.
#[derive(Debug, Clone)]
pub struct NewVersion {
    pub(crate) version: Version,
    pub(crate) manifest_json: String,
}

impl NewVersion {
    /// Puts a version together.
    ///
    /// # Errors
    ///
    /// When a function of the manifest has no component, or a component has no function.
    pub fn new(
        manifest: App,
        components: BTreeMap<FunctionName, Digest>,
        created: UnixMillis,
    ) -> Result<Self, IncompleteVersion> {
        let functions = || manifest.functions.iter().map(|function| &function.name);
        if let Some(function) = functions().find(|name| !components.contains_key(*name)) {
            return Err(IncompleteVersion::NoComponent(function.clone()));
        }
        if let Some(name) = components
            .keys()
            .find(|name| !functions().any(|f| f == *name))
        {
            return Err(IncompleteVersion::NoFunction(name.clone()));
        }
        let manifest_json =
            serde_json::to_string(&manifest).map_err(IncompleteVersion::Manifest)?;
        let id = VersionId::of(&manifest_json, &components);
        Ok(Self {
            version: Version {
                id,
                manifest,
                components,
                created,
            },
            manifest_json,
        })
    }

    /// The identity it will have.
    pub fn id(&self) -> VersionId {
        self.version.id
    }
}

/// Why a manifest and components don't make a version.
#[derive(Debug, thiserror::Error)]
pub enum IncompleteVersion {
    /// A function without its component.
    #[error("function `{0}` of the manifest has no component: build it before it is deployed")]
    NoComponent(FunctionName),
    /// A component that belongs to no function.
    #[error("a component was given for `{0}`, which is no function of the manifest")]
    NoFunction(FunctionName),
    /// The manifest has no JSON form.
    #[error("the manifest can't be written as JSON")]
    Manifest(#[source] serde_json::Error),
}

/// Why the catalog didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No such version.
    #[error("app `{app}` has no version {version}: put the version before it is made live")]
    UnknownVersion {
        /// The app that was named.
        app: AppName,
        /// The version it doesn't have.
        version: VersionId,
    },
    /// A row isn't what was kept.
    #[error(
        "a version of app `{app}` of tenant `{tenant}` is damaged in the store ({reason}): deploy the app again"
    )]
    Damaged {
        /// Whose app.
        tenant: String,
        /// The app.
        app: String,
        /// What is wrong with it.
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

impl CatalogError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        "EW4003"
    }
}
