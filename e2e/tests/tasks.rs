//! Requests that share an instance of WASI 0.3 and wait for each other, and futures of other bindings
//! in a handler on the SDK.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::{App, Connection, Node, Request, World, eventually};

async fn shared() -> Node {
    let app = App::new("tasks", World::Wasi03).isolation("concurrent");
    app.limit("wall_time", "1h").start().await
}

/// Wakes all that wait, once so many do.
async fn wake(connection: &mut Connection, waiting: u32) {
    let mut woken = 0;
    eventually("the requests wait", async || {
        let reply = connection.get("/wake").await;
        woken += reply.ok().trim().parse::<u32>().unwrap();
        (woken >= waiting).then_some(())
    })
    .await;
}

#[tokio::test]
async fn request_wakes_another_that_sleeps() {
    let node = shared().await;
    // One connection is on one thread of the node, and each thread has instances of its own.
    let mut connection = node.connect_http2().await;
    for _ in 0..3 {
        let waits = [(); 5].map(|()| connection.begin(Request::get("/wait")));
        let waits = tokio::spawn(futures_util::future::join_all(waits));
        wake(&mut connection, 5).await;
        for reply in waits.await.unwrap() {
            assert_eq!(reply.unwrap().status(), 200);
        }
    }
}

#[tokio::test]
async fn request_awaits_what_another_began() {
    let node = shared().await;
    let mut connection = node.connect_http2().await;
    for _ in 0..3 {
        assert_eq!(connection.get("/lend-timer").await.ok(), "true\n");
        assert_eq!(connection.get("/borrow-timer").await.ok(), "borrowed\n");
    }
}

#[tokio::test]
async fn waits_are_given_up_and_begun_without_end() {
    let node = shared().await;
    let mut connection = node.connect_http2().await;
    for _ in 0..3 {
        assert_eq!(connection.get("/drop-timers").await.ok(), "dropped\n");
        assert_eq!(connection.get("/many-timers").await.ok(), "4950\n");
        assert_eq!(connection.get("/busy-until-timer").await.ok(), "true\n");
    }
}

#[tokio::test]
async fn wait_for_nothing_is_an_error_and_not_a_hang() {
    let node = shared().await;
    node.get("/wait-for-nothing").await.failed(500, "EW3002");
    node.get("/foreign-ended").await.ok();
}

#[tokio::test]
async fn futures_of_other_bindings_run_in_a_handler() {
    let node = shared().await;
    let mut connection = node.connect_http2().await;
    for _ in 0..3 {
        assert_eq!(connection.get("/foreign-timer").await.ok(), "waited\n");
        assert_eq!(connection.get("/foreign-spawn").await.ok(), "Some(42)\n");
        let reply = connection.get("/foreign-stream").await;
        assert_eq!(reply.ok(), "0 left: through a stream\n");
        assert_eq!(connection.get("/foreign-cancel").await.ok(), "cancelled\n");
    }
    assert_eq!(connection.get("/foreign-after").await.ok(), "answered\n");
    eventually("work that other bindings spawned ends", async || {
        (connection.get("/foreign-ended").await.ok() == "1\n").then_some(())
    })
    .await;
}
