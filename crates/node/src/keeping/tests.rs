//! Over a store in a folder of its own.

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
        let text = format!("name = \"{app}\"\n[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"");
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
