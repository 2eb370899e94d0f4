//! Behaviours of hosts: whose they are, and until when.

use super::{
    app_name, host, main_version, new_version, note, put, set_main, set_main_with_hosts, tenant,
    version_ids,
};
use crate::Store;
use crate::audit::Action;
use crate::catalog::CatalogError;

/// Ann has these hosts; what Bob gets for each of his.
async fn claims(store: &dyn Store, anns: &[&str], bobs: &[&str], is_taken: bool) {
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let hers = put(store, &ann, new_version("hers", 1, 1_000)).await.id;
    let his = put(store, &bob, new_version("his", 1, 1_000)).await.id;
    let set = set_main_with_hosts(store, &ann, "hers", hers, anns).await;
    set.expect("nobody has her hosts");
    for wanted in bobs {
        let taken = store
            .catalog()
            .taken_host(&bob, [host(wanted)].into())
            .await;
        let taken = taken.expect("hosts can be looked for");
        assert_eq!(taken, is_taken.then(|| host(wanted)));
        let set = set_main_with_hosts(store, &bob, "his", his, &[wanted]).await;
        match set {
            Ok(()) => assert!(!is_taken, "{wanted} was given"),
            Err(CatalogError::HostTaken(taken)) => {
                assert!(is_taken, "{wanted} was refused");
                assert_eq!(taken, host(wanted));
            }
            Err(other) => panic!("{wanted}: {other}"),
        }
        // Her own other app may have it.
        let second = put(store, &ann, new_version("second", 1, 1_000)).await.id;
        if is_taken {
            let set = set_main_with_hosts(store, &ann, "second", second, &[wanted]).await;
            set.expect("apps of one tenant may share a host");
            let set = set_main(store, &ann, "second", second).await;
            set.expect("and give it up again");
        }
    }
}

pub(super) async fn host_of_one_tenant_is_taken_for_all_others(store: &dyn Store) {
    claims(store, &["a.example.com"], &["a.example.com"], true).await;
}

pub(super) async fn wildcards_and_hosts_below_them_overlap(store: &dyn Store) {
    let anns = ["*.wild.example.com", "one.host.example.com"];
    let below = [
        "a.wild.example.com",
        "a.b.wild.example.com",
        "*.b.wild.example.com",
        "*.wild.example.com",
        "*.host.example.com",
        "*.example.com",
    ];
    claims(store, &anns, &below, true).await;
    let beside = [
        "wild.example.com",
        "example.com",
        "two.host.example.com",
        "a.one.host.example.com",
        "*.wild2.example.com",
        "xwild.example.com",
        "*.one.host.example.com",
    ];
    claims(store, &anns, &beside, false).await;
}

pub(super) async fn host_that_is_not_named_any_more_is_free(store: &dyn Store) {
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let hers = put(store, &ann, new_version("hers", 1, 1_000)).await.id;
    let his = put(store, &bob, new_version("his", 1, 1_000)).await.id;
    let set = set_main_with_hosts(store, &ann, "hers", hers, &["a.example.com"]).await;
    set.expect("nobody has it");
    // What is refused changes nothing.
    let refused = set_main_with_hosts(store, &bob, "his", his, &["b.example.com", "a.example.com"]);
    assert!(matches!(refused.await, Err(CatalogError::HostTaken(_))));
    assert_eq!(main_version(store, &bob, "his").await, None);
    let set = set_main_with_hosts(store, &ann, "hers", hers, &["b.example.com"]).await;
    set.expect("nobody has it");
    let set = set_main_with_hosts(store, &bob, "his", his, &["a.example.com"]).await;
    set.expect("it is free");
}

pub(super) async fn removed_app_is_gone_with_its_hosts(store: &dyn Store) {
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let hers = put(store, &ann, new_version("hers", 1, 1_000)).await.id;
    let set = set_main_with_hosts(store, &ann, "hers", hers, &["a.example.com"]).await;
    set.expect("nobody has it");
    let catalog = store.catalog();
    let removed = catalog
        .remove_app(&ann, &app_name("hers"), note(Action::RemoveApp, "hers"))
        .await;
    assert!(removed.expect("an app can be removed"));
    let again = catalog
        .remove_app(&ann, &app_name("hers"), note(Action::RemoveApp, "hers"))
        .await;
    assert!(!again.expect("and is gone then"));
    let is_removed = async |tenant, app: &str| {
        let removed = catalog.is_removed(tenant, &app_name(app)).await;
        removed.expect("removals can be looked for")
    };
    assert!(is_removed(&ann, "hers").await);
    assert!(!is_removed(&bob, "hers").await, "it was hers");
    assert!(!is_removed(&ann, "never").await);
    assert_eq!(main_version(store, &ann, "hers").await, None);
    assert_eq!(version_ids(store, &ann, "hers").await, []);
    let his = put(store, &bob, new_version("his", 1, 1_000)).await.id;
    let set = set_main_with_hosts(store, &bob, "his", his, &["a.example.com"]).await;
    set.expect("it is free");
    put(store, &ann, new_version("hers", 1, 1_000)).await;
    assert!(!is_removed(&ann, "hers").await, "there is one again");
}
