//! Behaviours of versions and traffic.

use std::collections::BTreeSet;

use everwarm_manifest::FunctionName;

use super::{
    app_name, component, main_version, new_version, note, put, set_main, tenant, version_ids,
};
use crate::Store;
use crate::artifacts::digest_of;
use crate::audit::Action;
use crate::catalog::{CatalogError, NewVersion, UnixMillis};
use crate::traffic::{Canary, Change, Percent, Traffic};

/// Switches of the traffic while readers look.
const SWITCHES: usize = 50;

pub(super) async fn version_reads_back_as_it_was_put(store: &dyn Store) {
    let t = tenant("default");
    let new = new_version("hello", 1, 1_000);
    let id = new.id();
    let expected = new.version.clone();
    assert_eq!(put(store, &t, new).await, expected);
    let read = store.catalog().version(&t, &app_name("hello"), id).await;
    assert_eq!(read.expect("a version can be read"), Some(expected.clone()));
    let versions = store
        .catalog()
        .versions(&t, &app_name("hello"), None, 10)
        .await;
    assert_eq!(versions.expect("versions can be listed"), [expected]);
    assert_eq!(
        main_version(store, &t, "hello").await,
        None,
        "a version doesn't serve by being put"
    );
}

pub(super) async fn same_content_is_the_same_version(store: &dyn Store) {
    let t = tenant("default");
    let first = put(store, &t, new_version("hello", 1, 1_000)).await;
    let again = put(store, &t, new_version("hello", 1, 2_000)).await;
    assert_eq!(again, first, "the version stays as it was first put");
    assert_eq!(version_ids(store, &t, "hello").await, [first.id]);
}

pub(super) async fn any_difference_makes_another_version(store: &dyn Store) {
    let t = tenant("default");
    let one = new_version("hello", 1, 1_000);
    let mut components = one.version.components.clone();
    components.insert(FunctionName::new("f").expect("a valid name"), component(9));
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

pub(super) async fn version_needs_its_components(store: &dyn Store) {
    let t = tenant("default");
    // Another tenant's component is none.
    put(store, &tenant("other"), new_version("hello", 1, 1_000)).await;
    let refused = store
        .catalog()
        .put_version(&t, new_version("hello", 1, 1_000), 10)
        .await;
    assert!(
        matches!(&refused, Err(CatalogError::ComponentMissing { digest, .. }) if *digest == digest_of(&[1])),
        "{refused:?}"
    );
    assert_eq!(version_ids(store, &t, "hello").await, []);
}

pub(super) async fn traffic_is_what_was_set_last(store: &dyn Store) {
    let t = tenant("default");
    let app = app_name("hello");
    let one = put(store, &t, new_version("hello", 1, 1_000)).await;
    let two = put(store, &t, new_version("hello", 2, 2_000)).await;
    for version in [&one, &two, &one] {
        let set = set_main(store, &t, "hello", version.id).await;
        set.expect("a version that is kept can serve");
        assert_eq!(
            main_version(store, &t, "hello").await.as_ref(),
            Some(version)
        );
    }
    let canary = Canary {
        version: two.id,
        percent: Percent::new(10).expect("a part"),
        sticky_header: Some("x-user".to_owned()),
    };
    let before = Traffic::all_to(one.id);
    let split = Traffic::changed(Some(&before), Change::Split(canary)).expect("they can share");
    let set = store.catalog().set_traffic(
        &t,
        &app,
        split.clone(),
        BTreeSet::new(),
        note(Action::Promote, "hello"),
        None,
    );
    set.await.expect("two versions can share");
    let serving = store.catalog().serving(&t, &app).await;
    let serving = serving
        .expect("what serves can be read")
        .expect("something serves");
    assert_eq!(serving.traffic, split);
    assert_eq!((serving.main, serving.canary), (one, Some(two)));
}

pub(super) async fn version_that_is_not_kept_never_serves(store: &dyn Store) {
    let t = tenant("default");
    let one = put(store, &t, new_version("hello", 1, 1_000)).await;
    let set = set_main(store, &t, "hello", one.id).await;
    set.expect("a version that is kept can serve");
    let unknown = new_version("hello", 2, 2_000).id();
    let refused = set_main(store, &t, "hello", unknown).await;
    assert!(matches!(refused, Err(CatalogError::UnknownVersion { .. })));
    // A version of one app is none of another's.
    let refused = set_main(store, &t, "other", one.id).await;
    assert!(matches!(refused, Err(CatalogError::UnknownVersion { .. })));
    assert_eq!(main_version(store, &t, "hello").await, Some(one));
}

pub(super) async fn newest_versions_come_first_page_by_page(store: &dyn Store) {
    let t = tenant("default");
    for marker in [3, 1, 2] {
        let created_ms = u64::from(marker) * 1_000;
        put(store, &t, new_version("hello", marker, created_ms)).await;
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store
            .catalog()
            .versions(&t, &app_name("hello"), before, 2)
            .await;
        let page = page.expect("versions can be listed");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.iter().map(|version| version.created.0));
    }
    assert_eq!(seen, [3_000, 2_000, 1_000]);
}

pub(super) async fn tenants_do_not_see_each_others_apps(store: &dyn Store) {
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let version = put(store, &ann, new_version("hello", 1, 1_000)).await;
    let refused = set_main(store, &bob, "hello", version.id).await;
    assert!(matches!(refused, Err(CatalogError::UnknownVersion { .. })));
    let set = set_main(store, &ann, "hello", version.id).await;
    set.expect("a version that is kept can serve");
    assert_eq!(main_version(store, &bob, "hello").await, None);
    assert_eq!(version_ids(store, &bob, "hello").await, []);
    let apps = store.catalog().apps(&bob, None, 10).await;
    assert_eq!(apps.expect("apps can be listed"), []);
}

pub(super) async fn what_serves_is_listed_in_order_of_tenants_and_apps(store: &dyn Store) {
    let mut expected = Vec::new();
    // Put in another order than they are listed in.
    for (owner, app) in [("bob", "a"), ("ann", "b"), ("ann", "a")] {
        let t = tenant(owner);
        let version = put(store, &t, new_version(app, 1, 1_000)).await;
        put(store, &t, new_version(app, 2, 2_000)).await;
        let set = set_main(store, &t, app, version.id).await;
        set.expect("a version that is kept can serve");
        expected.insert(0, (t, app_name(app), version.id));
    }
    let listed = store.catalog().list_serving().await;
    let listed: Vec<_> = listed
        .expect("what serves can be listed")
        .into_iter()
        .map(|serving| (serving.tenant, serving.main.manifest.name, serving.main.id))
        .collect();
    assert_eq!(listed, expected);
}

pub(super) async fn switch_of_traffic_is_atomic_for_readers(store: &dyn Store) {
    let t = tenant("default");
    let one = put(store, &t, new_version("hello", 1, 1_000)).await.id;
    let two = put(store, &t, new_version("hello", 2, 2_000)).await.id;
    let set = set_main(store, &t, "hello", one).await;
    set.expect("a version that is kept can serve");
    let writer = async {
        for turn in 0..SWITCHES {
            let next = if turn % 2 == 0 { two } else { one };
            let set = set_main(store, &t, "hello", next).await;
            set.expect("a version that is kept can serve");
        }
    };
    let reader = async {
        for _ in 0..SWITCHES {
            let seen = main_version(store, &t, "hello")
                .await
                .map(|version| version.id);
            assert!(
                seen == Some(one) || seen == Some(two),
                "a reader saw {seen:?}"
            );
        }
    };
    tokio::join!(writer, reader);
    assert_eq!(
        main_version(store, &t, "hello").await.map(|v| v.id),
        Some(one)
    );
}

pub(super) async fn apps_are_listed_page_by_page(store: &dyn Store) {
    let t = tenant("default");
    for app in ["b", "c", "a"] {
        put(store, &t, new_version(app, 1, 1_000)).await;
    }
    let two = put(store, &t, new_version("b", 2, 2_000)).await;
    let set = set_main(store, &t, "b", two.id).await;
    set.expect("a version that is kept can serve");
    let first = store
        .catalog()
        .apps(&t, None, 2)
        .await
        .expect("apps can be listed");
    assert_eq!(first.len(), 2);
    assert_eq!((first[0].name.as_str(), &first[0].traffic), ("a", &None));
    assert_eq!(first[1].traffic, Some(Traffic::all_to(two.id)));
    assert_eq!((first[1].versions, first[1].newest), (2, UnixMillis(2_000)));
    let rest = store.catalog().apps(&t, Some(&first[1].name), 2).await;
    let rest = rest.expect("apps can be listed");
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].name.as_str(), "c");
}

pub(super) async fn new_app_beyond_the_quota_is_refused(store: &dyn Store) {
    let t = tenant("default");
    put(store, &t, new_version("one", 1, 1_000)).await;
    put(store, &t, new_version("two", 1, 1_000)).await;
    let catalog = store.catalog();
    let refused = catalog
        .put_version(&t, new_version("three", 1, 1_000), 2)
        .await;
    assert!(
        matches!(refused, Err(CatalogError::Quota { apps_max: 2 })),
        "{refused:?}"
    );
    let another = catalog
        .put_version(&t, new_version("two", 2, 2_000), 2)
        .await;
    another.expect("an app that is there may have another version");
}

pub(super) async fn versions_that_traffic_needs_outlive_pruning(store: &dyn Store) {
    let t = tenant("default");
    let app = app_name("hello");
    let mut ids = Vec::new();
    for marker in 1..=5 {
        let version = new_version("hello", marker, u64::from(marker) * 1_000);
        ids.push(put(store, &t, version).await.id);
    }
    let mut traffic = Traffic::all_to(ids[0]);
    for next in [ids[1], ids[2]] {
        let promoted = Traffic::changed(Some(&traffic), Change::Promote(next));
        traffic = promoted.expect("it can be promoted");
    }
    let note = note(Action::Promote, "hello");
    let set = store
        .catalog()
        .set_traffic(&t, &app, traffic, BTreeSet::new(), note, None);
    set.await.expect("versions that are kept can serve");
    let pruned = store.catalog().prune_versions(&t, &app, 1).await;
    let mut pruned = pruned.expect("old versions can be forgotten");
    pruned.sort_unstable();
    let mut expected = vec![ids[0], ids[3]];
    expected.sort_unstable();
    assert_eq!(pruned, expected);
    let left = version_ids(store, &t, "hello").await;
    assert_eq!(left, [ids[4], ids[2], ids[1]]);
    let serving = store.catalog().serving(&t, &app).await;
    let serving = serving
        .expect("what serves can be read")
        .expect("something serves");
    assert_eq!(
        (serving.main.id, serving.traffic.past),
        (ids[2], vec![ids[1]])
    );
}
