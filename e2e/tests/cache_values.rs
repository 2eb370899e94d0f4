//! Values that functions keep in the node's memory: `everwarm:cache`, in both worlds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::asked::noticed;
use everwarm_e2e::{App, Node, Request, World, both_worlds, eventually};
use http::Method;
use serde_json::{Value, json};

fn app(world: World) -> App {
    App::new("cached", world)
        .grant("kv = [\"default\"]")
        .limit("cpu_time", "10s")
}

async fn ask(node: &Node, ask: Value) -> Value {
    let put = Request::with_body(Method::PUT, "/values", ask.to_string());
    let reply = node.send(put).await;
    reply.ok();
    serde_json::from_str(reply.text()).unwrap()
}

both_worlds! {
    async fn value_that_one_request_keeps_another_one_has_for_its_time(world: World) {
        let node = app(world).grant("cache = true").start().await;
        let get = || json!({ "op": "get", "key": "k" });
        assert_eq!(ask(&node, get()).await, json!({ "ok": null }));
        ask(&node, json!({ "op": "set", "key": "k", "value": "v \u{1f980}", "ttl_ms": 600_000 })).await;
        assert_eq!(ask(&node, get()).await, json!({ "ok": "v \u{1f980}" }));
        ask(&node, json!({ "op": "delete", "key": "k" })).await;
        assert_eq!(ask(&node, get()).await, json!({ "ok": null }));
        ask(&node, json!({ "op": "set", "key": "k", "value": "short", "ttl_ms": 1 })).await;
        eventually("it is gone", async || {
            (ask(&node, get()).await == json!({ "ok": null })).then_some(())
        }).await;
        for (wrong, says) in [
            (json!({ "op": "get", "key": "" }), "1 to 512 bytes"),
            (json!({ "op": "set", "key": "k".repeat(513), "value": "", "ttl_ms": 1 }), "1 to 512 bytes"),
            (json!({ "op": "set", "key": "k", "value": "", "ttl_ms": 0 }), "1 millisecond at least"),
            (json!({ "op": "set-bytes", "key": "k", "bytes": (1 << 20) + 1 }), "at most 1048576 bytes"),
        ] {
            let told = ask(&node, wrong).await;
            assert!(told["error"].as_str().unwrap().contains(says), "{told}");
        }
        assert_eq!(ask(&node, json!({ "op": "set-bytes", "key": "k", "bytes": 1 << 20 })).await, json!({ "ok": null }));
    }

    async fn cache_that_is_not_granted_is_not_there_and_the_log_names_the_grant(world: World) {
        let node = app(world).start().await;
        let told = ask(&node, json!({ "op": "get", "key": "k" })).await;
        assert!(told["error"].as_str().unwrap().contains("cache = true"), "{told}");
        noticed(&node, "add `cache = true` to [function.grants] of the function `cached`").await;
    }
}
