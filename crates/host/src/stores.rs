//! What a node keeps for its functions, as their capabilities find it: the port behind which the node is.

use std::sync::Arc;

use everwarm_bundle::Library;
use everwarm_cache::store::Store;
use everwarm_manifest::TenantId;
use everwarm_store::StoreFuture;
use everwarm_store::blobs::{BlobQuota, Blobs};
use everwarm_store::kv::{KeyValue, KvQuota};
use everwarm_store::sql::Databases;
use everwarm_store::triggers::{MessageId, NewMessage, TriggerError, TriggerId};

/// What comes of sending messages: their names in their order.
pub type Sending<'a> = StoreFuture<'a, Result<Vec<MessageId>, TriggerError>>;

/// What a node keeps for its functions.
pub trait Stores: Send + Sync {
    /// Key-value data; `None` until the node has opened its store.
    fn kv(&self) -> Option<&dyn KeyValue>;

    /// SQL databases; `None` until the node has opened its store.
    fn sql(&self) -> Option<&dyn Databases>;

    /// Values that are kept in memory for a time.
    fn kept(&self) -> &Arc<Store>;

    /// Blobs; `None` until the node has opened its store.
    fn blobs(&self) -> Option<&dyn Blobs>;

    /// Through what the files of apps are read; `None` until the node has opened its store.
    fn files(&self) -> Option<&Arc<Library>>;

    /// How much each app of a tenant may keep in blobs.
    fn blob_quota(&self, tenant: &TenantId) -> BlobQuota;

    /// Keeps messages for one of an app's queues, and has them delivered; `None` until the node has opened its store.
    fn send<'a>(&'a self, to: &'a TriggerId, messages: Vec<NewMessage>) -> Option<Sending<'a>>;

    /// How much each app of a tenant may keep. Called before each write, so it is quick.
    fn kv_quota(&self, tenant: &TenantId) -> KvQuota;
}
