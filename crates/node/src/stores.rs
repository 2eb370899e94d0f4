//! What the node keeps for its functions, as their capabilities find it. The engine is set up before the store is open,
//! so the store comes later.
//!
//! Owns how much an app may keep that nobody has given a quota. What is kept is the store's.

use std::sync::{Arc, OnceLock};

use everwarm_host::Stores;
use everwarm_manifest::TenantId;
use everwarm_store::Store as _;
use everwarm_store::embedded::Embedded;
use everwarm_store::kv::{KeyValue, KvQuota};

/// What the key-value data of each app may be.
const KV_QUOTA: KvQuota = KvQuota {
    entries_max: 1_000_000,
    bytes_max: 1 << 30,
};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct NodeStores {
    store: OnceLock<Arc<Embedded>>,
}

impl NodeStores {
    /// The store is open. Only the first one counts.
    pub(crate) fn open(&self, store: &Arc<Embedded>) {
        self.store.get_or_init(|| Arc::clone(store));
    }
}

impl Stores for NodeStores {
    fn kv(&self) -> Option<&dyn KeyValue> {
        self.store.get().map(|store| store.kv())
    }

    fn kv_quota(&self, _tenant: &TenantId) -> KvQuota {
        KV_QUOTA
    }
}
