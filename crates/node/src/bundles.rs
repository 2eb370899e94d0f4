//! Bundles of assets: checked before they are stored, and found again when their files are asked for.
//!
//! Owns what a bundle has to have for its manifest. The archive's form is `everwarm_bundle`'s, serving it the edge's.

use std::sync::Arc;

use bytes::Bytes;
use everwarm_bundle::{BundleError, Bundles, Contents, Library};
use everwarm_manifest::{App, AssetPath, Digest, TenantId};
use everwarm_store::Store as _;
use everwarm_store::accounts::Quotas;
use everwarm_store::artifacts::ArtifactError;
use everwarm_store::embedded::Embedded;

use crate::deploy::{Bundle, DeployError};
use crate::node::Node;

/// Bytes of files that a node keeps in memory, of all apps.
const ASSETS_BYTES_MAX: u64 = 256 << 20;

/// What a node keeps in memory of the files in its store.
pub(crate) fn library(store: &Arc<Embedded>) -> Arc<Library> {
    let bundles = Arc::new(StoredBundles(Arc::clone(store)));
    Library::new(bundles, ASSETS_BYTES_MAX)
}

/// The bundles of a store.
struct StoredBundles(Arc<Embedded>);

impl Bundles for StoredBundles {
    fn local_file(&self, tenant: &TenantId, bundle: Digest) -> std::path::PathBuf {
        self.0.artifact_path(tenant, bundle)
    }
}

impl Node {
    /// Looks at a bundle whole: whether it can be served, and has what the manifest names.
    pub(crate) async fn verified_bundle(
        &self,
        tenant: &TenantId,
        app: &App,
        bundle: Option<Bundle>,
    ) -> Result<Option<Bundle>, DeployError> {
        let Some(bundle) = bundle else {
            // Whether one is needed is told when the version is put together.
            return Ok(None);
        };
        let expected = match &bundle {
            Bundle::Bytes(_) => None,
            Bundle::Stored(digest) => {
                if !self.store.artifacts().contains(tenant, *digest).await? {
                    return Err(ArtifactError::NotFound { digest: *digest }.into());
                }
                Some(*digest)
            }
        };
        let source = match &bundle {
            Bundle::Bytes(bytes) => Source::Bytes(bytes.clone()),
            Bundle::Stored(digest) => Source::File(self.store.artifact_path(tenant, *digest)),
        };
        // Reading a large one takes a while: one tenant's keep no other's waiting for long.
        let _turn = self.code.turn(tenant).await;
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let contents = read.map_err(|error| BundleError::Io(std::io::Error::other(error)))??;
        if let Some(digest) = expected.filter(|digest| *digest != contents.digest) {
            let found = contents.digest;
            return Err(ArtifactError::Damaged { digest, found }.into());
        }
        check_named(app, &contents)?;
        Ok(Some(bundle))
    }

    /// Stores a bundle that isn't yet.
    pub(crate) async fn stored_bundle(
        &self,
        tenant: &TenantId,
        bundle: Bundle,
        quotas: Quotas,
    ) -> Result<Digest, DeployError> {
        match bundle {
            Bundle::Stored(digest) => Ok(digest),
            Bundle::Bytes(bytes) => {
                let artifacts = self.store.artifacts();
                Ok(artifacts.put(tenant, bytes, quotas.artifact_bytes).await?)
            }
        }
    }
}

enum Source {
    Bytes(Bytes),
    File(std::path::PathBuf),
}

impl Source {
    fn read(self) -> Result<Contents, BundleError> {
        match self {
            Self::Bytes(bytes) => everwarm_bundle::read(&*bytes),
            Self::File(path) => {
                let file = std::fs::File::open(path)?;
                everwarm_bundle::read(std::io::BufReader::with_capacity(64 << 10, file))
            }
        }
    }
}

/// Each folder has files, and the fallback is one of them. What no folder has is of no use, and nobody's.
fn check_named(app: &App, contents: &Contents) -> Result<(), DeployError> {
    for path in app.folders() {
        let mut files = contents.files.keys();
        if !files.any(|file| file.strip_folder(path).is_some()) {
            return Err(DeployError::NotInBundle(path.to_string()));
        }
    }
    for assets in &app.assets {
        if let Some(fallback) = &assets.fallback {
            let name = format!("{}/{fallback}", assets.path);
            let is_there =
                AssetPath::new(&name).is_ok_and(|file| contents.files.contains_key(&file));
            if !is_there {
                return Err(DeployError::NotInBundle(name));
            }
        }
    }
    let is_named = |file: &AssetPath| {
        let mut folders = app.folders();
        folders.any(|path| file.strip_folder(path).is_some())
    };
    match contents.files.keys().find(|file| !is_named(file)) {
        None => Ok(()),
        Some(_) => Err(BundleError::Form("it has files of no folder in the manifest").into()),
    }
}
