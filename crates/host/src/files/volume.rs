//! The bundles that functions read, each once however many functions and instances do: found by tenant and digest, its
//! index read when somebody first looks, and let go like any other that is kept of files.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use everwarm_bundle::{FilesError, Held, Kept, Rest, Shelved, Stored};
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
    tree: Kept<Tree>,
    rest: Rest,
    this: Weak<Self>,
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
        let volume = Arc::new_cyclic(|this| Volume {
            stores: Arc::clone(stores),
            tenant: tenant.clone(),
            bundle,
            tree: Kept::default(),
            rest: Rest::default(),
            this: Weak::clone(this),
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
        let read = async {
            self.rest.is_over()?;
            match Stored::open(library, &self.tenant, self.bundle).await {
                Ok((stored, contents)) => {
                    let tree = Tree::of(&contents, &stored);
                    let size = tree.size();
                    Ok((tree, size))
                }
                Err(error) => {
                    self.rest.begin(&error);
                    Err(error)
                }
            }
        };
        let this: Weak<Self> = Weak::clone(&self.this);
        self.tree.get_or_make(library, this, read).await
    }
}

impl Shelved for Volume {
    fn let_go(&self) -> bool {
        self.tree.let_go()
    }
}
