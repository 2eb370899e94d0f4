//! What every store engine must do: one list of behaviours, run by each engine's tests.
//!
//! Owns the behaviours. Knows nothing of any engine: all it sees is an empty [`Store`]. A behaviour
//! that doesn't hold panics with what was expected, as a test does.

use std::collections::BTreeMap;

use bytes::Bytes;
use everwarm_manifest::{App, AppName, Digest, FunctionName, TenantId};

use crate::artifacts::{ArtifactError, digest_of};
use crate::catalog::{CatalogError, NewVersion, UnixMillis, Version};
use crate::{Store, StoreFuture};

/// One behaviour that every engine has.
pub struct Behaviour {
    /// The behaviour as a sentence.
    pub name: &'static str,
    /// Shows it on a store that is empty, or panics.
    pub run: for<'a> fn(&'a dyn Store) -> StoreFuture<'a, ()>,
}

macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        &[$(Behaviour { name: stringify!($name), run: |store| Box::pin($name(store)) }),*]
    };
}

/// All behaviours. An engine's test runs each on a fresh, empty store.
pub const BEHAVIOURS: &[Behaviour] = behaviours![
    version_reads_back_as_it_was_put,
    same_content_is_the_same_version,
    any_difference_makes_another_version,
    live_version_is_the_one_that_was_set_last,
    version_that_is_not_kept_never_becomes_live,
    newest_versions_come_first_and_no_more_than_asked_for,
    tenants_do_not_see_each_others_apps,
    live_versions_of_all_tenants_are_listed_in_order,
    switch_of_the_live_version_is_atomic_for_readers,
    artifact_reads_back_as_it_was_put,
    artifact_put_twice_is_one_artifact,
    unknown_artifact_is_not_found,
    tenants_do_not_see_each_others_artifacts,
    empty_and_large_artifacts_are_kept,
];

/// Switches of the live version while readers look.
const SWITCHES: usize = 50;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("the suite's tenants have valid names")
}

fn app_name(name: &str) -> AppName {
    AppName::new(name).expect("the suite's apps have valid names")
}

/// A version of an app with one function, whose content depends on `marker`.
fn new_version(app: &str, marker: u8, created_ms: u64) -> NewVersion {
    let text = format!(
        "name = \"{app}\"\n[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\nroutes = [\"/{marker}/*\"]\n"
    );
    let manifest = App::parse(&text, "everwarm.toml").expect("the suite's manifests are valid");
    let components = BTreeMap::from([(
        FunctionName::new("f").expect("a valid name"),
        Digest::from_bytes([marker; Digest::BYTES]),
    )]);
    NewVersion::new(manifest, components, UnixMillis(created_ms)).expect("a complete version")
}

async fn put(store: &dyn Store, tenant: &TenantId, version: NewVersion) -> Version {
    store
        .catalog()
        .put_version(tenant, version)
        .await
        .expect("a version can be put")
}

async fn live(store: &dyn Store, tenant: &TenantId, app: &str) -> Option<Version> {
    store
        .catalog()
        .live(tenant, &app_name(app))
        .await
        .expect("the live version can be read")
}

async fn version_reads_back_as_it_was_put(store: &dyn Store) {
    let t = tenant("default");
    let new = new_version("hello", 1, 1_000);
    let id = new.id();
    let expected = new.version.clone();
    assert_eq!(put(store, &t, new).await, expected);
    let versions = store.catalog().versions(&t, &app_name("hello"), 10).await;
    assert_eq!(versions.expect("versions can be listed"), [expected]);
    assert_eq!(
        live(store, &t, "hello").await,
        None,
        "a version isn't live by being put"
    );
    let set = store.catalog().set_live(&t, &app_name("hello"), id).await;
    set.expect("a version that is kept can be made live");
    assert_eq!(live(store, &t, "hello").await.map(|v| v.id), Some(id));
}

async fn same_content_is_the_same_version(store: &dyn Store) {
    let t = tenant("default");
    let first = put(store, &t, new_version("hello", 1, 1_000)).await;
    let again = put(store, &t, new_version("hello", 1, 2_000)).await;
    assert_eq!(again, first, "the version stays as it was first put");
    let versions = store.catalog().versions(&t, &app_name("hello"), 10).await;
    assert_eq!(versions.expect("versions can be listed").len(), 1);
}

async fn any_difference_makes_another_version(store: &dyn Store) {
    let t = tenant("default");
    let one = new_version("hello", 1, 1_000);
    let mut components = one.version.components.clone();
    components.insert(
        FunctionName::new("f").expect("a valid name"),
        Digest::from_bytes([9; Digest::BYTES]),
    );
    let two = NewVersion::new(one.version.manifest.clone(), components, UnixMillis(1_000))
        .expect("a complete version");
    let three = new_version("hello", 3, 1_000);
    let ids = [
        put(store, &t, one).await.id,
        put(store, &t, two).await.id,
        put(store, &t, three).await.id,
    ];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
}

async fn live_version_is_the_one_that_was_set_last(store: &dyn Store) {
    let t = tenant("default");
    let app = app_name("hello");
    let one = put(store, &t, new_version("hello", 1, 1_000)).await;
    let two = put(store, &t, new_version("hello", 2, 2_000)).await;
    for version in [&one, &two, &one] {
        let set = store.catalog().set_live(&t, &app, version.id).await;
        set.expect("a version that is kept can be made live");
        assert_eq!(live(store, &t, "hello").await.as_ref(), Some(version));
    }
}

async fn version_that_is_not_kept_never_becomes_live(store: &dyn Store) {
    let t = tenant("default");
    let app = app_name("hello");
    let one = put(store, &t, new_version("hello", 1, 1_000)).await;
    let set = store.catalog().set_live(&t, &app, one.id).await;
    set.expect("a version that is kept can be made live");
    let unknown = new_version("hello", 2, 2_000).id();
    let refused = store.catalog().set_live(&t, &app, unknown).await;
    assert!(matches!(refused, Err(CatalogError::UnknownVersion { .. })));
    // A version of one app is none of another's.
    let refused = store
        .catalog()
        .set_live(&t, &app_name("other"), one.id)
        .await;
    assert!(matches!(refused, Err(CatalogError::UnknownVersion { .. })));
    assert_eq!(live(store, &t, "hello").await, Some(one));
}

async fn newest_versions_come_first_and_no_more_than_asked_for(store: &dyn Store) {
    let t = tenant("default");
    for marker in [3, 1, 2] {
        put(
            store,
            &t,
            new_version("hello", marker, u64::from(marker) * 1_000),
        )
        .await;
    }
    let versions = store.catalog().versions(&t, &app_name("hello"), 2).await;
    let created: Vec<u64> = versions
        .expect("versions can be listed")
        .iter()
        .map(|version| version.created.0)
        .collect();
    assert_eq!(created, [3_000, 2_000]);
}

async fn tenants_do_not_see_each_others_apps(store: &dyn Store) {
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let app = app_name("hello");
    let version = put(store, &ann, new_version("hello", 1, 1_000)).await;
    let catalog = store.catalog();
    let refused = catalog.set_live(&bob, &app, version.id).await;
    assert!(matches!(refused, Err(CatalogError::UnknownVersion { .. })));
    let set = catalog.set_live(&ann, &app, version.id).await;
    set.expect("a version that is kept can be made live");
    assert_eq!(live(store, &bob, "hello").await, None);
    let versions = catalog.versions(&bob, &app, 10).await;
    assert_eq!(versions.expect("versions can be listed"), []);
}

async fn live_versions_of_all_tenants_are_listed_in_order(store: &dyn Store) {
    let mut expected = Vec::new();
    // Put in another order than they are listed in.
    for (owner, app) in [("bob", "a"), ("ann", "b"), ("ann", "a")] {
        let t = tenant(owner);
        let version = put(store, &t, new_version(app, 1, 1_000)).await;
        put(store, &t, new_version(app, 2, 2_000)).await;
        let set = store
            .catalog()
            .set_live(&t, &app_name(app), version.id)
            .await;
        set.expect("a version that is kept can be made live");
        expected.insert(0, (t, app_name(app), version.id));
    }
    let listed = store.catalog().list_live().await;
    let listed: Vec<_> = listed
        .expect("live versions can be listed")
        .into_iter()
        .map(|live| (live.tenant, live.version.manifest.name, live.version.id))
        .collect();
    assert_eq!(listed, expected);
}

async fn switch_of_the_live_version_is_atomic_for_readers(store: &dyn Store) {
    let t = tenant("default");
    let app = app_name("hello");
    let one = put(store, &t, new_version("hello", 1, 1_000)).await.id;
    let two = put(store, &t, new_version("hello", 2, 2_000)).await.id;
    let set = store.catalog().set_live(&t, &app, one).await;
    set.expect("a version that is kept can be made live");
    let writer = async {
        for turn in 0..SWITCHES {
            let next = if turn % 2 == 0 { two } else { one };
            let set = store.catalog().set_live(&t, &app, next).await;
            set.expect("a version that is kept can be made live");
        }
    };
    let reader = async {
        for _ in 0..SWITCHES {
            let seen = live(store, &t, "hello").await.map(|version| version.id);
            assert!(
                seen == Some(one) || seen == Some(two),
                "a reader saw {seen:?}"
            );
        }
    };
    tokio::join!(writer, reader);
    assert_eq!(live(store, &t, "hello").await.map(|v| v.id), Some(one));
}

async fn artifact_reads_back_as_it_was_put(store: &dyn Store) {
    let t = tenant("default");
    let bytes = Bytes::from_static(b"the bytes of a component");
    let artifacts = store.artifacts();
    let digest = artifacts
        .put(&t, bytes.clone())
        .await
        .expect("bytes can be put");
    assert_eq!(digest, digest_of(&bytes));
    assert_eq!(
        artifacts.get(&t, digest).await.expect("they can be read"),
        bytes
    );
    assert!(
        artifacts
            .contains(&t, digest)
            .await
            .expect("the engine can tell")
    );
    let path = artifacts
        .local_file(&t, digest)
        .await
        .expect("they are in a file");
    assert_eq!(std::fs::read(path).expect("the file can be read"), bytes);
}

async fn artifact_put_twice_is_one_artifact(store: &dyn Store) {
    let t = tenant("default");
    let bytes = Bytes::from_static(b"the bytes of a component");
    let first = store
        .artifacts()
        .put(&t, bytes.clone())
        .await
        .expect("bytes can be put");
    let again = store
        .artifacts()
        .put(&t, bytes.clone())
        .await
        .expect("and put again");
    assert_eq!(first, again);
    let read = store.artifacts().get(&t, first).await;
    assert_eq!(read.expect("they can be read"), bytes);
}

async fn unknown_artifact_is_not_found(store: &dyn Store) {
    let t = tenant("default");
    let digest = digest_of(b"never put");
    let artifacts = store.artifacts();
    let got = artifacts.get(&t, digest).await;
    assert!(
        matches!(got, Err(ArtifactError::NotFound { .. })),
        "{got:?}"
    );
    let file = artifacts.local_file(&t, digest).await;
    assert!(
        matches!(file, Err(ArtifactError::NotFound { .. })),
        "{file:?}"
    );
    assert!(
        !artifacts
            .contains(&t, digest)
            .await
            .expect("the engine can tell")
    );
}

async fn tenants_do_not_see_each_others_artifacts(store: &dyn Store) {
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let bytes = Bytes::from_static(b"ann's component");
    let digest = store
        .artifacts()
        .put(&ann, bytes)
        .await
        .expect("bytes can be put");
    let contains = store.artifacts().contains(&bob, digest).await;
    assert!(!contains.expect("the engine can tell"));
    let got = store.artifacts().get(&bob, digest).await;
    assert!(
        matches!(got, Err(ArtifactError::NotFound { .. })),
        "{got:?}"
    );
}

async fn empty_and_large_artifacts_are_kept(store: &dyn Store) {
    let t = tenant("default");
    for len in [0, 5 << 20] {
        let bytes = Bytes::from(vec![7; len]);
        let digest = store
            .artifacts()
            .put(&t, bytes.clone())
            .await
            .expect("bytes can be put");
        let read = store.artifacts().get(&t, digest).await;
        assert!(
            read.expect("they can be read") == bytes,
            "{len} bytes came back otherwise"
        );
    }
}
