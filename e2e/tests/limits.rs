//! Limits: each ends the request that reaches it, says so with its own code, and costs nobody else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::client::BodySender;
use everwarm_e2e::{App, Node, Reply, Request, World, both_worlds, eventually};

/// Long enough that it is never waited for.
const NEVER: &str = "ms=3600000";

/// That the node goes on as if nothing had been.
async fn still_serves(node: &Node) {
    assert_eq!(node.get("/counter").await.ok(), "0\n");
}

/// That a response that was cut off by a limit is either an error or broken, never short and whole.
fn cut_off(reply: &Reply, status: u16, code: &str) {
    if reply.status() == 200 {
        assert!(
            reply.is_broken(),
            "a whole 200: {} bytes",
            reply.received().len()
        );
    } else {
        reply.failed(status, code);
    }
}

/// Sends more than 1 KiB. The body isn't over then: it is the node that ends it.
async fn too_much(sender: &BodySender) {
    for _ in 0..3 {
        // The node may have ended it already.
        let _ = sender.send(vec![b'x'; 512]).await;
    }
}

both_worlds! {
    async fn loop_ends_at_the_cpu_limit(world: World) {
        let node = App::new("misbehave", world).limit("cpu_time", "50ms").start().await;
        node.get("/loop").await.failed(504, "EW3003");
        let event = node.log().access("/loop").await;
        assert_eq!((&event["status"], &event["error"]), (&504.into(), &"EW3003".into()));
        // Most of the limit was used: the loop wasn't ended by the clock on the wall.
        assert!(event["cpu_us"].as_u64().is_some_and(|us| us >= 25_000), "{event}");
        still_serves(&node).await;
    }

    async fn waiting_costs_no_cpu_time(world: World) {
        let node = App::new("misbehave", world).limit("cpu_time", "100ms").start().await;
        assert_eq!(node.get("/sleep?ms=300").await.ok(), "slept\n");
    }

    async fn neighbours_are_served_while_loops_burn(world: World) {
        let app = App::new("misbehave", world).limit("cpu_time", "2m").limit("wall_time", "5m");
        let node = app.and("hello", world, "/hello").start().await;
        let mut loops = Vec::new();
        for _ in 0..8 {
            let mut connection = node.connect().await;
            loops.push(tokio::spawn(async move { connection.get("/loop").await }));
        }
        for _ in 0..10 {
            assert_eq!(node.get("/hello").await.ok(), "Hello from Everwarm\n");
        }
        for burning in loops {
            assert!(!burning.is_finished(), "the loops had ended before the neighbours were served");
            burning.abort();
        }
    }

    async fn request_ends_at_the_wall_limit(world: World) {
        let node = App::new("misbehave", world).limit("wall_time", "200ms").start().await;
        // One waits in the way of an async function, the other blocks its instance.
        for path in [&format!("/sleep?{NEVER}"), "/pending"] {
            node.get(path).await.failed(504, "EW3004");
            assert_eq!(node.log().access(path).await["error"], "EW3004");
        }
        still_serves(&node).await;
    }

    async fn stream_ends_at_the_wall_limit(world: World) {
        let node = App::new("misbehave", world).limit("wall_time", "300ms").start().await;
        let path = format!("/slow-body?chunks=2&{NEVER}");
        let reply = node.get(&path).await;
        assert!(reply.is_broken(), "{reply:?}");
        assert_eq!(node.log().access(&path).await["error"], "EW3004");
    }

    async fn memory_ends_at_its_limit(world: World) {
        let app = App::new("misbehave", world).limit("memory", "32MiB").limit("cpu_time", "30s");
        let node = app.start().await;
        node.get("/memory-bomb").await.failed(500, "EW3005");
        node.get("/memory?mib=64").await.failed(500, "EW3005");
        assert_eq!(node.get("/memory?mib=16").await.ok(), "16777216\n");
        let event = node.log().access("/memory?mib=16").await;
        let peak = event["memory_peak"].as_u64().unwrap();
        assert!((16 << 20..=32 << 20).contains(&peak), "{event}");
        still_serves(&node).await;
    }

    async fn stack_overflow_costs_its_own_request_only(world: World) {
        let node = App::new("misbehave", world).limit("cpu_time", "30s").start().await;
        node.get("/stack-overflow").await.failed(500, "EW3002");
        still_serves(&node).await;
    }

    async fn body_that_declares_too_much_never_reaches_the_function(world: World) {
        let node = App::new("echo", world).limit("request_body", "1KiB").start().await;
        let reply = node.send(Request::post("/count?fits", vec![b'x'; 1024])).await;
        assert_eq!(reply.ok(), "1024\n");
        let reply = node.send(Request::post("/count?declared", vec![b'x'; 1025])).await;
        reply.failed(413, "EW3006");
        let event = node.log().access("/count?declared").await;
        assert!(event["cpu_us"].is_null(), "the function ran: {event}");
    }

    async fn body_that_turns_out_too_large_is_refused(world: World) {
        let node = App::new("echo", world).limit("request_body", "1KiB").start().await;
        let (request, sender) = Request::stream("/count?streamed");
        let (reply, ()) = tokio::join!(node.send(request), too_much(&sender));
        reply.failed(413, "EW3006");
        let event = node.log().access("/count?streamed").await;
        assert_eq!(event["error"], "EW3006", "{event}");
    }

    async fn stream_that_turns_out_too_large_breaks_its_echo(world: World) {
        let node = App::new("echo", world).limit("request_body", "1KiB").start().await;
        let (request, sender) = Request::stream("/");
        let (reply, ()) = tokio::join!(node.send(request), too_much(&sender));
        cut_off(&reply, 413, "EW3006");
    }

    async fn response_ends_at_its_limit(world: World) {
        let app = App::new("misbehave", world).limit("response_body", "64KiB");
        let node = app.limit("cpu_time", "10s").start().await;
        assert_eq!(node.get("/big-response?bytes=65536").await.ok().len(), 65536);
        for path in ["/big-response?bytes=1000000", "/stream?chunks=100&bytes=4096"] {
            cut_off(&node.get(path).await, 502, "EW3007");
            let event = node.log().access(path).await;
            assert_eq!(event["error"], "EW3007", "{event}");
        }
    }

    async fn function_at_its_concurrency_says_when_to_come_back(world: World) {
        let app = App::new("misbehave", world).limit("wall_time", "1h").concurrency(1);
        let node = app.start().await;
        let mut connection = node.connect().await;
        let mut open = connection.open(Request::get(&format!("/sse?chunks=2&{NEVER}"))).await;
        // The head is long out; the request is inside until its body has ended.
        open.expect("event: tick\ndata: 0\n\n").await;
        let reply = node.get("/counter").await;
        reply.failed(503, "EW3011");
        assert_eq!(reply.header("retry-after"), Some("1"));
        drop((open, connection));
        eventually("the place is free again", async || {
            (node.get("/counter").await.status() == 200).then_some(())
        })
        .await;
    }

    async fn background_work_keeps_its_place_until_it_has_ended(world: World) {
        let app = App::new("misbehave", world).concurrency(1).limit("background_time", "1h");
        let node = app.limit("wall_time", "1h").start().await;
        let mut connection = node.connect().await;
        assert_eq!(connection.get("/wait-until?ms=500").await.ok(), "answered\n");
        connection.get("/counter").await.failed(503, "EW3011");
        node.log().line("background work ended: waited").await;
        eventually("the place is free again", async || {
            (connection.get("/counter").await.status() == 200).then_some(())
        })
        .await;
    }
}
