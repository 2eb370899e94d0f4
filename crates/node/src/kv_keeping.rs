//! Keeping what apps keep in order: key-value data that has expired and messages that died long ago are swept, and what was
//! an app's that is gone is removed, its SQL databases, queues and blobs too.
//!
//! Owns when, and that nothing is taken but from an app that was removed: what a catalog doesn't know may be in it again
//! tomorrow, when it was lost and the apps are deployed anew. One task does all of it, and ends with its owner.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use everwarm_store::Store as _;
use everwarm_store::blobs::BlobError;
use everwarm_store::catalog::{CatalogError, UnixMillis};
use everwarm_store::embedded::Embedded;
use everwarm_store::kv::{KvError, SWEEP_MAX};
use everwarm_store::sql::SqlError;
use everwarm_store::triggers::{self, TriggerError};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::apps::AppKey;
use crate::locks::AppLocks;

/// How often something is swept when there was nothing more to sweep.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// The pause before more is swept: writes of functions go on meanwhile.
const SWEEP_MORE_AFTER: Duration = Duration::from_secs(2);
/// Sweeps between two pauses. Each is a write of its own, with others' between them.
const SWEEPS_IN_A_ROW: u32 = 4;
/// As [`SWEEPS_IN_A_ROW`], of blobs: most look into a folder and find nothing.
const BLOB_SWEEPS_IN_A_ROW: u32 = 64;
/// How often data without an app is looked for.
const ORPHANS_EVERY: Duration = Duration::from_hours(1);
/// How long dead messages of queues are kept.
const DEAD_KEPT_MS: u64 = 14 * 24 * 3_600_000;
/// Apps that are asked for at once.
const APPS_A_PAGE: u32 = 1_000;

/// See the module's documentation. Dropping it ends the task.
pub(crate) struct KvKeeping {
    keeper: Arc<Keeper>,
    task: JoinHandle<()>,
}

impl KvKeeping {
    /// Begins, with a search for data without an app.
    pub(crate) fn start(store: Arc<Embedded>, locks: Arc<AppLocks>) -> Self {
        let keeper = Arc::new(Keeper {
            store,
            locks,
            swept: AtomicU64::new(0),
        });
        let task = tokio::spawn({
            let keeper = Arc::clone(&keeper);
            async move { keeper.run().await }
        });
        Self { keeper, task }
    }

    /// Entries that were swept since the start.
    pub(crate) fn swept(&self) -> u64 {
        self.keeper.swept.load(Ordering::Relaxed)
    }

    /// Ends it; what the store was asked already it does.
    pub(crate) fn end(&self) {
        self.task.abort();
    }
}

impl Drop for KvKeeping {
    fn drop(&mut self) {
        self.end();
    }
}

/// Data without an app can't be looked for.
#[derive(Debug, thiserror::Error)]
enum OrphanError {
    /// The catalog doesn't say which apps there are.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Key-value data can't be read or removed.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// SQL databases can't be listed or removed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// Queues can't be listed or removed.
    #[error(transparent)]
    Triggers(#[from] TriggerError),
    /// Blobs can't be listed or removed.
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

/// What an app keeps that may outlive it.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// By key.
    Values,
    /// In SQL databases.
    Databases,
    /// In queues and schedules.
    Messages,
    /// As streams.
    Blobs,
}

struct Keeper {
    store: Arc<Embedded>,
    locks: Arc<AppLocks>,
    swept: AtomicU64,
}

impl Keeper {
    async fn run(&self) {
        let mut orphans_due = Instant::now();
        loop {
            if Instant::now() >= orphans_due {
                if let Err(error) = self.remove_orphans().await {
                    tracing::error!(%error, "data of removed apps can't be looked for");
                }
                orphans_due = Instant::now() + ORPHANS_EVERY;
            }
            let (values, messages) = (self.sweep().await, self.sweep_messages().await);
            let blobs = self.sweep_blobs().await;
            tokio::time::sleep(values.min(messages).min(blobs)).await;
        }
    }

    /// Sweeps for a while. Says when to go on.
    async fn sweep(&self) -> Duration {
        for _ in 0..SWEEPS_IN_A_ROW {
            match self.store.kv().sweep(UnixMillis::now(), SWEEP_MAX).await {
                Ok(swept) => {
                    let entries = u64::from(swept.entries);
                    self.swept.fetch_add(entries, Ordering::Relaxed);
                    if !swept.more {
                        return SWEEP_EVERY;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "key-value data that has expired can't be removed");
                    return SWEEP_EVERY;
                }
            }
        }
        SWEEP_MORE_AFTER
    }

    /// As [`Self::sweep`], for messages that died long ago, and those of removed apps.
    async fn sweep_messages(&self) -> Duration {
        let dead_before = UnixMillis(UnixMillis::now().0.saturating_sub(DEAD_KEPT_MS));
        for _ in 0..SWEEPS_IN_A_ROW {
            let swept = self
                .store
                .triggers()
                .sweep(dead_before, triggers::SWEEP_MAX);
            match swept.await {
                Ok(swept) if !swept.more => return SWEEP_EVERY,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "old messages can't be removed from queues");
                    return SWEEP_EVERY;
                }
            }
        }
        SWEEP_MORE_AFTER
    }

    /// As [`Self::sweep`], files of blobs that nobody needs.
    async fn sweep_blobs(&self) -> Duration {
        for _ in 0..BLOB_SWEEPS_IN_A_ROW {
            match self.store.blobs().sweep().await {
                Ok(false) => return SWEEP_EVERY,
                Ok(true) => {}
                Err(error) => {
                    tracing::error!(%error, "files of blobs that nobody needs can't be removed");
                    return SWEEP_EVERY;
                }
            }
        }
        SWEEP_MORE_AFTER
    }

    /// Removes the data of apps that were removed: the removal was cut short, or a request that was in wrote once more.
    async fn remove_orphans(&self) -> Result<(), OrphanError> {
        for kind in [Kind::Values, Kind::Databases, Kind::Messages, Kind::Blobs] {
            let mut after: Option<AppKey> = None;
            loop {
                let page = self.apps(kind, after.as_ref()).await?;
                for key in &page {
                    if self.remove_if_orphan(kind, key).await? {
                        let (tenant, app) = key;
                        tracing::info!(%tenant, %app, ?kind, "data of an app that is gone is removed");
                    }
                }
                after = page.into_iter().next_back();
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The apps that have data of a kind.
    async fn apps(&self, kind: Kind, after: Option<&AppKey>) -> Result<Vec<AppKey>, OrphanError> {
        let from = after.map(|(tenant, app)| (tenant, app));
        Ok(match kind {
            Kind::Values => self.store.kv().apps(from, APPS_A_PAGE).await?,
            Kind::Databases => self.store.sql().apps(from, APPS_A_PAGE).await?,
            Kind::Messages => self.store.triggers().apps(from, APPS_A_PAGE).await?,
            Kind::Blobs => self.store.blobs().apps(from, APPS_A_PAGE).await?,
        })
    }

    async fn remove_if_orphan(&self, kind: Kind, key: &AppKey) -> Result<bool, OrphanError> {
        let ((tenant, app), catalog) = (key, self.store.catalog());
        if !catalog.is_removed(tenant, app).await? {
            return Ok(false);
        }
        // A deploy that is under way holds it until there is an app of that name again, or won't be.
        let _nobody_deploys = self.locks.lock(key).await;
        if !catalog.is_removed(tenant, app).await? {
            return Ok(false);
        }
        Ok(match kind {
            Kind::Values => self.store.kv().remove_app(tenant, app).await?,
            Kind::Databases => self.store.sql().remove_app(tenant, app).await?,
            Kind::Messages => self.store.triggers().remove_app(tenant, app).await?,
            Kind::Blobs => self.store.blobs().remove_app(tenant, app).await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use everwarm_manifest::{App, TenantId, World};
    use everwarm_store::audit::Action;
    use everwarm_store::catalog::{Component, NewVersion};
    use everwarm_store::kv::{Bucket, BucketName, Kept, Key, KvQuota, NewValue};
    use futures_util::FutureExt as _;

    use super::*;
    use crate::operate::{Actor, note};

    struct Fixture {
        keeper: Keeper,
        _dir: tempfile::TempDir,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        Fixture {
            keeper: Keeper {
                store: Arc::new(Embedded::open(dir.path()).unwrap()),
                locks: Arc::default(),
                swept: AtomicU64::new(0),
            },
            _dir: dir,
        }
    }

    fn key(app: &str) -> AppKey {
        (TenantId::default_tenant(), app.parse().unwrap())
    }

    impl Keeper {
        async fn set(&self, (tenant, app): &AppKey, name: &str, expires: Option<UnixMillis>) {
            let bucket = Bucket {
                tenant: tenant.clone(),
                app: app.clone(),
                name: BucketName::new("default").unwrap(),
            };
            let value = NewValue {
                bytes: "value".into(),
                expires,
            };
            let (name, now) = (Key::new(name).unwrap(), UnixMillis(0));
            let kv = self.store.kv();
            let set = kv.set(&bucket, &name, value, KvQuota::NONE, now).await;
            set.unwrap();
        }

        async fn kept(&self, (tenant, app): &AppKey) -> Kept {
            self.store.kv().kept(tenant, app).await.unwrap()
        }

        async fn remove(&self, (tenant, app): &AppKey) {
            let note = note(
                &Actor::node(),
                Action::RemoveApp,
                app.as_str(),
                String::new(),
            );
            let removed = self.store.catalog().remove_app(tenant, app, note).await;
            assert!(removed.unwrap());
        }

        async fn deploy(&self, (tenant, app): &AppKey) {
            let component = bytes::Bytes::from_static(b"component");
            let put = self
                .store
                .artifacts()
                .put(tenant, component, u64::MAX)
                .await;
            let component = Component {
                digest: put.unwrap(),
                world: World::Wasi02,
            };
            let text =
                format!("name = \"{app}\"\n[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"");
            let manifest = App::parse(&text, "everwarm.toml").unwrap();
            let components = BTreeMap::from([("f".parse().unwrap(), component)]);
            let version = NewVersion::new(manifest, components, UnixMillis(0)).unwrap();
            let catalog = self.store.catalog();
            catalog.put_version(tenant, version, 10).await.unwrap();
        }
    }

    #[tokio::test]
    async fn data_of_an_app_that_was_removed_is_removed_and_no_other() {
        let Fixture { keeper, _dir } = fixture();
        let [gone, there, unknown] = ["gone", "there", "unknown"].map(key);
        keeper.deploy(&gone).await;
        keeper.deploy(&there).await;
        keeper.remove(&gone).await;
        for app in [&gone, &there, &unknown] {
            keeper.set(app, "a", None).await;
        }
        keeper.remove_orphans().await.unwrap();
        assert_eq!(keeper.kept(&gone).await, Kept::default());
        assert_eq!(keeper.kept(&there).await.entries, 1);
        // As with a catalog that was lost: the app may be deployed again.
        assert_eq!(keeper.kept(&unknown).await.entries, 1);
    }

    #[tokio::test]
    async fn databases_of_an_app_that_was_removed_are_removed_and_no_others() {
        use everwarm_store::sql::{Database, Statement, Terms};

        let Fixture { keeper, _dir } = fixture();
        let [gone, there, unknown] = ["gone", "there", "unknown"].map(key);
        keeper.deploy(&gone).await;
        keeper.deploy(&there).await;
        keeper.remove(&gone).await;
        let sql = keeper.store.sql();
        for (tenant, app) in [&gone, &there, &unknown] {
            let database = Database {
                tenant: tenant.clone(),
                app: app.clone(),
                name: "default".parse().unwrap(),
            };
            let mut connection = sql.connect(&database, Terms::default());
            let table = Statement::new("CREATE TABLE t (id INTEGER)");
            connection.execute(table).await.unwrap();
        }
        keeper.remove_orphans().await.unwrap();
        let left = sql.apps(None, APPS_A_PAGE).await.unwrap();
        assert_eq!(left, [there, unknown]);
    }

    #[tokio::test]
    async fn messages_of_an_app_that_was_removed_are_removed_and_no_others() {
        use everwarm_store::triggers::{
            Content, KeptMessages, NewMessage, Trigger, TriggerId, TriggerQuota,
        };

        let Fixture { keeper, _dir } = fixture();
        let [gone, there] = ["gone", "there"].map(key);
        keeper.deploy(&gone).await;
        keeper.deploy(&there).await;
        keeper.remove(&gone).await;
        let triggers = keeper.store.triggers();
        for (tenant, app) in [&gone, &there] {
            let queue = TriggerId {
                tenant: tenant.clone(),
                app: app.clone(),
                trigger: Trigger::Queue("mails".parse().unwrap()),
            };
            let message = NewMessage {
                content: Content::default(),
                due: UnixMillis(0),
            };
            let sent = triggers.send(&queue, vec![message], TriggerQuota::NONE, UnixMillis(0));
            sent.await.unwrap();
        }
        keeper.remove_orphans().await.unwrap();
        let kept = async |(tenant, app): &AppKey| triggers.kept(tenant, app).await.unwrap();
        assert_eq!(kept(&gone).await, KeptMessages::default());
        assert_eq!(kept(&there).await.messages, 1);
    }

    #[tokio::test]
    async fn blobs_of_an_app_that_was_removed_are_removed_and_no_others() {
        use everwarm_store::blobs::{BlobId, BlobName, BlobQuota, Condition, Container, KeptBlobs};

        let Fixture { keeper, _dir } = fixture();
        let [gone, there] = ["gone", "there"].map(key);
        keeper.deploy(&gone).await;
        keeper.deploy(&there).await;
        keeper.remove(&gone).await;
        let blobs = keeper.store.blobs();
        for (tenant, app) in [&gone, &there] {
            let container = Container {
                tenant: tenant.clone(),
                app: app.clone(),
                name: "photos".parse().unwrap(),
            };
            let name = BlobName::new("a").unwrap();
            let blob = BlobId { container, name };
            let upload = blobs.put(&blob, None, BlobQuota::NONE).await.unwrap();
            upload.finish(Condition::Any, UnixMillis(0)).await.unwrap();
        }
        keeper.remove_orphans().await.unwrap();
        assert_eq!(keeper.sweep_blobs().await, SWEEP_EVERY);
        let kept = async |(tenant, app): &AppKey| blobs.kept(tenant, app).await.unwrap();
        assert_eq!(kept(&gone).await, KeptBlobs::default());
        assert_eq!(kept(&there).await.blobs, 1);
    }

    #[tokio::test]
    async fn data_of_an_app_that_is_being_deployed_stays() {
        let Fixture { keeper, _dir } = fixture();
        let key = key("new");
        keeper.deploy(&key).await;
        keeper.remove(&key).await;
        keeper.set(&key, "a", None).await;
        let deploying = keeper.locks.lock(&key).await;
        let mut search = Box::pin(keeper.remove_orphans());
        // It asks the catalog, which answers one after another: once it has answered this, it has answered that.
        assert!((&mut search).now_or_never().is_none());
        let is_removed = keeper.store.catalog().is_removed(&key.0, &key.1).await;
        assert!(is_removed.unwrap());
        assert!(
            (&mut search).now_or_never().is_none(),
            "it waits for the deploy"
        );
        keeper.deploy(&key).await;
        drop(deploying);
        search.await.unwrap();
        assert_eq!(keeper.kept(&key).await.entries, 1);
    }

    #[tokio::test]
    async fn what_has_expired_is_swept_and_counted() {
        let Fixture { keeper, _dir } = fixture();
        let key = key("shop");
        let past = Some(UnixMillis(1));
        for name in ["a", "b"] {
            keeper.set(&key, name, past).await;
        }
        keeper.set(&key, "c", None).await;
        assert_eq!(keeper.sweep().await, SWEEP_EVERY);
        assert_eq!(keeper.kept(&key).await.entries, 1);
        assert_eq!(keeper.swept.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn more_than_a_row_of_sweeps_takes_is_gone_on_with_soon() {
        let Fixture { keeper, _dir } = fixture();
        let key = key("shop");
        let bucket = Bucket {
            tenant: key.0.clone(),
            app: key.1.clone(),
            name: BucketName::new("default").unwrap(),
        };
        let count = SWEEP_MAX * SWEEPS_IN_A_ROW + 1;
        for batch in 0..count.div_ceil(100) {
            let names = (batch * 100..count.min(batch * 100 + 100)).map(|number| {
                let value = NewValue {
                    bytes: bytes::Bytes::new(),
                    expires: Some(UnixMillis(1)),
                };
                (Key::new(&number.to_string()).unwrap(), value)
            });
            let kv = keeper.store.kv();
            let set = kv.set_many(&bucket, names.collect(), KvQuota::NONE, UnixMillis(0));
            set.await.unwrap();
        }
        assert_eq!(keeper.sweep().await, SWEEP_MORE_AFTER);
        assert_eq!(keeper.sweep().await, SWEEP_EVERY);
        assert_eq!(keeper.swept.load(Ordering::Relaxed), u64::from(count));
    }
}
