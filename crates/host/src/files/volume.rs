//! The bundles that functions read, each once however many functions and instances do: found by tenant and digest, its
//! index read when somebody first looks, and let go like any other that is kept of files.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use everwarm_bundle::{Contents, FilesError, Held, Kept, Rest, Stored};
use everwarm_manifest::{Digest, TenantId};
use parking_lot::Mutex;

use super::tree::Tree;
use crate::Stores;

/// The bundles that functions are configured to read.
#[derive(Default)]
pub(super) struct Volumes(Mutex<HashMap<(TenantId, Digest), Weak<Volume>>>);

/// A bundle.
pub(super) struct Volume {
    stores: Arc<dyn Stores>,
    tenant: TenantId,
    bundle: Digest,
    tree: Arc<Kept<Tree>>,
    rest: Arc<Rest>,
}

impl Volumes {
    /// The bundle of a tenant; the same for the same one.
    pub(super) fn get(
        &self,
        tenant: &TenantId,
        bundle: Digest,
        stores: &Arc<dyn Stores>,
    ) -> Arc<Volume> {
        let mut all = self.0.lock();
        let key = (tenant.clone(), bundle);
        if let Some(volume) = all.get(&key).and_then(Weak::upgrade) {
            return volume;
        }
        all.retain(|_, volume| volume.strong_count() > 0);
        let volume = Arc::new(Volume {
            stores: Arc::clone(stores),
            tenant: tenant.clone(),
            bundle,
            tree: Arc::default(),
            rest: Arc::default(),
        });
        all.insert(key, Arc::downgrade(&volume));
        volume
    }
}

impl Volume {
    fn at_hand(&self) -> Option<Arc<Held<Tree>>> {
        let guard = self.tree.get()?;
        guard.as_ref().map(Arc::clone)
    }

    /// What is in it. However many ask, it is read once.
    pub(super) async fn tree(&self) -> Result<Arc<Held<Tree>>, FilesError> {
        if let Some(tree) = self.at_hand() {
            return Ok(tree);
        }
        let Some(library) = self.stores.files() else {
            return Err(FilesError::Machine("the node has just started".into()));
        };
        let (tenant, bundle, rest) = (self.tenant.clone(), self.bundle, Arc::clone(&self.rest));
        let stock = Arc::clone(library);
        let read = async move {
            rest.is_over()?;
            let index = |stored: &Arc<Stored>, contents: &Contents| {
                let tree = Tree::of(contents, stored);
                let size = tree.size();
                (tree, size)
            };
            let opened = Stored::open(&stock, &tenant, bundle, index).await;
            opened.inspect_err(|error| rest.begin(error))
        };
        self.tree.get_or_make(library, read).await
    }
}
