//! Key-value data: `wasi:keyvalue` 0.2.0-draft2 and what it lacks, on the node's store.
//!
//! Owns which of its app's stores a function may open. What can be done with one is in `bucket`; `convert` knows the
//! interfaces. Where the data is kept, and how much an app may keep, is told by [`Stores`].

mod bucket;
mod convert;

use std::sync::Arc;

use everwarm_cache::store::Store;
use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::{TenantId, World};
use everwarm_store::kv::{self, Bucket, BucketName, KvQuota};
use everwarm_store::sql::Databases;
use wasmtime::component::{HasSelf, Linker};

use crate::GuestOutput;
use crate::notice::Notices;
#[expect(
    unreachable_pub,
    reason = "the generated bindings name them as public types"
)]
pub use bucket::{Cas, OpenBucket};
use bucket::{Opened, Refused};
use convert::bindings;

/// What a node keeps for its functions.
pub trait Stores: Send + Sync {
    /// Key-value data; `None` until the node has opened its store.
    fn kv(&self) -> Option<&dyn kv::KeyValue>;

    /// SQL databases; `None` until the node has opened its store.
    fn sql(&self) -> Option<&dyn Databases>;

    /// Values that are kept in memory for a time.
    fn kept(&self) -> &Arc<Store>;

    /// How much each app of a tenant may keep. Called before each write, so it is quick.
    fn kv_quota(&self, tenant: &TenantId) -> KvQuota;
}

/// See the module's documentation.
pub struct KeyValue {
    stores: Option<Arc<dyn Stores>>,
    output: Option<Arc<dyn GuestOutput>>,
}

impl KeyValue {
    /// Functions find their data in `stores`; without, there are none.
    pub fn new(stores: Option<Arc<dyn Stores>>, output: Option<Arc<dyn GuestOutput>>) -> Self {
        Self { stores, output }
    }
}

impl std::fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyValue").finish_non_exhaustive()
    }
}

/// What one function may open.
struct Granted {
    buckets: Vec<OpenBucket>,
    notices: Arc<Notices>,
}

impl Granted {
    fn open(&self, name: &str) -> Result<OpenBucket, Refused> {
        let is_meant = |bucket: &&OpenBucket| bucket.name() == name;
        if let Some(bucket) = self.buckets.iter().find(is_meant) {
            return Ok(bucket.clone());
        }
        if BucketName::new(name).is_err() {
            return Err(Refused::NoSuchStore);
        }
        self.notices.store_denied(name);
        Err(Refused::AccessDenied)
    }
}

impl Capability for KeyValue {
    fn name(&self) -> &'static str {
        "key-value"
    }

    fn interfaces(&self, _world: World) -> &'static [&'static str] {
        &[
            "wasi:keyvalue/store@0.2.0-draft2",
            "wasi:keyvalue/atomics@0.2.0-draft2",
            "wasi:keyvalue/batch@0.2.0-draft2",
            "everwarm:keyvalue/entries@0.1.0",
        ]
    }

    fn link(&self, linker: &mut Linker<Sandbox>, _world: World) -> wasmtime::Result<()> {
        use bindings::everwarm::keyvalue::entries;
        use bindings::wasi::keyvalue::{atomics, batch, store};

        fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
            sandbox
        }
        store::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
        atomics::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
        batch::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
        entries::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)
    }

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        let notices = Arc::new(Notices::new(function, self.output.clone()));
        let open = |stores: &Arc<dyn Stores>, name: &BucketName| {
            OpenBucket(Arc::new(Opened {
                bucket: Bucket {
                    tenant: function.tenant.clone(),
                    app: function.app.clone(),
                    name: name.clone(),
                },
                stores: Arc::clone(stores),
                notices: Arc::clone(&notices),
            }))
        };
        let buckets = match &self.stores {
            Some(stores) => function
                .grants
                .kv
                .iter()
                .map(|name| open(stores, name))
                .collect(),
            None => Vec::new(),
        };
        Ok(Arc::new(Granted { buckets, notices }))
    }

    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}
