//! Functions that keep data by key: `wasi:keyvalue` and what it lacks, in both worlds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::asked::noticed;
use everwarm_e2e::{
    App, Connection, DataFolder, NewApp, Node, Request, World, both_worlds, eventually,
};
use rustix::process::Signal;
use serde_json::{Value, json};

fn app(world: World) -> App {
    // What a megabyte costs in a debug build isn't what these tests are about.
    App::new("kv", world)
        .limit("cpu_time", "10s")
        .grant("kv = [\"default\", \"other\"]")
}

fn post(ask: &Value) -> Request {
    Request::post("/", ask.to_string()).header("content-type", "application/json")
}

/// What came of it.
async fn ask(node: &Node, ask: Value) -> Value {
    let reply = node.send(post(&ask)).await;
    reply.ok();
    reply.json()
}

/// What the guest was told.
async fn refused(node: &Node, asked: Value) -> String {
    let answer = ask(node, asked).await;
    let error = answer["error"].as_str();
    error.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn ok(value: impl Into<Value>) -> Value {
    json!({ "ok": value.into() })
}

both_worlds! {
    async fn what_one_request_keeps_another_one_reads(world: World) {
        let node = app(world).start().await;
        let get = json!({ "op": "get", "key": "k" });
        assert_eq!(ask(&node, get.clone()).await, ok(Value::Null));
        ask(&node, json!({ "op": "set", "key": "k", "value": "v \u{1f980}" })).await;
        assert_eq!(ask(&node, get.clone()).await, ok("v \u{1f980}"));
        assert_eq!(ask(&node, json!({ "op": "exists", "key": "k" })).await, ok(true));
        // Another store has a `k` of its own, or none.
        let other = json!({ "op": "get", "key": "k", "store": "other" });
        assert_eq!(ask(&node, other).await, ok(Value::Null));
        ask(&node, json!({ "op": "delete", "key": "k" })).await;
        assert_eq!(ask(&node, get).await, ok(Value::Null));
    }

    async fn store_that_is_not_granted_is_not_opened_and_the_log_names_the_grant(world: World) {
        let node = app(world).start().await;
        let open = |store: &str| json!({ "op": "open", "store": store });
        assert_eq!(ask(&node, open("other")).await, ok(Value::Null));
        assert_eq!(refused(&node, open("secrets")).await, "access-denied");
        noticed(&node, "add \"secrets\" to `kv` in [function.grants] of the function `kv`").await;
        for name in ["", "two words", &"x".repeat(65)] {
            assert_eq!(refused(&node, open(name)).await, "no-such-store");
        }
    }

    async fn function_without_a_grant_opens_nothing(world: World) {
        let node = App::new("kv", world).start().await;
        assert_eq!(refused(&node, json!({ "op": "open" })).await, "access-denied");
    }

    async fn additions_of_many_requests_are_all_counted(world: World) {
        let node = app(world).start().await;
        let add = json!({ "op": "increment", "key": "n", "delta": 3 });
        let adds = (0..40).map(|_| ask(&node, add.clone()));
        let mut sums: Vec<i64> = futures_util::future::join_all(adds)
            .await
            .iter()
            .map(|answer| answer["ok"].as_i64().unwrap())
            .collect();
        sums.sort_unstable();
        assert_eq!(sums, (1..=40).map(|n| n * 3).collect::<Vec<_>>());
        assert_eq!(ask(&node, json!({ "op": "get", "key": "n" })).await, ok("120"));
        let down = json!({ "op": "increment", "key": "n", "delta": -121 });
        assert_eq!(ask(&node, down).await, ok(-1));
    }

    async fn swaps_of_many_requests_lose_nothing(world: World) {
        let node = app(world).start().await;
        let append = json!({ "op": "append", "key": "k", "value": "x" });
        let appends = (0..16).map(|_| ask(&node, append.clone()));
        for answer in futures_util::future::join_all(appends).await {
            assert!(answer["error"].is_null(), "{answer}");
        }
        let value = ask(&node, json!({ "op": "get", "key": "k" })).await;
        assert_eq!(value, ok("x".repeat(16)));
    }

    async fn batches_are_kept_and_read_as_a_whole(world: World) {
        let node = app(world).start().await;
        let set = json!({ "op": "set-many", "values": [["a", "1"], ["b", "2"], ["a", "3"]] });
        assert_eq!(ask(&node, set).await, ok(Value::Null));
        let get = json!({ "op": "get-many", "keys": ["b", "none", "a"] });
        assert_eq!(ask(&node, get.clone()).await, ok(json!(["2", null, "3"])));
        // One bad key, and nothing is kept.
        let set = json!({ "op": "set-many", "values": [["a", "4"], ["", "5"]] });
        assert!(refused(&node, set).await.contains("1 to 512 bytes"));
        let delete = json!({ "op": "delete-many", "keys": ["b", "none"] });
        assert_eq!(ask(&node, delete).await, ok(Value::Null));
        assert_eq!(ask(&node, get).await, ok(json!([null, null, "3"])));
        let keys: Vec<_> = (0..101).map(|n| n.to_string()).collect();
        let many = json!({ "op": "get-many", "keys": keys });
        assert!(refused(&node, many).await.contains("a batch may have 100"));
    }

    async fn keys_come_in_order_and_page_by_page(world: World) {
        let node = app(world).start().await;
        let sets: Vec<_> = (0..5)
            .map(|n| json!({ "op": "set", "key": format!("user/{n}"), "value": "" }))
            .chain([json!({ "op": "set", "key": "z", "value": "" })])
            .collect();
        ask(&node, json!(sets)).await;
        let all = ask(&node, json!({ "op": "keys" })).await;
        assert_eq!(all["ok"]["keys"].as_array().unwrap().len(), 6);
        assert!(all["ok"]["cursor"].is_null());
        let mut list = json!({ "op": "keys", "prefix": "user/", "count_max": 2 });
        let mut seen = Vec::new();
        loop {
            let page = ask(&node, list.clone()).await;
            let keys = page["ok"]["keys"].as_array().unwrap().clone();
            assert!(keys.len() <= 2);
            seen.extend(keys);
            list["cursor"] = page["ok"]["cursor"].clone();
            if list["cursor"].is_null() {
                break;
            }
        }
        assert_eq!(json!(seen), json!(["user/0", "user/1", "user/2", "user/3", "user/4"]));
        let bad = json!({ "op": "keys", "cursor": "" });
        assert!(refused(&node, bad).await.contains("cursor"));
    }

    async fn entry_with_a_time_to_live_ends_by_itself(world: World) {
        let node = app(world).start().await;
        let set = json!({ "op": "set", "key": "k", "value": "v", "ttl_ms": 3_600_000 });
        let get = json!({ "op": "get", "key": "k" });
        assert_eq!(ask(&node, json!([set, get.clone()])).await[1], ok("v"));
        let set = json!({ "op": "set", "key": "k", "value": "v", "ttl_ms": 1 });
        ask(&node, set).await;
        eventually("the entry is gone", async || {
            (ask(&node, get.clone()).await == ok(Value::Null)).then_some(())
        })
        .await;
        let set = json!({ "op": "set", "key": "k", "value": "v", "ttl_ms": 0 });
        assert!(refused(&node, set).await.contains("1 ms at least"));
    }

    async fn what_cannot_be_kept_is_an_error_of_the_interface(world: World) {
        let node = app(world).start().await;
        let long = "k".repeat(513);
        for (asked, told) in [
            (json!({ "op": "set", "key": "", "value": "v" }), "1 to 512 bytes"),
            (json!({ "op": "set", "key": long, "value": "v" }), "1 to 512 bytes"),
            (json!({ "op": "get", "key": "a\u{0}b" }), "no NUL"),
            (json!({ "op": "set-bytes", "key": "k", "bytes": (1 << 20) + 1 }), "keep it in parts"),
            (json!({ "op": "set-bytes", "key": "k", "bytes": 16 << 20 }), "keep it in parts"),
        ] {
            let error = refused(&node, asked).await;
            assert!(error.contains(told), "{error}");
        }
        let text = json!({ "op": "set", "key": "k", "value": "many" });
        let add = json!({ "op": "increment", "key": "k", "delta": 1 });
        let answers = ask(&node, json!([text, add.clone()])).await;
        assert!(answers[1]["error"].as_str().unwrap().contains("no decimal number"));
        let most = json!({ "op": "set", "key": "k", "value": i64::MAX.to_string() });
        let answers = ask(&node, json!([most, add])).await;
        assert!(answers[1]["error"].as_str().unwrap().contains("64 bits"));
        // The largest that may be.
        let full = json!({ "op": "set-bytes", "key": "k".repeat(512), "bytes": 1 << 20 });
        assert_eq!(ask(&node, full).await, ok(Value::Null));
    }

    async fn stores_that_are_hoarded_end_their_request_alone(world: World) {
        let node = app(world).start().await;
        let hoard = |count: u32| post(&json!({ "op": "hoard", "count": count }));
        assert_eq!(node.send(hoard(1_000)).await.json(), ok(1_000));
        node.send(hoard(20_000)).await.failed(500, "EW3002");
        assert_eq!(ask(&node, json!({ "op": "open" })).await, ok(Value::Null));
    }

    async fn write_that_was_acknowledged_outlives_the_trap_after_it(world: World) {
        let node = app(world).start().await;
        let set = json!({ "op": "set-and-trap", "key": "k", "value": "v" });
        node.send(post(&set)).await.failed(500, "EW3002");
        assert_eq!(ask(&node, json!({ "op": "get", "key": "k" })).await, ok("v"));
    }

    async fn request_that_writes_on_and_on_ends_at_its_limit(world: World) {
        let node = app(world).limit("wall_time", "300ms").start().await;
        let fill = post(&json!({ "op": "fill", "bytes": 10 }));
        assert_eq!(node.send(fill).await.status(), 504);
        assert_eq!(ask(&node, json!({ "op": "exists", "key": "fill/0" })).await, ok(true));
    }

    async fn data_is_there_again_after_a_restart(world: World) {
        let folder = app(world).write();
        let node = folder.start().await;
        ask(&node, json!({ "op": "set", "key": "k", "value": "v" })).await;
        drop(node.stop(Signal::TERM).await);
        let node = folder.start().await;
        assert_eq!(ask(&node, json!({ "op": "get", "key": "k" })).await, ok("v"));
    }
}

/// Adds one to a number again and again, until the node is gone. Returns the last sum that it was told.
async fn add_on(mut connection: Connection) -> i64 {
    let mut last = 0;
    loop {
        let add = post(&json!({ "op": "increment", "key": "n", "delta": 1 }));
        let Ok(open) = connection.try_open(add).await else {
            return last;
        };
        let reply = open.read().await;
        if reply.is_broken() {
            return last;
        }
        last = reply.json()["ok"].as_i64().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_however_often_the_node_is_killed() {
    let folder = app(World::Wasi02).write();
    let mut told = 0;
    for round in 0..8_u32 {
        let node = folder.start().await;
        let now = ask(&node, json!({ "op": "increment", "key": "n", "delta": 0 })).await;
        let now = now["ok"].as_i64().unwrap();
        assert!(
            now >= told,
            "{told} was acknowledged, and {now} is there: round {round}"
        );
        let mut writers = Vec::new();
        for _ in 0..4 {
            writers.push(tokio::spawn(add_on(node.connect().await)));
        }
        eventually("the writers write", async || {
            let sum = ask(&node, json!({ "op": "increment", "key": "n", "delta": 0 })).await;
            (sum["ok"].as_i64().unwrap() > now + i64::from(round)).then_some(())
        })
        .await;
        drop(node.stop(Signal::KILL).await);
        told = now;
        for writer in writers {
            told = told.max(writer.await.unwrap());
        }
    }
    assert!(told > 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_have_stores_of_their_own_and_versions_share_them() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let app = |name: &str, version: &str| {
        NewApp::new(name, "kv", &["/*"])
            .line(&format!("env = {{ VERSION = \"{version}\" }}"))
            .line("[function.grants]\nkv = [\"default\"]")
    };
    app("one", "1").deploy(&client).await.unwrap();
    app("two", "1").deploy(&client).await.unwrap();
    let ask = async |host: &str, ask: &Value| {
        let reply = server.node.send(post(ask).header("host", host)).await;
        reply.ok();
        reply.json()
    };
    let set = json!({ "op": "set", "key": "k", "value": "one's" });
    let get = json!({ "op": "get", "key": "k" });
    ask("one.example.com", &set).await;
    assert_eq!(ask("two.example.com", &get).await, ok(Value::Null));
    app("one", "2").deploy(&client).await.unwrap();
    assert_eq!(ask("one.example.com", &get).await, ok("one's"));
}
