//! Key-value data for its owners: the admin API of a real node. The command line is in `kv_command_line`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use everwarm_api::client::{KvQuery, KvStore};
use everwarm_api::messages::{Quotas, Scope};
use everwarm_api::operations::{ALL, Operation, PUT_VALUE, Place};
use everwarm_e2e::raw::Raw;
use everwarm_e2e::server::problem;
use everwarm_e2e::values::{code, deploy, entry, keys, refused};
use everwarm_e2e::{DataFolder, Request, Server, eventually};

const STORE: &str = "default";
const MIB: usize = 1 << 20;

async fn value(store: KvStore<'_>, key: &str) -> Option<Bytes> {
    let found = store.get(key).await.unwrap();
    found.map(|found| found.bytes)
}

/// A path of an operation on the store `default` of an app.
fn path(operation: &Operation, app: &str) -> String {
    let path = operation.path.replace("{app}", app);
    path.replace("{store}", STORE) + "?key=k"
}

/// All operations on key-value data, with a body that they take.
fn operations() -> impl Iterator<Item = (&'static Operation, &'static str)> {
    let of_store = ALL.iter().filter(|operation| {
        let mut parameters = operation.parameters.iter();
        parameters.any(|it| it.place == Place::Path && it.name == "store")
    });
    of_store.map(|operation| match operation.id {
        "readValues" | "removeValues" => (*operation, r#"{"keys":["k"]}"#),
        "writeValues" => (*operation, r#"{"items":[{"key":"k","value":""}]}"#),
        _ => (*operation, ""),
    })
}

async fn asked(server: &Server, token: &str, path: &str, of: (&Operation, &str)) -> u16 {
    let (operation, body) = of;
    let request = Request::with_body(operation.method.clone(), path, body.to_owned())
        .header("authorization", &format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("host", "x");
    server.ask_admin(request).await.status().as_u16()
}

#[tokio::test]
async fn app_that_is_not_there_or_another_tenants_has_no_values() {
    let data = DataFolder::new();
    let server = data.start().await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Deploy).await;
    let bob = server.tenant("bob", Quotas::default(), Scope::Deploy).await;
    deploy(&ann, "anns").await;
    let hers = ann.kv("anns", STORE);
    hers.put("k", "hers".into(), None).await.unwrap();
    for his in [
        bob.kv("anns", STORE),
        bob.kv("none", STORE),
        bob.kv("../anns", STORE),
    ] {
        let not_found = code(404, "EW5005");
        assert_eq!(refused(his.get("k").await), not_found);
        assert_eq!(refused(his.put("k", "his".into(), None).await), not_found);
        assert_eq!(refused(his.remove("k").await), not_found);
        assert_eq!(refused(his.keys(KvQuery::default()).await), not_found);
        assert_eq!(refused(his.read(vec!["k".to_owned()]).await), not_found);
        assert_eq!(refused(his.write(vec![entry("k", "his")]).await), not_found);
        assert_eq!(
            refused(his.remove_all(vec!["k".to_owned()]).await),
            not_found
        );
    }
    assert_eq!(value(hers, "k").await.unwrap(), "hers");
    // His app of the same name, which he can have when she has it no more, is another one.
    ann.remove_app("anns").await.unwrap();
    deploy(&bob, "anns").await;
    assert_eq!(keys(bob.kv("anns", STORE)).await, [""; 0]);
}

#[tokio::test]
async fn token_that_may_only_look_reaches_no_operation_on_values() {
    let data = DataFolder::new();
    let server = data.start().await;
    let deployer = server.tenant("ann", Quotas::default(), Scope::Deploy).await;
    deploy(&deployer, "shop").await;
    let new = everwarm_api::messages::NewToken {
        name: "reader".to_owned(),
        scope: Scope::Read,
        lifetime_s: None,
        of_node: true,
    };
    let reader = server.client().make_token(&new).await.unwrap().token;
    let mut seen = 0;
    for of in operations() {
        assert_eq!(asked(&server, &reader, &path(of.0, "shop"), of).await, 403);
        seen += 1;
    }
    assert_eq!(seen, 7);
    let store = deployer.kv("shop", STORE);
    assert_eq!(keys(store).await, [""; 0]);
}

#[tokio::test]
async fn value_or_batch_that_is_too_large_is_refused_and_changes_nothing() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let store = client.kv("shop", STORE);
    let zeros = |bytes: usize| Bytes::from(vec![0; bytes]);
    let too_large = code(413, "EW5021");
    store.put("k", zeros(MIB), None).await.unwrap();
    assert_eq!(
        refused(store.put("k", zeros(MIB + 1), None).await),
        too_large
    );
    // So large that nothing of it is read: the connection ends, and says so.
    let put = format!("PUT {} HTTP/1.1\r\nhost: x\r\n", path(&PUT_VALUE, "shop"));
    let token = server.first_token().expose();
    let mut raw = Raw::connect(server.admin_address()).await;
    raw.write(format!(
        "{put}authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
        u64::MAX >> 1
    ))
    .await;
    let answer = raw.read_until("\"detail\"").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(value(store, "k").await.unwrap().len(), MIB);

    let one = refused(
        store
            .write(vec![entry("a", "x"), entry("b", zeros(MIB + 1))])
            .await,
    );
    assert_eq!(one, too_large);
    let large = (0..8).map(|number| entry(number.to_string(), zeros(MIB)));
    assert_eq!(refused(store.write(large.collect()).await), too_large);
    let many = (0..101).map(|number| entry(number.to_string(), "x"));
    assert_eq!(refused(store.write(many.collect()).await), too_large);
    let names: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    assert_eq!(refused(store.read(names.clone()).await), too_large);
    assert_eq!(refused(store.remove_all(names).await), too_large);
    assert_eq!(keys(store).await, ["k"]);
    // As much as there may be.
    let most = (0..7).map(|number| entry(number.to_string(), zeros(MIB)));
    store.write(most.collect()).await.unwrap();
    assert_eq!(keys(store).await.len(), 8);
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let store = client.kv("shop", STORE);
    let not_a_key = code(400, "EW5023");
    for key in ["", "a\0b", &*"k".repeat(513)] {
        assert_eq!(refused(store.get(key).await), not_a_key);
        assert_eq!(refused(store.put(key, "x".into(), None).await), not_a_key);
        assert_eq!(refused(store.remove(key).await), not_a_key);
        assert_eq!(refused(store.read(vec![key.to_owned()]).await), not_a_key);
        let batch = store.write(vec![entry("a", "x"), entry(key, "x")]).await;
        let told = problem(batch);
        assert_eq!((told.status, told.code), not_a_key);
        assert!(told.detail.contains("entry 2"), "{}", told.detail);
    }
    assert_eq!(
        refused(client.kv("shop", "two words").get("k").await),
        not_a_key
    );
    assert_eq!(
        refused(store.put("k", "x".into(), Some(0)).await),
        code(400, "EW5009")
    );
    // A byte that is no UTF-8 isn't taken for another character.
    let token = server.first_token().expose();
    for of in operations() {
        let path = path(of.0, "shop").replace("key=k", "key=%FF&prefix=%FF");
        let status = asked(&server, token, &path, of).await;
        let reads_query = of.1.is_empty();
        assert_eq!(status == 400, reads_query, "{}: {status}", of.0.id);
    }
    let longest = "k".repeat(512);
    store.put(&longest, "x".into(), None).await.unwrap();
    assert_eq!(keys(store).await, [longest]);
}

#[tokio::test]
async fn quota_of_a_tenant_bounds_each_of_its_apps_and_holds_at_once() {
    let data = DataFolder::new();
    let server = data.start().await;
    let quotas = Quotas {
        kv_bytes: Some(100),
        kv_entries: Some(2),
        ..Quotas::default()
    };
    let ann = server.tenant("ann", quotas, Scope::Deploy).await;
    deploy(&ann, "one").await;
    deploy(&ann, "two").await;
    let zeros = |bytes: usize| Bytes::from(vec![0; bytes]);
    let reached = code(403, "EW5008");
    let one = ann.kv("one", STORE);
    one.put("a", zeros(90), None).await.unwrap();
    assert_eq!(refused(one.put("b", zeros(10), None).await), reached);
    assert_eq!(
        refused(one.write(vec![entry("b", zeros(10))]).await),
        reached
    );
    // Each store of the app counts, and the other app doesn't.
    assert_eq!(
        refused(ann.kv("one", "other").put("b", zeros(10), None).await),
        reached
    );
    ann.kv("two", STORE)
        .put("a", zeros(90), None)
        .await
        .unwrap();
    one.put("b", zeros(1), None).await.unwrap();
    one.put("a", zeros(1), None).await.unwrap();
    assert_eq!(refused(one.put("c", zeros(1), None).await), reached);

    let larger = Quotas {
        kv_entries: Some(3),
        ..quotas
    };
    let told = server.client().put_tenant("ann", &larger).await.unwrap();
    assert_eq!(told.quotas, larger);
    one.put("c", zeros(1), None).await.unwrap();
    // A restart keeps them.
    let server = server.kill_and_restart(&data).await;
    let ann = server.client_of("ann", Scope::Deploy).await;
    let one = ann.kv("one", STORE);
    assert_eq!(refused(one.put("d", zeros(1), None).await), reached);
    server
        .client()
        .put_tenant("ann", &Quotas::default())
        .await
        .unwrap();
    one.put("d", zeros(1_000), None).await.unwrap();
}

#[tokio::test]
async fn removed_app_takes_its_values_along_and_its_name_begins_anew() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let store = client.kv("shop", STORE);
    store.put("a", "x".into(), None).await.unwrap();
    client.remove_app("shop").await.unwrap();
    assert_eq!(refused(store.get("a").await), code(404, "EW5005"));
    deploy(&client, "shop").await;
    assert_eq!(keys(store).await, [""; 0]);
    store.put("b", "yes".into(), None).await.unwrap();
    // Another deploy of what is there takes nothing.
    deploy(&client, "shop").await;
    assert_eq!(keys(store).await, ["b"]);

    // The next start sweeps at once, looks for what has no app, and finds this one.
    let server = server.kill_and_restart(&data).await;
    eventually("what was removed is swept", async || {
        (metric(&server, "everwarm_kv_swept_total").await == Some(1)).then_some(())
    })
    .await;
    let client = server.client();
    assert_eq!(value(client.kv("shop", STORE), "b").await.unwrap(), "yes");
    let kept = "everwarm_kv_entries{tenant=\"default\",app=\"shop\"}";
    assert_eq!(metric(&server, kept).await, Some(1));
    let bytes = kept.replace("entries", "bytes");
    assert_eq!(metric(&server, &bytes).await, Some(4));
}

#[tokio::test]
async fn values_outlive_a_catalog_that_is_lost_when_their_app_is_deployed_anew() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server.client(), "shop").await;
    let put = server.client();
    put.kv("shop", STORE)
        .put("k", "kept".into(), None)
        .await
        .unwrap();
    drop(server.node.stop(rustix::process::Signal::TERM).await);
    for file in std::fs::read_dir(data.path()).unwrap().flatten() {
        if file
            .file_name()
            .to_string_lossy()
            .starts_with("catalog.sqlite")
        {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    let server = data.start().await;
    let client = server.client();
    let store = client.kv("shop", STORE);
    assert_eq!(refused(store.get("k").await), code(404, "EW5005"));
    deploy(&client, "shop").await;
    assert_eq!(value(store, "k").await.unwrap(), "kept");
}

async fn metric(server: &Server, name: &str) -> Option<u64> {
    let token = format!("Bearer {}", server.first_token().expose());
    let request = Request::get("/metrics").header("authorization", &token);
    let reply = server.ask_admin(request.header("host", "x")).await;
    let line = reply
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(name));
    line?.trim().parse().ok()
}

#[tokio::test]
async fn writes_are_in_the_audit_log_with_neither_keys_nor_values() {
    let data = DataFolder::new();
    let server = data.start().await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Admin).await;
    deploy(&ann, "shop").await;
    let store = ann.kv("shop", STORE);
    store.put("k1", "v1".into(), None).await.unwrap();
    let both = vec![entry("k1", "v2"), entry("k2", "v2")];
    store.write(both).await.unwrap();
    store.write(Vec::new()).await.unwrap();
    assert_eq!(refused(store.put("", "v3".into(), None).await).0, 400);
    store.remove("k1").await.unwrap();
    store.remove_all(vec!["k2".to_owned()]).await.unwrap();
    store.keys(KvQuery::default()).await.unwrap();
    let entries = ann.audit(false, None).await.unwrap().items;
    let told: Vec<(&str, &str, &str)> = entries
        .iter()
        .take_while(|entry| entry.action != "deploy")
        .map(|entry| (&*entry.action, &*entry.subject, &*entry.detail))
        .collect();
    assert_eq!(
        told,
        [
            ("remove-values", "shop", "store default: 1 key"),
            ("remove-values", "shop", "store default: 1 key"),
            ("put-values", "shop", "store default: 2 keys"),
            ("put-values", "shop", "store default: 1 key"),
        ]
    );
    assert!(entries[0].actor.starts_with("ann admin ("), "{entries:?}");
    assert_eq!(entries[0].tenant.as_deref(), Some("ann"));
}

#[tokio::test]
async fn value_with_a_time_to_live_is_gone_after_it() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    deploy(&client, "shop").await;
    let store = client.kv("shop", STORE);
    let put = store.put("k", "short".into(), Some(1)).await.unwrap();
    assert!(put.expires_ms.is_some());
    eventually("the value expires", async || {
        value(store, "k").await.is_none().then_some(())
    })
    .await;
    assert_eq!(keys(store).await, [""; 0]);
    let read = store.read(vec!["k".to_owned()]).await.unwrap();
    assert_eq!(read, []);
}
