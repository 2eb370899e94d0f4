//! Behaviours of secrets: sealed bytes that an engine keeps and can't read.

use bytes::Bytes;
use everwarm_manifest::ConfigName;

use super::{app_name, new_version, note, put, tenant};
use crate::Store;
use crate::accounts::Quotas;
use crate::audit::Action;
use crate::catalog::UnixMillis;
use crate::secrets::{
    NewSecret, NoVersion, SealedRow, SecretBounds, SecretError, SecretsOf, VERSIONS_MAX,
};

const WIDE: SecretBounds = SecretBounds {
    count_max: 100,
    bytes_max: u64::MAX,
    apps_max: u32::MAX,
};

fn of(tenant_name: &str, app: &str) -> SecretsOf {
    SecretsOf {
        tenant: tenant(tenant_name),
        app: app_name(app),
    }
}

fn name(text: &str) -> ConfigName {
    ConfigName::new(text).expect("the suite's secrets have valid names")
}

async fn set(
    store: &dyn Store,
    of: &SecretsOf,
    secret: &str,
    sealed: &str,
    bounds: SecretBounds,
) -> Result<u32, SecretError> {
    let (secrets, secret) = (store.secrets(), name(secret));
    let version = secrets.next_version(of, &secret).await?;
    let new = NewSecret {
        version,
        sealed: Bytes::copy_from_slice(sealed.as_bytes()),
        created: UnixMillis(u64::from(version)),
    };
    let note = note(Action::SetSecret, secret.as_str());
    secrets.put(of, &secret, new, bounds, note).await?;
    Ok(version)
}

/// `NAME=sealed` of each that is current.
async fn current(store: &dyn Store, of: &SecretsOf) -> Vec<String> {
    let rows = store.secrets().current(of).await;
    let rows = rows.expect("current secrets can be read");
    assert!(rows.iter().all(|row| row.is_current && row.key.of == *of));
    let told = |row: &SealedRow| {
        let sealed = std::str::from_utf8(&row.sealed).expect("the suite seals text");
        format!("{}={sealed}", row.key.name)
    };
    rows.iter().map(told).collect()
}

async fn go_back(
    store: &dyn Store,
    of: &SecretsOf,
    secret: &str,
    to: Option<u32>,
) -> Result<u32, SecretError> {
    let note = note(Action::RollbackSecret, secret);
    let secrets = store.secrets();
    secrets.set_current(of, &name(secret), to, WIDE, note).await
}

pub(super) async fn newest_version_of_a_secret_is_current(store: &dyn Store) {
    let shop = of("default", "shop");
    assert!(current(store, &shop).await.is_empty());
    assert_eq!(
        set(store, &shop, "B", "b1", WIDE)
            .await
            .expect("it is kept"),
        1
    );
    assert_eq!(
        set(store, &shop, "A", "a1", WIDE)
            .await
            .expect("it is kept"),
        1
    );
    assert_eq!(
        set(store, &shop, "A", "a2", WIDE)
            .await
            .expect("it is kept"),
        2
    );
    assert_eq!(current(store, &shop).await, ["A=a2", "B=b1"]);
    let listed = store.secrets().list(&shop).await.expect("a list");
    assert_eq!(listed.len(), 2);
    assert_eq!((listed[0].name.as_str(), listed[0].current), ("A", 2));
    assert_eq!(listed[0].versions, [(2, UnixMillis(2)), (1, UnixMillis(1))]);
}

pub(super) async fn secrets_are_an_apps_own(store: &dyn Store) {
    for (tenant_name, app) in [("ann", "shop"), ("ann", "blog"), ("bob", "shop")] {
        let of = of(tenant_name, app);
        let sealed = format!("{tenant_name}-{app}");
        set(store, &of, "KEY", &sealed, WIDE)
            .await
            .expect("it is kept");
    }
    let note = note(Action::RemoveSecret, "KEY");
    let (shop, key) = (of("ann", "shop"), name("KEY"));
    let removed = store.secrets().remove(&shop, &key, note).await;
    assert!(removed.expect("it can be removed"));
    assert!(current(store, &shop).await.is_empty());
    assert_eq!(current(store, &of("ann", "blog")).await, ["KEY=ann-blog"]);
    assert_eq!(current(store, &of("bob", "shop")).await, ["KEY=bob-shop"]);
}

pub(super) async fn secret_goes_back_to_versions_that_are_kept(store: &dyn Store) {
    let shop = of("default", "shop");
    for sealed in ["a1", "a2", "a3"] {
        set(store, &shop, "A", sealed, WIDE)
            .await
            .expect("it is kept");
    }
    assert_eq!(
        go_back(store, &shop, "A", None).await.expect("one before"),
        2
    );
    assert_eq!(current(store, &shop).await, ["A=a2"]);
    assert_eq!(
        go_back(store, &shop, "A", None).await.expect("one before"),
        1
    );
    let none = go_back(store, &shop, "A", None).await;
    assert!(
        matches!(
            none,
            Err(SecretError::NoVersion(NoVersion::Before { current: 1, .. }))
        ),
        "{none:?}"
    );
    assert_eq!(go_back(store, &shop, "A", Some(3)).await.expect("kept"), 3);
    let none = go_back(store, &shop, "A", Some(9)).await;
    assert!(
        matches!(
            none,
            Err(SecretError::NoVersion(NoVersion::Number { version: 9, .. }))
        ),
        "{none:?}"
    );
    let none = go_back(store, &shop, "B", None).await;
    assert!(
        matches!(none, Err(SecretError::NoVersion(NoVersion::OfSecret(_)))),
        "{none:?}"
    );
    // A number is never given twice.
    go_back(store, &shop, "A", Some(1)).await.expect("kept");
    assert_eq!(
        set(store, &shop, "A", "a4", WIDE)
            .await
            .expect("it is kept"),
        4
    );
    assert_eq!(current(store, &shop).await, ["A=a4"]);
}

pub(super) async fn old_versions_of_a_secret_are_forgotten(store: &dyn Store) {
    let shop = of("default", "shop");
    for round in 1..=VERSIONS_MAX + 2 {
        set(store, &shop, "A", &format!("a{round}"), WIDE)
            .await
            .expect("it is kept");
    }
    let listed = store.secrets().list(&shop).await.expect("a list");
    let versions: Vec<u32> = listed[0]
        .versions
        .iter()
        .map(|(number, _)| *number)
        .collect();
    let expected: Vec<u32> = (3..=VERSIONS_MAX + 2).rev().collect();
    assert_eq!(versions, expected);
}

pub(super) async fn version_that_was_outpaced_is_refused(store: &dyn Store) {
    let shop = of("default", "shop");
    set(store, &shop, "A", "a1", WIDE)
        .await
        .expect("it is kept");
    let late = NewSecret {
        version: 1,
        sealed: Bytes::from_static(b"late"),
        created: UnixMillis(1),
    };
    let note = note(Action::SetSecret, "A");
    let put = store
        .secrets()
        .put(&shop, &name("A"), late, WIDE, note)
        .await;
    assert!(matches!(put, Err(SecretError::Outpaced)), "{put:?}");
    assert_eq!(current(store, &shop).await, ["A=a1"]);
}

pub(super) async fn bounds_on_secrets_refuse_what_is_too_much(store: &dyn Store) {
    let shop = of("default", "shop");
    let bounds = SecretBounds {
        count_max: 2,
        bytes_max: 10,
        apps_max: 1,
    };
    set(store, &shop, "A", "12345", bounds)
        .await
        .expect("it fits");
    set(store, &shop, "B", "12345", bounds)
        .await
        .expect("it fits");
    let refused = set(store, &shop, "C", "", bounds).await;
    assert!(
        matches!(refused, Err(SecretError::TooMany { .. })),
        "{refused:?}"
    );
    let refused = set(store, &shop, "B", "123456", bounds).await;
    assert!(
        matches!(refused, Err(SecretError::TooLarge { .. })),
        "{refused:?}"
    );
    let refused = set(store, &of("default", "blog"), "A", "1", bounds).await;
    assert!(
        matches!(refused, Err(SecretError::Apps { .. })),
        "{refused:?}"
    );
    assert_eq!(current(store, &shop).await, ["A=12345", "B=12345"]);
    // What is there already may change, and other tenants have bounds of their own.
    set(store, &shop, "A", "1", bounds).await.expect("it fits");
    set(store, &of("other", "blog"), "A", "1", bounds)
        .await
        .expect("it fits");
}

pub(super) async fn secrets_go_with_their_app_and_their_tenant(store: &dyn Store) {
    let (ann, app) = (tenant("ann"), app_name("shop"));
    let made = note(Action::PutTenant, "ann");
    let made = store.accounts().put_tenant(&ann, Quotas::UNBOUNDED, made);
    made.await.expect("a tenant can be made");
    put(store, &ann, new_version("shop", 1, 1_000)).await;
    for app in ["shop", "early"] {
        set(store, &of("ann", app), "A", "a", WIDE)
            .await
            .expect("it is kept");
    }
    for (app, is_there) in [(&app, true), (&app_name("early"), true), (&app, false)] {
        let note = note(Action::RemoveApp, app.as_str());
        let removed = store.catalog().remove_app(&ann, app, note).await;
        assert_eq!(removed.expect("apps can be removed"), is_there, "{app}");
    }
    assert!(current(store, &of("ann", "shop")).await.is_empty());
    assert!(current(store, &of("ann", "early")).await.is_empty());

    set(store, &of("ann", "shop"), "A", "a", WIDE)
        .await
        .expect("it is kept");
    let note = note(Action::RemoveTenant, "ann");
    let removed = store.accounts().remove_tenant(&ann, note).await;
    assert!(removed.expect("a tenant without apps can be removed"));
    let rows = store.secrets().rows(None, 10).await.expect("all rows");
    assert!(rows.is_empty(), "{rows:?}");
}

pub(super) async fn all_versions_of_secrets_are_listed_page_by_page_and_sealed_anew(
    store: &dyn Store,
) {
    for (app, secret, sealed) in [
        ("shop", "A", "a1"),
        ("shop", "A", "a2"),
        ("blog", "B", "b1"),
        ("shop", "C", "c1"),
    ] {
        set(store, &of("default", app), secret, sealed, WIDE)
            .await
            .expect("it is kept");
    }
    let secrets = store.secrets();
    let mut rows: Vec<SealedRow> = Vec::new();
    loop {
        let after = rows.last().map(|row| &row.key);
        let page = secrets.rows(after, 1).await.expect("a page");
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    let told: Vec<(&str, u32, bool)> = rows
        .iter()
        .map(|row| (row.key.name.as_str(), row.key.version, row.is_current))
        .collect();
    assert_eq!(
        told,
        [
            ("B", 1, true),
            ("A", 1, false),
            ("A", 2, true),
            ("C", 1, true)
        ]
    );

    let (newest, anew) = (&rows[2], Bytes::from_static(b"anew"));
    let done = secrets.reseal(&newest.key, newest.sealed.clone(), anew.clone());
    assert!(done.await.expect("it can be sealed anew"));
    let noted = secrets
        .note_rotation(note(Action::RotateSecretsKey, "a key"))
        .await;
    noted.expect("an entry can be kept");
    let entries = store.audit().entries(None, None, 1).await.expect("the log");
    assert_eq!(entries[0].note.action, Action::RotateSecretsKey);
    assert_eq!(entries[0].tenant, None);
    // What isn't there any more is left alone.
    let late = secrets.reseal(
        &newest.key,
        newest.sealed.clone(),
        Bytes::from_static(b"late"),
    );
    assert!(!late.await.expect("it can be asked for"));
    assert_eq!(
        current(store, &of("default", "shop")).await,
        ["A=anew", "C=c1"]
    );
}
