//! Behaviours of deploys that are sent again.

use std::collections::BTreeSet;

use super::{app_name, new_version, note, put, tenant};
use crate::Store;
use crate::audit::Action;
use crate::catalog::{CatalogError, UnixMillis, VersionId};
use crate::once::{Done, IdempotencyKey, Once, REMEMBERED_MS};
use crate::traffic::Traffic;

fn once(key: &str, request: u8) -> Once {
    Once {
        key: IdempotencyKey::new(key).expect("a key"),
        request: [request; 32],
    }
}

async fn deploy(
    store: &dyn Store,
    tenant_name: &str,
    version: VersionId,
    once: Once,
    at: u64,
) -> Result<(), CatalogError> {
    let mut note = note(Action::Deploy, "hello");
    note.at = UnixMillis(at);
    let (tenant, app) = (tenant(tenant_name), app_name("hello"));
    let traffic = Traffic::all_to(version);
    let set = store.catalog().set_traffic(
        &tenant,
        &app,
        traffic,
        BTreeSet::new(),
        note,
        Some((once, version)),
    );
    set.await
}

async fn done(store: &dyn Store, tenant_name: &str, key: &str, now: u64) -> Option<Done> {
    let (tenant, key) = (
        tenant(tenant_name),
        IdempotencyKey::new(key).expect("a key"),
    );
    let done = store.catalog().done(&tenant, &key, UnixMillis(now)).await;
    done.expect("keys can be looked for")
}

pub(super) async fn key_is_remembered_with_what_was_done_for_a_day(store: &dyn Store) {
    let version = put(store, &tenant("default"), new_version("hello", 1, 1_000)).await;
    assert_eq!(done(store, "default", "k", 5).await, None);
    let deployed = deploy(store, "default", version.id, once("k", 7), 5).await;
    deployed.expect("a version that is kept can serve");
    let expected = Done {
        request: [7; 32],
        version: version.id,
    };
    assert_eq!(done(store, "default", "k", 6).await, Some(expected));
    assert_eq!(
        done(store, "default", "k", 5 + REMEMBERED_MS).await,
        Some(expected)
    );
    assert_eq!(done(store, "default", "k", 6 + REMEMBERED_MS).await, None);
    assert_eq!(
        done(store, "other", "k", 6).await,
        None,
        "keys are a tenant's own"
    );
}

pub(super) async fn key_of_a_switch_that_failed_is_not_remembered(store: &dyn Store) {
    let unknown = new_version("hello", 2, 2_000).id();
    let refused = deploy(store, "default", unknown, once("k", 7), 5).await;
    assert!(
        matches!(refused, Err(CatalogError::UnknownVersion { .. })),
        "{refused:?}"
    );
    assert_eq!(done(store, "default", "k", 6).await, None);
}

pub(super) async fn owners_of_a_version_are_found_by_its_digits(store: &dyn Store) {
    let app = app_name("hello");
    for name in ["one", "two"] {
        put(store, &tenant(name), new_version("hello", 1, 1_000)).await;
    }
    let id = put(store, &tenant("two"), new_version("hello", 2, 1_000))
        .await
        .id;
    let of_two = id.to_string();
    let digits = &of_two.trim_start_matches("sha256:")[..12];
    let found = store.catalog().owners_of_version(&app, digits, 2).await;
    assert_eq!(
        found.expect("owners can be looked for"),
        [(tenant("two"), id)]
    );
    let shared = new_version("hello", 1, 1_000).id().to_string();
    let digits = &shared.trim_start_matches("sha256:")[..12];
    let found = store.catalog().owners_of_version(&app, digits, 9).await;
    assert_eq!(found.expect("owners can be looked for").len(), 2);
}
