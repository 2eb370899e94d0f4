//! Clients that leave in the middle: what was done for them ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::raw::Raw;
use everwarm_e2e::{App, Node, Request, World, both_worlds, eventually};
use serde_json::Value;

/// Long enough that it is never waited for.
const NEVER: &str = "ms=3600000";
/// Refusals in a row that no request causes that was just over.
const REFUSALS: usize = 5;

/// Sends a request that gets no answer, and returns when it is inside. The function's concurrency is
/// one, so that others are refused then.
async fn inside(node: &Node, path: &str) -> Raw {
    eventually("the request is inside", async || {
        let mut raw = node.connect_raw().await;
        raw.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await;
        let mut refusals = 0;
        while refusals < REFUSALS {
            if raw.is_answered() {
                // One of the questions below had the place.
                return None;
            }
            let reply = node.get("/counter").await;
            let refused = reply.header("everwarm-error") == Some("EW3011");
            refusals = if refused { refusals + 1 } else { 0 };
        }
        Some(raw)
    })
    .await
}

/// Waits until nothing is inside.
async fn free(node: &Node) {
    eventually("its place is free", async || {
        (node.get("/counter").await.status() == 200).then_some(())
    })
    .await;
}

both_worlds! {
    async fn client_that_leaves_before_the_answer_ends_its_request(world: World) {
        let path = format!("/sleep?{NEVER}");
        let node = App::new("misbehave", world).limit("wall_time", "2h").concurrency(1).start().await;
        let raw = inside(&node, &path).await;
        drop(raw);
        let left = |event: &Value| event["path"] == path && event["error"] == "EW3018";
        let event = node.log().value("the access event of a client that left", left).await;
        assert_eq!(event["status"], 499, "{event}");
        free(&node).await;
    }

    async fn client_that_leaves_in_the_middle_of_a_stream_ends_it(world: World) {
        let path = format!("/sse?chunks=2&{NEVER}");
        let node = App::new("misbehave", world).limit("wall_time", "2h").concurrency(1).start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            let mut open = eventually("the stream is open", async || {
                let open = connection.open(Request::get(&path)).await;
                (open.status() == 200).then_some(open)
            })
            .await;
            open.expect("event: tick\ndata: 0\n\n").await;
            drop((open, connection));
            free(&node).await;
        }
        let left = |event: &Value| event["path"] == path && event["error"] == "EW3018";
        node.log().value("the access event of a client that left", left).await;
    }

    async fn loop_of_a_client_that_left_ends(world: World) {
        let app = App::new("misbehave", world).limit("cpu_time", "4m").limit("wall_time", "4m");
        let node = app.concurrency(1).start().await;
        let raw = inside(&node, "/loop").await;
        drop(raw);
        // Long before the loop reaches a limit of its own.
        free(&node).await;
    }

    async fn client_that_breaks_off_its_body_is_told_to_the_function(world: World) {
        let node = App::new("echo", world).start().await;
        let mut raw = node.connect_raw().await;
        raw.write("POST /count?broken HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").await;
        drop(raw);
        // The function sees an error where a shorter body would have been a lie.
        let event = node.log().access("/count?broken").await;
        assert_ne!(event["status"], 200, "{event}");
    }
}

#[tokio::test]
async fn clients_that_leave_a_shared_instance_harm_nobody_in_it() {
    let app = App::new("misbehave", World::Wasi03).isolation("concurrent");
    let node = app.limit("wall_time", "1h").start().await;
    let mut connection = node.connect_http2().await;
    let mut stays = connection
        .open(Request::get("/slow-body?chunks=40&bytes=1&ms=25"))
        .await;
    stays.expect("x").await;
    for _ in 0..20 {
        let mut leaves = connection
            .open(Request::get(&format!("/sse?chunks=2&{NEVER}")))
            .await;
        leaves.expect("event: tick\ndata: 0\n\n").await;
    }
    assert_eq!(stays.read().await.ok(), "x".repeat(39));
    assert_eq!(connection.get("/counter").await.ok(), "0\n");
    assert_eq!(
        connection.get("/counter").await.ok(),
        "1\n",
        "the instance lives on"
    );
}

#[tokio::test]
async fn client_that_left_a_shared_instance_keeps_its_place_until_the_guest_has_ended() {
    let app = App::new("misbehave", World::Wasi03).isolation("concurrent");
    let node = app.concurrency(1).limit("wall_time", "3s").start().await;
    let raw = inside(&node, &format!("/sleep?{NEVER}")).await;
    raw.leave().await;
    node.get("/counter").await.failed(503, "EW3011");
    free(&node).await;
}
