//! What the node keeps for its functions, as their capabilities find it. The engine is set up before the store is open,
//! so the store comes later.
//!
//! Owns nothing but the way there: what is kept is the store's, and how much may be is `app_quotas`'.

use std::sync::{Arc, OnceLock, Weak};

use everwarm_bundle::Library;
use everwarm_cache::store::Store;
use everwarm_edge::services::ServiceCalls;
use everwarm_host::{NodeSide, SecretBook, Sending, Stores};
use everwarm_manifest::TenantId;
use everwarm_store::Store as _;
use everwarm_store::blobs::{BlobQuota, Blobs};
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::Embedded;
use everwarm_store::kv::{KeyValue, KvQuota};
use everwarm_store::sql::Databases;
use everwarm_store::triggers::{NewMessage, TriggerId};
use everwarm_triggers::Runner;

use crate::app_quotas::AppQuotas;
use crate::config::NodeConfig;
use crate::kept_answers::{CacheRoom, KeptAnswers};
use crate::telemetry::otlp::{Both, Otlp};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct NodeStores {
    store: OnceLock<Arc<Embedded>>,
    library: OnceLock<Arc<Library>>,
    /// Weak: it calls functions, which have what leads here.
    triggers: OnceLock<Weak<Runner>>,
    pub(crate) kept: Arc<KeptAnswers>,
    pub(crate) quotas: Arc<AppQuotas>,
}

impl NodeStores {
    pub(crate) fn new(cache: CacheRoom) -> Self {
        Self {
            store: OnceLock::new(),
            library: OnceLock::new(),
            triggers: OnceLock::new(),
            kept: Arc::new(KeptAnswers::new(cache)),
            quotas: Arc::default(),
        }
    }

    /// The store is open, and files are read through `library`. Only the first ones count.
    pub(crate) fn open(&self, store: &Arc<Embedded>, library: &Arc<Library>) {
        self.store.get_or_init(|| Arc::clone(store));
        self.library.get_or_init(|| Arc::clone(library));
    }

    /// Messages are delivered by `runner`. Only the first one counts.
    pub(crate) fn deliver_by(&self, runner: &Arc<Runner>) {
        self.triggers.get_or_init(|| Arc::downgrade(runner));
    }
}

impl Stores for NodeStores {
    fn kv(&self) -> Option<&dyn KeyValue> {
        self.store.get().map(|store| store.kv())
    }

    fn sql(&self) -> Option<&dyn Databases> {
        self.store.get().map(|store| store.sql())
    }

    fn blobs(&self) -> Option<&dyn Blobs> {
        self.store.get().map(|store| store.blobs())
    }

    fn files(&self) -> Option<&Arc<Library>> {
        self.library.get()
    }

    fn blob_quota(&self, tenant: &TenantId) -> BlobQuota {
        self.quotas.quota(tenant).blobs
    }

    fn send<'a>(&'a self, to: &'a TriggerId, messages: Vec<NewMessage>) -> Option<Sending<'a>> {
        let store = self.store.get()?;
        Some(Box::pin(async move {
            let quota = self.quotas.quota(&to.tenant).messages;
            let sent = store
                .triggers()
                .send(to, messages, quota, UnixMillis::now());
            let ids = sent.await?;
            if let Some(runner) = self.triggers.get().and_then(Weak::upgrade) {
                runner.wake(to);
            }
            Ok(ids)
        }))
    }

    fn kept(&self) -> &Arc<Store> {
        &self.kept.store
    }

    fn kv_quota(&self, tenant: &TenantId) -> KvQuota {
        self.quotas.quota(tenant).kv
    }
}

/// What capabilities have of the node.
pub(crate) fn side(
    config: &NodeConfig,
    services: &Arc<ServiceCalls>,
    stores: &Arc<NodeStores>,
    secrets: &Arc<SecretBook>,
    otlp: Option<&Arc<Otlp>>,
) -> NodeSide {
    let book = Arc::clone(&config.logs);
    NodeSide {
        output: Some(match otlp {
            Some(otlp) => Arc::new(Both(book, Arc::clone(otlp))) as _,
            None => book as _,
        }),
        services: Some(Arc::clone(services) as _),
        stores: Some(Arc::clone(stores) as _),
        secrets: Arc::clone(secrets),
        spans: otlp.map(|otlp| Arc::clone(otlp) as _),
    }
}
