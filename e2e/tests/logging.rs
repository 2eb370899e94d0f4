//! What functions say on purpose (`wasi:logging`) and what they print: with the request that it was for, and no more of it
//! than an app may say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::{App, Node, World, both_worlds, eventually};
use serde_json::Value;

/// The event of a line.
async fn event(node: &Node, line: &str) -> Value {
    let is_it = |value: &Value| value["fields"]["line"] == line;
    node.log().value(line, is_it).await["fields"].clone()
}

both_worlds! {
    async fn message_has_its_level_its_context_and_its_request(world: World) {
        let node = App::new("misbehave", world).start().await;
        let reply = node.get("/log").await;
        let id = reply.header("x-request-id").unwrap();
        let said = event(&node, "a message with a level").await;
        assert_eq!(said["stream"], "log");
        assert_eq!((&said["severity"], &said["context"]), (&"warn".into(), &"shop".into()));
        assert_eq!(said["request_id"], id);
        assert_eq!((&said["app"], &said["function"]), (&"misbehave".into(), &"misbehave".into()));
        let said = event(&node, "a message of the crate log").await;
        assert_eq!((&said["severity"], &said["context"]), (&"info".into(), &"basket".into()));
        assert_eq!(said["request_id"], id);
        assert!(!node.log().contains("a message that is below the level"));
    }

    async fn what_is_printed_has_its_request(world: World) {
        let node = App::new("misbehave", world).isolation("serial").start().await;
        for _ in 0..2 {
            let reply = node.get("/stdout").await;
            let id = reply.header("x-request-id").unwrap();
            for line in ["a line on stdout", "a line on stderr"] {
                let is_it = |value: &Value| {
                    value["fields"]["line"] == line && value["fields"]["request_id"] == id
                };
                node.log().value(line, is_it).await;
            }
        }
    }

    async fn app_says_only_so_much_in_a_second(world: World) {
        let app = App::new("misbehave", world).limit("cpu_time", "30s").limit("wall_time", "60s");
        let node = app.start().await;
        node.get("/flood?lines=20000").await.ok();
        node.log().line("lines are dropped until the second is over").await;
        let is_flood = |value: &&Value| {
            value["fields"]["line"].as_str().is_some_and(|line| line.starts_with("xxx"))
        };
        node.log().access("/flood?lines=20000").await;
        let shown = node.log().json().iter().filter(is_flood).count();
        assert!(shown < 20_000, "{shown}");
        // A later second has room again, and says how much there was none for.
        let told = "lines were dropped: the app said too much in a second";
        eventually("a later second tells", async || {
            node.get("/stdout").await.ok();
            node.log().contains(told).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn other_toolchains_log_with_and_without_the_drafts_version() {
    for (guest, world) in [("wstd", World::Wasi02), ("wasip3", World::Wasi03)] {
        let node = App::new(guest, world).start().await;
        node.get("/log").await.ok();
        let said = event(&node, "a message of another toolchain").await;
        assert_eq!(said["severity"], "error");
        assert_eq!(said["context"], guest);
    }
}
