//! The port for apps, their immutable versions, which of them serve, and which hosts are whose.
//!
//! Owns the contract and the identity of a version. Knows nothing of how an engine keeps rows, nor of how traffic
//! changes (`traffic`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use everwarm_manifest::{App, AppName, Digest, FunctionName, HostPattern, TenantId, World};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::audit::Note;
use crate::once::{Done, IdempotencyKey, Once};
use crate::traffic::Traffic;
use crate::{EngineError, StoreFuture};

/// Removals of apps that are remembered.
pub const REMOVED_MAX: u32 = 10_000;

/// Apps, their immutable versions, which of them serve, and which hosts are whose.
///
/// A write that was answered with `Ok` survives power loss. A write that takes a [`Note`] keeps it in the same
/// transaction: what was changed is in the audit log, and nothing else is.
pub trait Catalog: Send + Sync {
    /// Keeps a version. The same content is the same version: putting it again changes nothing and answers the
    /// version as first put. Every component, and the bundle of assets, has to be kept already.
    ///
    /// # Errors
    ///
    /// [`CatalogError::ComponentMissing`] or [`CatalogError::AssetsMissing`] when one isn't kept, [`CatalogError::Quota`] when the app is new
    /// and the tenant has as many as it may, [`CatalogError::Failed`] when the engine can't keep it.
    fn put_version<'a>(
        &'a self,
        tenant: &'a TenantId,
        version: NewVersion,
        apps_max: u32,
    ) -> StoreFuture<'a, Result<Version, CatalogError>>;

    /// One version of an app.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Damaged`] when what was kept isn't what is read.
    fn version<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        version: VersionId,
    ) -> StoreFuture<'a, Result<Option<Version>, CatalogError>>;

    /// The versions of one app whose identity begins with these hexadecimal digits, at most `count_max`.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Failed`] when the engine can't look.
    fn versions_with_digits<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        digits: &'a str,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<VersionId>, CatalogError>>;

    /// The newest versions of one app, newest first, at most `count_max`; with `before`, those that came before
    /// that one.
    ///
    /// # Errors
    ///
    /// As [`Catalog::version`].
    fn versions<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        before: Option<VersionId>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<Version>, CatalogError>>;

    /// The first of these hosts that a tenant can't have, since it overlaps with another's.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Failed`] when the engine can't look.
    fn taken_host<'a>(
        &'a self,
        tenant: &'a TenantId,
        hosts: BTreeSet<HostPattern>,
    ) -> StoreFuture<'a, Result<Option<HostPattern>, CatalogError>>;

    /// The tenants whose app of that name has a version whose identity begins with these hexadecimal digits, with the
    /// version, at most `count_max`.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Failed`] when the engine can't look.
    fn owners_of_version<'a>(
        &'a self,
        app: &'a AppName,
        digits: &'a str,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<(TenantId, VersionId)>, CatalogError>>;

    /// What was done under a key within [`REMEMBERED_MS`](crate::once::REMEMBERED_MS) before `now`.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Failed`] when the engine can't look.
    fn done<'a>(
        &'a self,
        tenant: &'a TenantId,
        key: &'a IdempotencyKey,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Option<Done>, CatalogError>>;

    /// Sets an app's traffic and claims its hosts, in one atomic switch: a reader sees all of the old state or all
    /// of this. Hosts that the app had and doesn't name any more are free again. With `once`, what [`Catalog::done`]
    /// tells of it is a part of the switch.
    ///
    /// # Errors
    ///
    /// [`CatalogError::UnknownVersion`] when the app has no such version, [`CatalogError::HostTaken`] when a host
    /// overlaps with another tenant's; what served goes on serving.
    fn set_traffic<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        traffic: Traffic,
        hosts: BTreeSet<HostPattern>,
        note: Note,
        once: Option<(Once, VersionId)>,
    ) -> StoreFuture<'a, Result<(), CatalogError>>;

    /// What serves of one app.
    ///
    /// # Errors
    ///
    /// As [`Catalog::version`].
    fn serving<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Option<Serving>, CatalogError>>;

    /// What serves, of all tenants, ordered by tenant and app: what a node starts with.
    ///
    /// # Errors
    ///
    /// As [`Catalog::version`].
    fn list_serving(&self) -> StoreFuture<'_, Result<Vec<Serving>, CatalogError>>;

    /// A tenant's apps by name, those after `after`, at most `count_max`.
    ///
    /// # Errors
    ///
    /// As [`Catalog::version`].
    fn apps<'a>(
        &'a self,
        tenant: &'a TenantId,
        after: Option<&'a AppName>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<AppSummary>, CatalogError>>;

    /// One app, as it is in the list.
    ///
    /// # Errors
    ///
    /// As [`Catalog::version`].
    fn app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Option<AppSummary>, CatalogError>>;

    /// Forgets an app with its versions, hosts and secrets. Says whether there was any of them.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Failed`] when the engine can't forget it; then all of it is still there.
    fn remove_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        note: Note,
    ) -> StoreFuture<'a, Result<bool, CatalogError>>;

    /// Whether an app of that name was removed and none has been kept since. The last [`REMOVED_MAX`] removals are
    /// remembered, so that what belonged to the app elsewhere can be removed whatever happened meanwhile. A catalog that
    /// was lost and made anew remembers none: what it doesn't know isn't what was removed.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Failed`] when the engine can't look.
    fn is_removed<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<bool, CatalogError>>;

    /// Forgets an app's versions but the newest `keep`, those that serve, and the one that a rollback goes to next.
    /// The past that traffic has is without them then. Returns what was forgotten.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Failed`] when the engine can't forget them; then all of them are still there.
    fn prune_versions<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        keep: u32,
    ) -> StoreFuture<'a, Result<Vec<VersionId>, CatalogError>>;
}

/// A function's component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Its bytes.
    pub digest: Digest,
    /// The world that it is served in: read from the bytes when they were verified, so that a node can start
    /// without reading them.
    pub world: World,
}

/// An immutable deployment of an app.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Names the content.
    pub id: VersionId,
    /// The manifest it was deployed with.
    pub manifest: App,
    /// The component of each function of the manifest.
    pub components: BTreeMap<FunctionName, Component>,
    /// The bundle of its files, if the manifest has any.
    pub assets: Option<Digest>,
    /// When it was first put.
    pub created: UnixMillis,
}

/// An app that serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Serving {
    /// The owner.
    pub tenant: TenantId,
    /// Who gets which requests.
    pub traffic: Traffic,
    /// The version that gets what the canary doesn't.
    pub main: Version,
    /// The canary's version.
    pub canary: Option<Version>,
}

/// An app in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSummary {
    /// Its name.
    pub name: AppName,
    /// Who gets which requests; `None` when no version has ever been promoted.
    pub traffic: Option<Traffic>,
    /// How many versions are kept.
    pub versions: u32,
    /// When its newest version was put.
    pub newest: UnixMillis,
}

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The wall clock's time; a clock before 1970 counts as 1970.
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// As SQL has integers; a time that is too late for it is its latest.
    pub(crate) fn as_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// Back from SQL; what is before 1970 counts as 1970.
    pub(crate) fn of_i64(ms: i64) -> Self {
        Self(u64::try_from(ms).unwrap_or(0))
    }
}

/// Digits of a version's short name: two of a million versions share one with a chance of one in five hundred.
pub const SHORT_DIGITS: usize = 12;

/// Names a version by its content: SHA-256 over the manifest, the component of each function, and the bundle of assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VersionId(Digest);

impl VersionId {
    /// The identity of a manifest's JSON together with its components and its bundle.
    pub(crate) fn of(
        manifest_json: &str,
        components: &BTreeMap<FunctionName, Component>,
        assets: Option<Digest>,
    ) -> VersionId {
        let mut hasher = Sha256::new();
        hasher.update(b"everwarm version 1\0");
        hasher.update((manifest_json.len() as u64).to_le_bytes());
        hasher.update(manifest_json);
        for (function, component) in components {
            let name = function.as_str();
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name);
            hasher.update(component.digest.as_bytes());
        }
        // No name of a function is as long: versions without assets keep their identity.
        if let Some(assets) = assets {
            hasher.update(u64::MAX.to_le_bytes());
            hasher.update(assets.as_bytes());
        }
        Self(Digest::from_bytes(hasher.finalize().into()))
    }

    /// The 32 bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The first digits, as people read and type them.
    pub fn short(&self) -> String {
        let mut hex = self.0.hex();
        hex.truncate(SHORT_DIGITS);
        hex
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

/// A version that isn't kept yet: every function of the manifest has its component, and its assets their bundle.
#[derive(Debug, Clone)]
pub struct NewVersion {
    pub(crate) version: Version,
    pub(crate) manifest_json: String,
}

impl NewVersion {
    /// Puts a version without assets together.
    ///
    /// # Errors
    ///
    /// As [`NewVersion::with_assets`].
    pub fn new(
        manifest: App,
        components: BTreeMap<FunctionName, Component>,
        created: UnixMillis,
    ) -> Result<Self, IncompleteVersion> {
        Self::with_assets(manifest, components, None, created)
    }

    /// Puts a version together.
    ///
    /// # Errors
    ///
    /// When a function of the manifest has no component, or a component has no function; when the manifest has files and
    /// there is no bundle, or the other way round.
    pub fn with_assets(
        manifest: App,
        components: BTreeMap<FunctionName, Component>,
        assets: Option<Digest>,
        created: UnixMillis,
    ) -> Result<Self, IncompleteVersion> {
        match (manifest.has_files(), assets) {
            (true, None) => return Err(IncompleteVersion::NoBundle),
            (false, Some(_)) => return Err(IncompleteVersion::NoAssets),
            _ => {}
        }
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
        let id = VersionId::of(&manifest_json, &components, assets);
        Ok(Self {
            version: Version {
                id,
                manifest,
                components,
                assets,
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
    /// Assets without their files.
    #[error(
        "the manifest has `[[assets]]` or `[[function.mounts]]`, and no bundle of their files was given: upload it before"
    )]
    NoBundle,
    /// Files without assets.
    #[error(
        "a bundle of assets was given, and the manifest has no `[[assets]]` and no `[[function.mounts]]`"
    )]
    NoAssets,
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
    /// A component isn't kept.
    #[error("the component {digest} of function `{function}` isn't in the store: upload it again")]
    ComponentMissing {
        /// Whose it would be.
        function: FunctionName,
        /// Its name.
        digest: Digest,
    },
    /// The bundle of assets isn't kept.
    #[error("the bundle of assets {digest} isn't in the store: upload it again")]
    AssetsMissing {
        /// Its name.
        digest: Digest,
    },
    /// A host is another tenant's. Whose isn't said.
    #[error("the host `{0}` is taken: choose another one")]
    HostTaken(HostPattern),
    /// The tenant has as many apps as it may.
    #[error(
        "the tenant has {apps_max} apps, which is its quota: remove one, or ask for a larger quota"
    )]
    Quota {
        /// How many it may have.
        apps_max: u32,
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
        match self {
            Self::UnknownVersion { .. } => "EW5005",
            Self::ComponentMissing { .. } | Self::AssetsMissing { .. } => "EW5006",
            Self::HostTaken(_) => "EW5007",
            Self::Quota { .. } => "EW5008",
            Self::Damaged { .. } | Self::Failed { .. } => "EW4003",
        }
    }
}
