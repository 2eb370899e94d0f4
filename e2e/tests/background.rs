//! Work that goes on after the response: it is done, it is bounded, and a node that stops waits for it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::{App, Request, World, both_worlds, eventually};
use rustix::process::Signal;

/// Long enough that it is never waited for.
const NEVER: &str = "ms=3600000";
/// What the log says of work that was cut off.
const CUT: &str = "work after a response was ended at the limit `background_time`";
/// What shells have for a program that was interrupted.
const EXIT_INTERRUPTED: i32 = 130;

both_worlds! {
    async fn work_goes_on_after_the_response(world: World) {
        let node = App::new("misbehave", world).start().await;
        assert_eq!(node.get("/wait-until?ms=50").await.ok(), "answered\n");
        node.log().line("background work ended: waited").await;
        assert_eq!(node.get("/spawn?ms=50").await.ok(), "spawned\n");
        node.log().line("background work ended: spawned").await;
    }

    async fn work_ends_at_its_limit(world: World) {
        let app = App::new("misbehave", world).limit("background_time", "100ms").concurrency(1);
        let node = app.start().await;
        assert_eq!(node.get(&format!("/wait-until?{NEVER}")).await.ok(), "answered\n");
        eventually("the work is cut off", async || {
            (node.get("/counter").await.status() == 200).then_some(())
        })
        .await;
        assert!(!node.log().contains("background work ended"));
        node.log().line(CUT).await;
    }

    async fn loop_after_the_response_ends_at_the_cpu_limit(world: World) {
        let app = App::new("misbehave", world).limit("cpu_time", "100ms");
        let node = app.limit("background_time", "1h").start().await;
        assert_eq!(node.get("/background-loop").await.ok(), "answered\n");
        let event = node.log().access("/background-loop").await;
        assert_eq!((&event["status"], &event["error"]), (&200.into(), &"EW3003".into()), "{event}");
    }

    async fn work_is_metered(world: World) {
        let node = App::new("misbehave", world).start().await;
        node.get("/wait-until?ms=100").await.ok();
        let event = node.log().access("/wait-until?ms=100").await;
        assert!(event["wall_us"].as_u64().is_some_and(|us| us >= 100_000), "{event}");
    }

    async fn node_that_stops_waits_for_the_work(world: World) {
        for signal in [Signal::INT, Signal::TERM] {
            let node = App::new("misbehave", world).start().await;
            assert_eq!(node.get("/wait-until?ms=1000").await.ok(), "answered\n");
            let stopped = node.stop(signal).await;
            assert!(stopped.status.success(), "{:?}", stopped.status);
            stopped.log().line("background work ended: waited").await;
            stopped.out().line("\"event\":\"draining\"").await;
            stopped.out().line("\"event\":\"stopped\"").await;
        }
    }

    async fn node_that_stops_finishes_its_responses(world: World) {
        for is_http2 in [false, true] {
            let node = App::new("misbehave", world).start().await;
            let mut connection = if is_http2 {
                node.connect_http2().await
            } else {
                node.connect().await
            };
            let mut open = connection.open(Request::get("/slow-body?chunks=10&bytes=1&ms=100")).await;
            open.expect("x").await;
            let (stopped, reply) = tokio::join!(node.stop(Signal::TERM), open.read());
            assert_eq!(reply.ok(), "x".repeat(9));
            assert!(stopped.status.success(), "{:?}", stopped.status);
        }
    }

    async fn node_that_is_told_twice_does_not_wait(world: World) {
        let app = App::new("misbehave", world).limit("wall_time", "1h");
        let node = app.start().await;
        let mut connection = node.connect().await;
        let mut open = connection.open(Request::get(&format!("/sse?chunks=2&{NEVER}"))).await;
        open.expect("event: tick\ndata: 0\n\n").await;
        node.process().signal(Signal::TERM);
        node.out().line("\"event\":\"draining\"").await;
        let stopped = node.stop(Signal::INT).await;
        assert_eq!(stopped.status.code(), Some(EXIT_INTERRUPTED));
        assert!(open.read().await.is_broken());
    }

    async fn node_that_stops_lets_idle_connections_go(world: World) {
        let node = App::new("hello", world).start().await;
        let mut idle = node.connect_raw().await;
        idle.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        idle.read_until("Hello from Everwarm\n").await;
        let stopped = node.stop(Signal::TERM).await;
        assert!(stopped.status.success(), "{:?}", stopped.status);
        assert!(idle.read_to_end().await.is_empty());
    }
}

#[tokio::test]
async fn node_that_stops_waits_for_the_work_of_shared_instances() {
    let node = App::new("misbehave", World::Wasi03)
        .isolation("concurrent")
        .start()
        .await;
    assert_eq!(node.get("/wait-until?ms=1000").await.ok(), "answered\n");
    let stopped = node.stop(Signal::TERM).await;
    assert!(stopped.status.success(), "{:?}", stopped.status);
    stopped.log().line("background work ended: waited").await;
}

#[tokio::test]
async fn work_left_in_a_shared_instance_ends_at_its_limit() {
    let app = App::new("misbehave", World::Wasi03).isolation("concurrent");
    let node = app.limit("background_time", "200ms").start().await;
    let mut connection = node.connect().await;
    let left = format!("/wait-until?{NEVER}");
    assert_eq!(connection.get(&left).await.ok(), "answered\n");
    assert_eq!(connection.get("/counter").await.ok(), "0\n");
    node.log().line(CUT).await;
    assert_eq!(connection.get("/counter").await.ok(), "0\n");
}

#[tokio::test]
async fn shared_instance_that_is_never_at_rest_is_replaced() {
    let app = App::new("misbehave", World::Wasi03).isolation("concurrent");
    let app = app.limit("wall_time", "1s").limit("background_time", "1s");
    let node = app.start().await;
    let mut connection = node.connect().await;
    let left = format!("/wait-until?{NEVER}");
    assert_eq!(connection.get(&left).await.ok(), "answered\n");
    assert_eq!(connection.get("/counter").await.ok(), "0\n");
    // Requests come faster than background time runs out, so the work is never alone.
    eventually("another instance answers", async || {
        (connection.get("/counter").await.ok() == "0\n").then_some(())
    })
    .await;
    node.log().line(CUT).await;
}

#[tokio::test]
async fn loop_after_a_response_ends_the_shared_instance() {
    let app = App::new("misbehave", World::Wasi03).isolation("concurrent");
    let node = app.limit("cpu_time", "100ms").start().await;
    let mut connection = node.connect().await;
    assert_eq!(connection.get("/background-loop").await.ok(), "answered\n");
    let ended = node.log().line("shared instance ended").await;
    assert!(ended.contains("EW3003"), "{ended}");
    assert_eq!(connection.get("/counter").await.ok(), "0\n");
}
