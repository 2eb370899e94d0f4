//! The isolation modes: what one request can see of another, and what its fault costs others.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use everwarm_e2e::{App, Connection, Request, World, both_worlds, eventually, within};

/// Long enough that it is never waited for.
const NEVER: &str = "ms=3600000";

/// What an instance of the guest `traces` finds that nobody has used, before the number of its first handle.
const UNTOUCHED: &str = "global=0000600d table=00000040 filled=00000001 data=0000600d handle=";
/// What it finds of all that where it was before itself.
const TOUCHED: &str = "global=00000bad table=00000080 filled=00000080 data=00000bad handle=";
/// How many handles one of its requests makes and leaves, after its first.
const LEFT: u32 = 64;

/// What the guest `traces` found.
async fn found(connection: &mut Connection, path: &str) -> String {
    let reply = connection.get(path).await;
    reply.ok();
    reply.header("x-found").unwrap().to_owned()
}

/// The first handle of an instance that found nothing.
fn first_handle(found: &str) -> u32 {
    let rest = found.strip_prefix(UNTOUCHED);
    let handle = rest.and_then(|rest| rest.strip_suffix(" marked=00000000"));
    let handle = handle.unwrap_or_else(|| panic!("traces of another instance: {found}"));
    u32::from_str_radix(handle, 16).unwrap()
}

async fn counter(connection: &mut Connection) -> u32 {
    connection
        .get("/counter")
        .await
        .ok()
        .trim()
        .parse()
        .unwrap()
}

both_worlds! {
    async fn request_never_meets_an_instance_that_was_used(world: World) {
        let node = App::new("misbehave", world).start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            for _ in 0..50 {
                assert_eq!(counter(&mut connection).await, 0);
            }
        }
    }

    async fn memory_of_one_request_is_not_found_by_the_next(world: World) {
        let node = App::new("misbehave", world).limit("cpu_time", "10s").start().await;
        let mut stacks = BTreeSet::new();
        let mut lanes = Vec::new();
        for _ in 0..4 {
            lanes.push(node.connect().await);
        }
        for round in 0..2_000 {
            let connection = &mut lanes[round % 4];
            if round % 3 == 0 {
                connection.get("/leak-plant?mib=1").await.ok();
                continue;
            }
            let reply = connection.get("/leak-probe?mib=1").await;
            let (found, stack) = reply.ok().split_once(" stack=").unwrap();
            assert_eq!(found, "found=0 dirty=0 static=0", "round {round}");
            stacks.insert(stack.to_owned());
        }
        assert_eq!(stacks.len(), 1, "an instance began where another one had been: {stacks:?}");
    }

    async fn tables_globals_and_handles_of_one_request_are_not_found_by_the_next(world: World) {
        let node = App::new("traces", world).start().await;
        let mut lanes = Vec::new();
        for _ in 0..4 {
            lanes.push(node.connect().await);
        }
        let mut handles = BTreeSet::new();
        for round in 0..4_000 {
            handles.insert(first_handle(&found(&mut lanes[round % 4], "/").await));
        }
        assert_eq!(handles.len(), 1, "handles of another instance were in the way: {handles:?}");
    }

    async fn instance_that_is_used_again_finds_its_own_traces(world: World) {
        let node = App::new("traces", world).isolation("serial").start().await;
        let mut connection = node.connect().await;
        // What `request` never shows: the guest does see what there is to see.
        eventually("an instance finds its traces", async || {
            found(&mut connection, "/").await.strip_prefix(TOUCHED).map(drop)
        })
        .await;
    }

    async fn handle_that_an_instance_was_not_given_is_a_trap(world: World) {
        let app = App::new("traces", world).and("misbehave", world, "/sse").limit("cpu_time", "10s");
        let node = app.start().await;
        // Another instance is alive all the while, and has handles and resources.
        let mut neighbour = node.connect().await;
        let mut alive = neighbour.open(Request::get(&format!("/sse?chunks=2&{NEVER}"))).await;
        alive.expect("event: tick\ndata: 0\n\n").await;

        let mut connection = node.connect().await;
        let first = first_handle(&found(&mut connection, "/").await);
        for own in first..=first + LEFT {
            found(&mut connection, &format!("/{own}")).await;
        }
        // The request's, which is no `fields`; the next that would be given; what an instance that lives
        // longer would have; the host's own numbers of resources.
        for other in [1, first + LEFT + 1, first + LEFT + 2, 1_000, 1 << 20, 1 << 30, (1 << 30) + 3] {
            let path = format!("/{other}");
            connection.get(&path).await.failed(500, "EW3002");
            let event = node.log().access(&path).await;
            let detail = event["detail"].as_str().unwrap();
            assert!(detail.contains(&other.to_string()), "{other} is not what it trapped for: {detail}");
        }
        assert_eq!(first_handle(&found(&mut connection, "/").await), first);
        drop(alive);
    }

    async fn serial_instance_is_used_again(world: World) {
        let node = App::new("misbehave", world).isolation("serial").start().await;
        let mut connection = node.connect().await;
        let mut highest = 0;
        for _ in 0..50 {
            highest = highest.max(counter(&mut connection).await);
        }
        assert!(highest >= 10, "50 requests, and no instance had more than {highest} before");
    }

    async fn serial_instance_that_is_busy_is_not_shared(world: World) {
        let app = App::new("misbehave", world).isolation("serial").limit("wall_time", "1h");
        let node = app.start().await;
        let mut connection = node.connect_http2().await;
        let mut busy = connection.open(Request::get(&format!("/sse?chunks=2&{NEVER}"))).await;
        busy.expect("event: tick\ndata: 0\n\n").await;
        // The trap ends the instance that it happens in, and that is another one.
        connection.get("/trap").await.failed(500, "EW3002");
        assert_eq!(counter(&mut connection).await, 0);
        drop(busy);
    }

    async fn trap_retires_a_serial_instance(world: World) {
        // With one request at a time there is one instance: the next request comes in when it is back.
        let app = App::new("misbehave", world).isolation("serial").concurrency(1);
        let node = app.start().await;
        let mut connection = node.connect().await;
        let ask = async |connection: &mut Connection, path: &str| {
            eventually("the request before is over", async || {
                let reply = connection.get(path).await;
                (reply.status() != 503).then_some(reply)
            })
            .await
        };
        for number in 0..3 {
            assert_eq!(ask(&mut connection, "/counter").await.ok(), format!("{number}\n"));
        }
        for fault in ["/trap", "/panic"] {
            ask(&mut connection, fault).await.failed(500, "EW3002");
        }
        let reply = ask(&mut connection, "/counter").await;
        assert_eq!(reply.ok(), "0\n", "the instance of the trap was used again");
        assert_eq!(ask(&mut connection, "/counter").await.ok(), "1\n");
    }

    async fn serial_request_that_was_given_up_retires_its_instance(world: World) {
        let app = App::new("misbehave", world).isolation("serial").limit("wall_time", "1h");
        let node = app.start().await;
        let mut connection = node.connect_http2().await;
        let mut given_up = connection.open(Request::get(&format!("/sse?chunks=2&{NEVER}"))).await;
        given_up.expect("event: tick\ndata: 0\n\n").await;
        drop(given_up);
        let event = node.log().access(&format!("/sse?chunks=2&{NEVER}")).await;
        assert_eq!(event["error"], "EW3018", "{event}");
        // Whatever answers now, it is not in the middle of the events of somebody else.
        connection.get("/counter").await.ok();
    }
}

async fn concurrent() -> everwarm_e2e::Node {
    let app = App::new("misbehave", World::Wasi03);
    app.isolation("concurrent")
        .limit("wall_time", "1h")
        .start()
        .await
}

#[tokio::test]
async fn concurrent_requests_share_one_instance() {
    let node = concurrent().await;
    // One connection is on one thread of the node, and each thread has instances of its own.
    let mut connection = node.connect_http2().await;
    let mut open = connection
        .open(Request::get(&format!("/sse?chunks=2&{NEVER}")))
        .await;
    open.expect("event: tick\ndata: 0\n\n").await;
    for number in 0..20 {
        assert_eq!(counter(&mut connection).await, number);
    }
    assert_eq!(connection.get("/wait-until?ms=0").await.ok(), "answered\n");
    // Another request sees what that one left running.
    eventually(
        "background work of one request is seen by another",
        async || (connection.get("/background").await.ok() == "1\n").then_some(()),
    )
    .await;
    drop(open);
}

#[tokio::test]
async fn concurrent_requests_overlap() {
    let node = concurrent().await;
    let mut connection = node.connect_http2().await;
    let first = connection.begin(Request::get(&format!("/sleep?{NEVER}")));
    let mut first = std::pin::pin!(first);
    // The second is begun after the first and ends before it.
    let second = connection.get("/sleep?ms=1");
    tokio::select! {
        reply = second => assert_eq!(reply.ok(), "slept\n"),
        _ = &mut first => panic!("an hour has passed"),
    }
}

#[tokio::test]
async fn trap_in_a_concurrent_instance_ends_all_its_requests_and_no_later_one() {
    let node = concurrent().await;
    let mut connection = node.connect_http2().await;
    let mut streaming = connection
        .open(Request::get(&format!("/sse?chunks=2&{NEVER}")))
        .await;
    streaming.expect("event: tick\ndata: 0\n\n").await;
    let waiting = tokio::spawn(connection.begin(Request::get(&format!("/sleep?{NEVER}"))));
    // Requests of one connection are begun in their order, so the trap comes last.
    let trapped = connection.get("/trap").await;
    let code = trapped.header("everwarm-error").map(ToOwned::to_owned);
    assert!(
        matches!(code.as_deref(), Some("EW3002" | "EW3013")),
        "{trapped:?}"
    );

    let waiting = within("the request beside the trap", waiting)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(waiting.status(), 502);
    assert_eq!(waiting.headers()["everwarm-error"], "EW3013");
    assert!(
        streaming.read().await.is_broken(),
        "the stream beside the trap ended as if it were whole"
    );
    let streamed = node.log().access(&format!("/sse?chunks=2&{NEVER}")).await;
    assert_eq!(streamed["error"], "EW3013", "{streamed}");

    assert_eq!(
        counter(&mut connection).await,
        0,
        "the next request has a new instance"
    );
}

#[tokio::test]
async fn trap_alone_in_a_concurrent_instance_is_its_own() {
    let node = concurrent().await;
    let mut connection = node.connect().await;
    connection.get("/counter").await.ok();
    connection.get("/trap").await.failed(500, "EW3002");
    assert_eq!(counter(&mut connection).await, 0);
}

#[tokio::test]
async fn loop_in_a_concurrent_instance_ends_at_its_limit() {
    let app = App::new("misbehave", World::Wasi03).isolation("concurrent");
    let node = app.limit("cpu_time", "100ms").start().await;
    let mut connection = node.connect().await;
    connection.get("/loop").await.failed(504, "EW3003");
    assert_eq!(counter(&mut connection).await, 0);
}

#[tokio::test]
async fn wall_limit_in_a_concurrent_instance_retires_it() {
    let app = App::new("misbehave", World::Wasi03).isolation("concurrent");
    let node = app.limit("wall_time", "200ms").start().await;
    let mut connection = node.connect().await;
    assert_eq!(counter(&mut connection).await, 0);
    connection
        .get(&format!("/sleep?{NEVER}"))
        .await
        .failed(504, "EW3004");
    assert_eq!(
        counter(&mut connection).await,
        0,
        "the instance takes no more requests"
    );
}

#[tokio::test]
async fn concurrent_guest_that_yields_for_ever_ends_at_its_limit() {
    let app = App::new("misbehave-raw03", World::Wasi03).isolation("concurrent");
    let app = app.limit("wall_time", "300ms").limit("cpu_time", "30s");
    let node = app.start().await;
    node.get("/never-answer").await.failed(504, "EW3004");
    assert_eq!(node.get("/").await.ok(), "ok\n");
}
