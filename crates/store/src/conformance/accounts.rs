//! Behaviours of tenants, tokens and the audit log.

use everwarm_manifest::TenantId;

use super::{app_name, new_version, note, put, set_main, tenant};
use crate::Store;
use crate::accounts::{AccountError, Quotas, Scope, Token, TokenId};
use crate::audit::Action;
use crate::catalog::UnixMillis;

pub(super) async fn every_change_is_in_the_audit_log_and_nothing_else(store: &dyn Store) {
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let hers = put(store, &ann, new_version("hers", 1, 1_000)).await.id;
    let set = set_main(store, &ann, "hers", hers).await;
    set.expect("a version that is kept can serve");
    let refused = set_main(store, &ann, "other", hers).await;
    assert!(refused.is_err());
    let quotas = Quotas::default();
    let made = store
        .accounts()
        .put_tenant(&bob, quotas, note(Action::PutTenant, "bob"))
        .await;
    made.expect("a tenant can be made");
    let app = app_name("hers");
    let removed = store
        .catalog()
        .remove_app(&ann, &app, note(Action::RemoveApp, "hers"));
    assert!(removed.await.expect("an app can be removed"));

    let actions = async |tenant, before| {
        let entries = store.audit().entries(tenant, before, 2).await;
        let entries = entries.expect("the log can be read");
        let actions: Vec<Action> = entries.iter().map(|entry| entry.note.action).collect();
        (actions, entries.last().map(|entry| entry.number))
    };
    let (newest, last) = actions(None, None).await;
    assert_eq!(newest, [Action::RemoveApp, Action::PutTenant]);
    let (oldest, _) = actions(None, last).await;
    assert_eq!(oldest, [Action::Promote]);
    let (anns, _) = actions(Some(&ann), None).await;
    assert_eq!(anns, [Action::RemoveApp, Action::Promote]);

    // What is kept elsewhere announces its changes.
    let announced = store
        .audit()
        .announce(&ann, note(Action::PutValues, "hers"));
    announced.await.expect("an entry can be written");
    let (anns, _) = actions(Some(&ann), None).await;
    assert_eq!(anns, [Action::PutValues, Action::RemoveApp]);
    let (bobs, _) = actions(Some(&bob), None).await;
    assert_eq!(bobs, [Action::PutTenant]);
}

pub(super) async fn tenant_reads_back_with_its_quotas(store: &dyn Store) {
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let accounts = store.accounts();
    for id in [&bob, &ann] {
        let made = accounts
            .put_tenant(id, Quotas::default(), note(Action::PutTenant, "t"))
            .await;
        assert_eq!(
            made.expect("a tenant can be made").quotas,
            Quotas::default()
        );
    }
    let quotas = Quotas {
        apps: 7,
        kv_bytes: Some(u64::MAX),
        kv_entries: Some(0),
        queue_messages: Some(1),
        queue_bytes: Some(2),
        blobs: Some(3),
        blob_bytes: Some(4),
        ..Quotas::UNBOUNDED
    };
    let changed = accounts
        .put_tenant(&ann, quotas, note(Action::PutTenant, "ann"))
        .await;
    changed.expect("quotas can be changed");
    let read = accounts.tenant(&ann).await.expect("a tenant can be read");
    assert_eq!(read.map(|tenant| tenant.quotas), Some(quotas));
    let all = accounts
        .tenants(None, 10)
        .await
        .expect("tenants can be listed");
    let names: Vec<&str> = all.iter().map(|tenant| tenant.id.as_str()).collect();
    assert_eq!(names, ["ann", "bob"]);
    let rest = accounts
        .tenants(Some(&ann), 10)
        .await
        .expect("tenants can be listed");
    assert_eq!(rest.len(), 1);
    let unknown = accounts.tenant(&tenant("nobody")).await;
    assert_eq!(unknown.expect("a tenant can be looked for"), None);
}

pub(super) async fn tenant_with_apps_is_not_removed(store: &dyn Store) {
    let ann = tenant("ann");
    let accounts = store.accounts();
    let made = accounts
        .put_tenant(&ann, Quotas::default(), note(Action::PutTenant, "ann"))
        .await;
    made.expect("a tenant can be made");
    accounts
        .put_token(token(1, Some(&ann)), 10, note(Action::PutToken, "1"))
        .await
        .expect("a token can be made");
    put(store, &ann, new_version("hello", 1, 1_000)).await;
    let refused = accounts
        .remove_tenant(&ann, note(Action::RemoveTenant, "ann"))
        .await;
    assert!(
        matches!(refused, Err(AccountError::HasApps { apps: 1, .. })),
        "{refused:?}"
    );
    let app = app_name("hello");
    let removed = store
        .catalog()
        .remove_app(&ann, &app, note(Action::RemoveApp, "hello"));
    assert!(removed.await.expect("an app can be removed"));
    let removed = accounts
        .remove_tenant(&ann, note(Action::RemoveTenant, "ann"))
        .await;
    assert!(removed.expect("a tenant without apps can be removed"));
    let token = accounts
        .token(TokenId([1; 8]))
        .await
        .expect("a token can be looked for");
    assert_eq!(token, None, "its tokens go with it");
    let again = accounts
        .remove_tenant(&ann, note(Action::RemoveTenant, "ann"))
        .await;
    assert!(!again.expect("it is gone"));
}

fn token(number: u8, owner: Option<&TenantId>) -> Token {
    Token {
        id: TokenId([number; 8]),
        tenant: owner.cloned(),
        scope: Scope::Deploy,
        name: format!("number {number}"),
        secret_hash: [number; 32],
        created: UnixMillis(u64::from(number)),
        expires: Some(UnixMillis(1_000)),
    }
}

pub(super) async fn token_reads_back_and_is_its_owners(store: &dyn Store) {
    let ann = tenant("ann");
    let accounts = store.accounts();
    let refused = accounts
        .put_token(token(1, Some(&ann)), 10, note(Action::PutToken, "1"))
        .await;
    assert!(
        matches!(refused, Err(AccountError::NoTenant(_))),
        "{refused:?}"
    );
    let made = accounts
        .put_tenant(&ann, Quotas::default(), note(Action::PutTenant, "ann"))
        .await;
    made.expect("a tenant can be made");
    for token in [token(2, Some(&ann)), token(1, Some(&ann)), token(3, None)] {
        let kept = accounts
            .put_token(token, 10, note(Action::PutToken, "t"))
            .await;
        kept.expect("a token can be made");
    }
    let read = accounts
        .token(TokenId([2; 8]))
        .await
        .expect("a token can be read");
    assert_eq!(read, Some(token(2, Some(&ann))));
    let hers = accounts
        .tokens(Some(&ann))
        .await
        .expect("tokens can be listed");
    assert_eq!(hers, [token(1, Some(&ann)), token(2, Some(&ann))]);
    let nodes = accounts.tokens(None).await.expect("tokens can be listed");
    assert_eq!(nodes, [token(3, None)]);
    let others = accounts
        .remove_token(Some(&ann), TokenId([3; 8]), note(Action::RemoveToken, "3"))
        .await;
    assert!(!others.expect("it isn't hers"));
    let own = accounts
        .remove_token(Some(&ann), TokenId([1; 8]), note(Action::RemoveToken, "1"))
        .await;
    assert!(own.expect("a token can be removed"));
    assert_eq!(
        accounts
            .token(TokenId([1; 8]))
            .await
            .expect("it can be looked for"),
        None
    );
}

pub(super) async fn tokens_of_one_owner_are_bounded(store: &dyn Store) {
    let accounts = store.accounts();
    for number in 1..=2 {
        let kept = accounts
            .put_token(token(number, None), 2, note(Action::PutToken, "t"))
            .await;
        kept.expect("two may be");
    }
    let refused = accounts
        .put_token(token(3, None), 2, note(Action::PutToken, "3"))
        .await;
    assert!(
        matches!(refused, Err(AccountError::TooManyTokens { count_max: 2 })),
        "{refused:?}"
    );
}
