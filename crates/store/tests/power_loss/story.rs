//! What a node asks of its store in its life, and what can be seen of it.
//!
//! Owns the steps and what a reader sees after each. Knows nothing of disks.

// By their paths, for another test takes this file too.
#[path = "messages.rs"]
mod queue;
#[path = "rows.rs"]
mod sql;
#[path = "streams.rs"]
mod streams;

use std::collections::BTreeMap;

use bytes::Bytes;
use everwarm_manifest::{
    App, AppName, ConfigName, FunctionName, HostPattern, RoutePattern, TenantId, World,
};
use everwarm_store::Store as _;
use everwarm_store::accounts::{Accounts as _, Quotas, Scope, Token, TokenId};
use everwarm_store::artifacts::{Artifacts as _, digest_of};
use everwarm_store::audit::{Action, Audit as _, Note};
use everwarm_store::catalog::{Catalog as _, Component, NewVersion, UnixMillis, VersionId};
use everwarm_store::embedded::Embedded;
use everwarm_store::kv::{Bucket, BucketName, Key, KeyValue, KvQuota, NewValue, Revision};
use everwarm_store::secrets::{NewSecret, SecretBounds, SecretsOf};
use everwarm_store::traffic::{Canary, Percent, Traffic};
use everwarm_store::usage::{Batch, Row, Sums, UnixHour, UsageLog as _};

pub(crate) use queue::QUEUE_STORY;
#[allow(unused_imports, reason = "another test of these takes them")]
pub(crate) use queue::{Ask, Came, messages, queue};
pub(crate) use sql::SQL_STORY;
#[allow(unused_imports, reason = "another test of these takes it")]
pub(crate) use sql::database;
#[allow(unused_imports, reason = "another test of these takes it")]
pub(crate) use streams::{BLOB_STORY, Stream};

/// More than a sector, and no whole number of them.
const COMPONENT_BYTES: usize = 5_000;
/// Functions that a batch of usage has rows of: enough to fill some pages.
const FUNCTIONS: u16 = 40;
/// Later than anything here was written.
const LATER: UnixMillis = UnixMillis(u64::MAX >> 1);

/// One call of a port.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Tenant,
    Token(u8),
    Revoke(u8),
    Upload(u8),
    Version(&'static str, u8),
    Promote(&'static str, u8),
    Canary(&'static str, u8, u8),
    Usage(u64),
    Prune(&'static str, u32),
    /// Sealed bytes, so many, of one byte.
    Secret(u8, usize),
    SecretBack,
    /// Sealed anew: the byte before, and the byte after.
    Reseal(u8, u8),
    SecretGone,
    Remove(&'static str),
    Collect,
    /// A value of so many bytes, and until when it is kept.
    Set(&'static str, usize, Option<u64>),
    SetMany(&'static [&'static str], usize),
    Delete(&'static str),
    DeleteMany(&'static [&'static str]),
    Increment(&'static str, i64),
    Swap(&'static str, Option<u64>, usize),
    Sweep(u64),
    RemoveValues,
    /// So many of the story's migrations.
    Migrate(usize),
    Execute(&'static str),
    Batch(&'static [&'static str]),
    /// Whether it is kept.
    Transaction(&'static [&'static str], bool),
    RemoveDatabases,
    Queue(Ask),
    Stream(Stream),
}

/// Deploys, a canary, a promotion, a rollback, usage, pruning, removal, collection, and a deploy of what was collected.
pub(crate) const STORY: &[Step] = &[
    Step::Tenant,
    Step::Token(1),
    Step::Upload(1),
    Step::Version("shop", 1),
    Step::Promote("shop", 1),
    Step::Usage(1),
    Step::Upload(2),
    Step::Version("shop", 2),
    Step::Canary("shop", 1, 2),
    Step::Promote("shop", 2),
    Step::Usage(2),
    Step::Promote("shop", 1),
    Step::Token(2),
    Step::Revoke(1),
    Step::Upload(3),
    Step::Version("blog", 3),
    Step::Promote("blog", 3),
    Step::Upload(4),
    Step::Version("blog", 4),
    Step::Promote("blog", 4),
    Step::Secret(1, 40),
    Step::Secret(2, 9_000),
    Step::SecretBack,
    Step::Reseal(1, 3),
    Step::Collect,
    Step::Prune("shop", 1),
    Step::Remove("blog"),
    Step::Collect,
    Step::Upload(3),
    Step::Version("blog", 3),
    Step::Promote("blog", 3),
    Step::SecretGone,
    Step::Secret(4, 40),
    Step::Usage(3),
    // Whatever was cut while they were made, the other files are written to.
    Step::Increment("written", 1),
    Step::Queue(Ask::Send(1, 10)),
    Step::Stream(Stream::Put("a", 10)),
];

/// Key-value data of an app: values of one page and of several, numbers, states, batches, sweeps, removal.
pub(crate) const KV_STORY: &[Step] = &[
    Step::Set("a", 10, None),
    Step::Set("b", 6_000, None),
    Step::Increment("n", 5),
    Step::Set("a", 20, Some(50)),
    Step::Swap("b", Some(2), 30),
    Step::Swap("c", None, 5_000),
    Step::SetMany(&["d", "e", "f", "a", "g"], 1_500),
    Step::Increment("n", -7),
    Step::Delete("b"),
    Step::Set("old", 3_000, Some(90)),
    Step::Set("older", 10, Some(80)),
    Step::DeleteMany(&["c", "e", "none"]),
    // The store is opened again here.
    Step::Increment("n", 1),
    Step::Sweep(85),
    Step::Swap("d", Some(7), 40),
    Step::Sweep(95),
    Step::SetMany(&["x", "y", "z"], 4_000),
    Step::RemoveValues,
    Step::Set("a", 10, None),
    Step::Sweep(95),
    Step::Increment("n", 3),
    Step::Swap("n", Some(21), 1),
];
/// When steps are done.
pub(crate) const NOW: UnixMillis = UnixMillis(70);

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

impl Step {
    /// Does it. `Ok` is an acknowledgement.
    pub(crate) async fn run(self, store: &Embedded) -> Outcome {
        let tenant = tenant();
        match self {
            Self::Tenant => {
                let note = note(Action::PutTenant, "acme");
                store.put_tenant(&tenant, Quotas::default(), note).await?;
            }
            Self::Token(marker) => {
                let note = note(Action::PutToken, "ci");
                store.put_token(token(marker), 10, note).await?;
            }
            Self::Revoke(marker) => {
                let (id, note) = (token(marker).id, note(Action::RemoveToken, "ci"));
                store.remove_token(Some(&tenant), id, note).await?;
            }
            Self::Upload(marker) => {
                store.put(&tenant, bytes(marker), u64::MAX).await?;
            }
            Self::Version(app, marker) => {
                store.put_version(&tenant, version(app, marker), 10).await?;
            }
            Self::Promote(app, marker) => {
                let traffic = Traffic::all_to(version(app, marker).id());
                set_traffic(store, app, traffic).await?;
            }
            Self::Canary(app, main, canary) => {
                let traffic = Traffic {
                    canary: Some(Canary {
                        version: version(app, canary).id(),
                        percent: Percent::new(10)?,
                        sticky_header: None,
                    }),
                    ..Traffic::all_to(version(app, main).id())
                };
                set_traffic(store, app, traffic).await?;
            }
            Self::Usage(number) => store.add(batch(number)).await?,
            Self::Prune(app, keep) => {
                let app = AppName::new(app)?;
                store.prune_versions(&tenant, &app, keep).await?;
            }
            Self::Remove(app) => {
                let note = note(Action::RemoveApp, app);
                store.remove_app(&tenant, &AppName::new(app)?, note).await?;
            }
            Self::Collect => {
                store.collect(LATER).await?;
            }
            Self::Secret(..) | Self::SecretBack | Self::Reseal(..) | Self::SecretGone => {
                return self.run_on_secrets(store.secrets()).await;
            }
            Self::Migrate(_)
            | Self::Execute(_)
            | Self::Batch(_)
            | Self::Transaction(..)
            | Self::RemoveDatabases => return sql::run(self, store.sql()).await,
            Self::Queue(ask) => return queue::run(ask, store.triggers()).await,
            Self::Stream(stream) => return streams::run(store.blobs(), stream).await,
            _ => return self.run_on_values(store.kv()).await,
        }
        Ok(())
    }

    async fn run_on_secrets(self, secrets: &dyn everwarm_store::secrets::Secrets) -> Outcome {
        let (shop, name) = (secrets_of_shop(), ConfigName::new("KEY")?);
        match self {
            Self::Secret(byte, len) => {
                let new = NewSecret {
                    version: secrets.next_version(&shop, &name).await?,
                    sealed: vec![byte; len].into(),
                    created: UnixMillis(1),
                };
                let note = note(Action::SetSecret, "KEY");
                secrets.put(&shop, &name, new, BOUNDS, note).await?;
            }
            Self::SecretBack => {
                let note = note(Action::RollbackSecret, "KEY");
                secrets
                    .set_current(&shop, &name, None, BOUNDS, note)
                    .await?;
            }
            Self::Reseal(before, after) => {
                let rows = secrets.rows(None, 10).await?;
                let row = rows.iter().find(|row| row.sealed[0] == before);
                let row = row.ok_or("no row has these bytes")?;
                let len = row.sealed.len();
                let (before, after) = (vec![before; len].into(), vec![after; len].into());
                secrets.reseal(&row.key, before, after).await?;
            }
            Self::SecretGone => {
                let note = note(Action::RemoveSecret, "KEY");
                secrets.remove(&shop, &name, note).await?;
            }
            other => unreachable!("{other:?} is no step on secrets"),
        }
        Ok(())
    }

    async fn run_on_values(self, kv: &dyn KeyValue) -> Outcome {
        let (bucket, none) = (bucket(), KvQuota::NONE);
        match self {
            Self::Set(name, len, expires) => {
                let mut value = value(name, len);
                value.expires = expires.map(UnixMillis);
                kv.set(&bucket, &key(name), value, none, NOW).await?;
            }
            Self::SetMany(names, len) => {
                let values = names.iter().map(|name| (key(name), value(name, len)));
                kv.set_many(&bucket, values.collect(), none, NOW).await?;
            }
            Self::Delete(name) => {
                kv.delete(&bucket, &key(name), NOW).await?;
            }
            Self::DeleteMany(names) => {
                let keys = names.iter().map(|name| key(name)).collect();
                kv.delete_many(&bucket, keys, NOW).await?;
            }
            Self::Increment(name, delta) => {
                kv.increment(&bucket, &key(name), delta, none, NOW).await?;
            }
            Self::Swap(name, expected, len) => {
                let (key, value) = (key(name), value(name, len));
                let expected = expected.map(Revision);
                kv.swap(&bucket, &key, expected, value, none, NOW).await?;
            }
            Self::Sweep(now) => {
                kv.sweep(UnixMillis(now), 100).await?;
            }
            Self::RemoveValues => {
                kv.remove_app(&bucket.tenant, &bucket.app).await?;
            }
            other => unreachable!("{other:?} is no step on values"),
        }
        Ok(())
    }
}

/// All that can be read from a store, as text; an error when anything can't be, or something that is referred to isn't
/// there.
pub(crate) async fn seen(
    store: &Embedded,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut seen = Vec::new();
    for tenant in store.tenants(None, 10).await? {
        seen.push(format!("{:?} {:?}", tenant.id, tenant.quotas));
        for token in store.tokens(Some(&tenant.id)).await? {
            seen.push(format!("{token:?}"));
        }
        for app in store.apps(&tenant.id, None, 10).await? {
            seen.push(format!("{app:?}"));
            for version in store.versions(&tenant.id, &app.name, None, 10).await? {
                seen.push(format!("{:?} {:?}", version.id, version.components));
                for component in version.components.values() {
                    // Checks the bytes against the digest.
                    store.get(&tenant.id, component.digest).await?;
                }
            }
        }
        let bytes = store.bytes_kept(&tenant.id).await?;
        seen.push(format!("{bytes} bytes of artifacts"));
    }
    for digest in store.digests().await? {
        store.get(&tenant(), digest).await?;
        seen.push(format!("{digest:?}"));
    }
    seen.push(format!("{:?}", store.list_serving().await?));
    for entry in store.entries(None, None, 100).await? {
        seen.push(format!("{entry:?}"));
    }
    for row in store
        .rows(None, UnixHour(0), UnixHour(u32::MAX), 1_000)
        .await?
    {
        seen.push(format!("{row:?}"));
    }
    let secrets = store.secrets();
    seen.push(format!("{:?}", secrets.list(&secrets_of_shop()).await?));
    for row in secrets.rows(None, 100).await? {
        let digest = digest_of(&row.sealed);
        seen.push(format!("{:?} {} {digest}", row.key, row.is_current));
    }
    let (kv, bucket) = (store.kv(), bucket());
    let kept = kv.kept(&bucket.tenant, &bucket.app).await?;
    seen.push(format!("{kept:?} {:?}", kv.apps(None, 10).await?));
    let page = kv.list(&bucket, "", None, 1_000, NOW).await?;
    for key in page.keys {
        let entry = kv.get(&bucket, &key, NOW).await?;
        let entry = entry.ok_or("a key that is listed isn't there")?;
        let digest = digest_of(&entry.value);
        seen.push(format!(
            "{key} {:?} {:?} {digest}",
            entry.revision, entry.expires
        ));
    }
    queue::seen(store.triggers(), &mut seen).await?;
    sql::seen(store.sql(), &mut seen).await?;
    streams::seen(store.blobs(), &mut seen).await?;
    Ok(seen.join("\n"))
}

/// More than the story needs.
const BOUNDS: SecretBounds = SecretBounds {
    count_max: 10,
    bytes_max: 1 << 20,
    apps_max: 10,
};

fn secrets_of_shop() -> SecretsOf {
    SecretsOf {
        tenant: tenant(),
        app: AppName::new("shop").expect("a valid name"),
    }
}

pub(crate) fn bucket() -> Bucket {
    Bucket {
        tenant: tenant(),
        app: AppName::new("shop").expect("a valid name"),
        name: BucketName::new("default").expect("a valid name"),
    }
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("a valid key")
}

pub(crate) fn value(name: &str, len: usize) -> NewValue {
    NewValue {
        bytes: name.repeat(len).into_bytes()[..len].to_vec().into(),
        expires: None,
    }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("acme").expect("a valid name")
}

pub(crate) fn note(action: Action, subject: &str) -> Note {
    Note {
        at: UnixMillis(1),
        actor: "a story".to_owned(),
        action,
        subject: subject.to_owned(),
        detail: String::new(),
    }
}

pub(crate) fn token(marker: u8) -> Token {
    Token {
        id: TokenId([marker; 8]),
        tenant: Some(tenant()),
        name: "ci".to_owned(),
        scope: Scope::Deploy,
        secret_hash: [marker; 32],
        created: UnixMillis(1),
        expires: None,
    }
}

fn bytes(marker: u8) -> Bytes {
    vec![marker; COMPONENT_BYTES].into()
}

fn version(app: &str, marker: u8) -> NewVersion {
    let text = format!(
        "name = \"{app}\"\n[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\nroutes = [\"/{marker}/*\"]\n"
    );
    let manifest = App::parse(&text, "everwarm.toml").expect("the story's manifests are valid");
    let component = Component {
        digest: digest_of(&bytes(marker)),
        world: World::Wasi02,
    };
    let name = FunctionName::new("f").expect("a valid name");
    let components = BTreeMap::from([(name, component)]);
    NewVersion::new(manifest, components, UnixMillis(u64::from(marker)))
        .expect("a complete version")
}

async fn set_traffic(store: &Embedded, app: &str, traffic: Traffic) -> Outcome {
    let host: RoutePattern = format!("{app}.example.com/*").parse()?;
    let hosts: [HostPattern; 1] = [host.host];
    let (app, note) = (AppName::new(app)?, note(Action::Deploy, app));
    store
        .set_traffic(&tenant(), &app, traffic, hosts.into(), note, None)
        .await?;
    Ok(())
}

fn batch(number: u64) -> Batch {
    let rows = (0..FUNCTIONS).map(|function| Row {
        hour: UnixHour(500_000),
        tenant: tenant(),
        app: AppName::new("shop").expect("a valid name"),
        version: VersionId::from_bytes([1; 32]),
        function: FunctionName::new(&format!("f{function}")).expect("a valid name"),
        start_level: "warm".to_owned(),
        status_class: 2,
        sums: Sums {
            requests: number,
            ..Sums::default()
        },
    });
    Batch {
        run: 1,
        number,
        rows: rows.collect(),
    }
}
