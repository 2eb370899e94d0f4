//! What a node refuses by itself, before a function has anything of it: the client hears why and when to come
//! back, and so does the log.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread::available_parallelism;

use everwarm_e2e::{App, Node, Reply, Request, World, both_worlds, component, eventually};
use rustix::process::Signal;
use serde_json::Value;

/// Long enough that it is never waited for.
const NEVER: &str = "ms=3600000";
/// More requests than a node answers between two steps of its stop.
const LATE: usize = 32;
/// A function without parameters and results that traps, as the body of one.
const TRAPS: &[u8] = &[0x00, 0x0b];
/// One that never ends: a loop that goes to its beginning.
const LOOPS: &[u8] = &[0x03, 0x40, 0x0c, 0x00, 0x0b, 0x0b];

/// That the log has of a refused request what the client was told, and no function.
fn refused(event: &Value, code: &str) {
    assert_eq!(
        (&event["status"], &event["error"]),
        (&503.into(), &code.into()),
        "{event}"
    );
    assert!(event["cpu_us"].is_null(), "the function ran: {event}");
}

/// As the client is told.
fn come_back_later(reply: &Reply, code: &str) {
    reply.failed(503, code);
    assert_eq!(reply.header("retry-after"), Some("1"), "{reply:?}");
}

/// A component whose every instance begins with this function: the guest with a core module behind it.
fn with_start_code(guest: &[u8], body: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // A type, a function of it, which is the start function, and its code.
    module.extend([1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 8, 1, 0]);
    module.extend([10, length(body) + 3, 1, length(body) + 1, 0]);
    module.extend(body);

    let mut component = guest.to_vec();
    // A section with the module, and one with an instance of it.
    component.extend([1, length(&module)]);
    component.extend(&module);
    component.extend([2, 4, 1, 0, core_modules(guest), 0]);
    component
}

/// How many core modules a component has at its top.
fn core_modules(component: &[u8]) -> u8 {
    let (mut count, mut at) = (0, 8);
    while let Some(section) = component.get(at) {
        count += u8::from(*section == 1);
        at += 1;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = component[at];
            length |= usize::from(byte & 0x7f) << shift;
            at += 1;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        at += length;
    }
    count
}

/// Serves a guest with start code.
async fn started_with(world: World, body: &[u8]) -> Node {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("function.wasm");
    let guest = std::fs::read(component("misbehave", world)).unwrap();
    std::fs::write(&path, with_start_code(&guest, body)).unwrap();
    App::of(path).start().await
}

both_worlds! {
    async fn node_at_its_bound_says_when_to_come_back(world: World) {
        let app = App::new("misbehave", world).limit("wall_time", "1h").and("hello", world, "/hello");
        let node = app.flag("--requests-max", "1").start().await;
        let mut connection = node.connect().await;
        let mut open = connection.open(Request::get(&format!("/sse?chunks=2&{NEVER}"))).await;
        open.expect("event: tick\ndata: 0\n\n").await;
        // Neither function is at its own limit; the node is at its.
        come_back_later(&node.get("/hello?refused").await, "EW3012");
        refused(&node.log().access("/hello?refused").await, "EW3012");
        drop((open, connection));
        eventually("the place is free again", async || {
            (node.get("/hello").await.status() == 200).then_some(())
        })
        .await;
    }

    async fn request_that_comes_while_the_node_stops_is_refused(world: World) {
        let node = App::new("misbehave", world).limit("wall_time", "1h").start().await;
        let mut connection = node.connect().await;
        let mut open = connection.open(Request::get(&format!("/sse?chunks=2&{NEVER}"))).await;
        open.expect("event: tick\ndata: 0\n\n").await;
        // Connections that wait for nothing are closed at once. On these a request has begun.
        let mut late = Vec::new();
        for _ in 0..LATE {
            let mut raw = node.connect_raw().await;
            raw.write("GET /counter?late HTTP/1.1\r\nhost: a\r\n").await;
            late.push(raw);
        }
        // Each thread of the node takes connections in their order, so it has those when it answers these.
        let mut later = Vec::new();
        for _ in 0..available_parallelism().unwrap().get() {
            let mut connection = node.connect().await;
            connection.get("/counter").await.ok();
            later.push(connection);
        }
        node.process().signal(Signal::TERM);
        node.out().line("\"event\":\"draining\"").await;
        let seen = eventually("a request is refused", async || {
            let mut raw = late.pop().expect("one of so many comes late enough");
            let seen = raw.last_words("\r\n").await;
            seen.starts_with("HTTP/1.1 503").then_some(seen)
        })
        .await;
        for field in ["everwarm-error: EW3014", "retry-after: 1", "content-type: application/problem+json"] {
            assert!(seen.contains(&format!("\r\n{field}\r\n")), "{field} is missing: {seen}");
        }
        let late = |event: &Value| event["path"] == "/counter?late" && event["status"] == 503;
        refused(&node.log().value("the access event of a late request", late).await, "EW3014");
        // The stream that was open before goes on.
        assert!(!node.out().contains("stopped"));
        drop(open);
    }

    async fn start_code_that_traps_is_told_for_each_request(world: World) {
        let node = started_with(world, TRAPS).await;
        for path in ["/first", "/second"] {
            let reply = node.get(path).await;
            let problem = reply.failed(500, "EW3017");
            assert!(!reply.text().contains("unreachable"), "{problem}");
            let event = node.log().access(path).await;
            assert_eq!((&event["status"], &event["error"]), (&500.into(), &"EW3017".into()));
            assert_eq!(event["request_id"], problem["request_id"]);
            let detail = event["detail"].as_str().unwrap();
            assert!(detail.contains("unreachable"), "{detail}");
        }
    }

    async fn start_code_that_loops_ends_at_the_cpu_limit(world: World) {
        let node = started_with(world, LOOPS).await;
        for path in ["/first", "/second"] {
            node.get(path).await.failed(504, "EW3003");
            assert_eq!(node.log().access(path).await["error"], "EW3003");
        }
    }

    async fn memory_that_a_component_begins_with_fits_its_limit_or_it_does_not_start(world: World) {
        let guest = match world {
            World::Wasi02 => "misbehave-raw02",
            World::Wasi03 => "misbehave-raw03",
        };
        // Their stack alone is a MiB.
        let node = App::new(guest, world).limit("memory", "1MiB").start().await;
        node.get("/").await.failed(500, "EW3017");
        let event = node.log().access("/").await;
        assert_eq!(event["error"], "EW3017");
        let detail = event["detail"].as_str().unwrap();
        assert!(detail.contains("memory"), "{detail}");
    }
}
