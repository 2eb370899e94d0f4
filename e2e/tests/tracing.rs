//! W3C Trace Context: from whoever asks, through functions, to whatever they ask and send.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::asked::by;
use everwarm_e2e::deliveries::{self, handled_until, sent};
use everwarm_e2e::upstream::Upstream;
use everwarm_e2e::{App, Node, Reply, Request, World, both_worlds};
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const ECHO: &str = "http://echo.everwarm.internal/head";

/// A `traceparent`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Context {
    trace: String,
    span: String,
    flags: String,
}

impl Context {
    fn parse(text: &str) -> Self {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags] = parts[..] else {
            panic!("it is none: {text}");
        };
        assert_eq!(
            (version, trace.len(), span.len(), flags.len()),
            ("00", 32, 16, 2),
            "{text}"
        );
        assert!(
            trace.bytes().all(|digit| digit.is_ascii_hexdigit()),
            "{text}"
        );
        assert_ne!(trace, "0".repeat(32));
        Self {
            trace: trace.to_owned(),
            span: span.to_owned(),
            flags: flags.to_owned(),
        }
    }

    /// The one in a head that was told line by line.
    fn told(reply: &Reply) -> Self {
        Self::parse(&field(reply, "traceparent").expect("there is a traceparent"))
    }
}

/// The fields of that name in a head that was told line by line: there is one at most.
fn field(reply: &Reply, name: &str) -> Option<String> {
    let prefix = format!("{name}: ");
    let lines = reply.ok().lines();
    let found: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix(&prefix))
        .collect();
    assert!(found.len() <= 1, "{found:?}");
    found.first().map(|value| (*value).to_owned())
}

fn traced(path: &str) -> Request {
    Request::get(path).header("traceparent", PARENT)
}

/// `fetch` with the grants that these tests ask for.
fn fetch(world: World, upstream: &Upstream) -> App {
    App::new("fetch", world)
        .grant_http(&[upstream.grant()])
        .grant("functions = [\"echo\"]")
        .and_unrouted("echo", world)
}

/// The own span of the one that handled a request, by what is in the log: the trace alone is.
async fn trace_in_log(node: &Node, path: &str) -> String {
    let access = node.log().access(path).await;
    access["trace_id"].as_str().unwrap().to_owned()
}

both_worlds! {
    async fn function_sees_its_own_span_in_its_senders_trace(world: World) {
        let node = App::new("echo", world).start().await;
        let request = traced("/head?1").header("tracestate", "a=1,b=2");
        let reply = node.send(request).await;
        let own = Context::told(&reply);
        assert_eq!(own.trace, TRACE);
        assert_ne!(own.span, "00f067aa0ba902b7");
        assert_eq!(own.flags, "01");
        assert_eq!(field(&reply, "tracestate").as_deref(), Some("a=1,b=2"));
        assert_eq!(trace_in_log(&node, "/head?1").await, TRACE);

        let again = Context::told(&node.send(traced("/head?2")).await);
        assert_eq!(again.trace, TRACE);
        assert_ne!(again.span, own.span);
    }

    async fn request_without_a_trace_begins_one(world: World) {
        let node = App::new("echo", world).start().await;
        let first = Context::told(&node.get("/head?1").await);
        let second = Context::told(&node.get("/head?2").await);
        assert_ne!(first.trace, second.trace);
        assert_eq!((first.flags.as_str(), second.flags.as_str()), ("00", "00"));
        assert_eq!(trace_in_log(&node, "/head?1").await, first.trace);
    }

    async fn what_is_no_trace_context_is_passed_over(world: World) {
        let node = App::new("echo", world).start().await;
        for wrong in [
            "nonsense",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            let request = Request::get("/head").header("traceparent", wrong);
            let reply = node.send(request.header("tracestate", "a=1")).await;
            assert_ne!(Context::told(&reply).trace, TRACE, "{wrong}");
            assert_eq!(field(&reply, "tracestate"), None, "{wrong}");
        }
        let long = Request::get("/head").header("tracestate", &"a".repeat(600));
        let reply = node.send(long.header("traceparent", PARENT)).await;
        assert_eq!(Context::told(&reply).trace, TRACE);
        assert_eq!(field(&reply, "tracestate"), None);
    }

    async fn requests_to_the_outside_go_on_with_the_trace(world: World) {
        let upstream = Upstream::start().await;
        let node = fetch(world, &upstream).start().await;
        let path = by("/get", &upstream.url("/head"));
        let first = Context::told(&node.send(traced(&path).header("tracestate", "a=1")).await);
        assert_eq!((first.trace.as_str(), first.flags.as_str()), (TRACE, "01"));
        assert_ne!(first.span, "00f067aa0ba902b7");
        let reply = node.send(traced(&path).header("tracestate", "a=1")).await;
        assert_ne!(Context::told(&reply).span, first.span);
        assert_eq!(field(&reply, "tracestate").as_deref(), Some("a=1"));
        // Without one, what the function sends is in the trace that the request begins.
        let begun = Context::told(&node.get(&path).await);
        assert_ne!(begun.trace, TRACE);
        let access = node.log().value("the request that began it", |value| {
            value["trace_id"] == begun.trace.as_str() && value["function"] == "fetch"
        });
        access.await;
    }

    async fn functions_own_trace_context_is_its_own_and_what_it_was_told_becomes_a_child(world: World) {
        let upstream = Upstream::start().await;
        let node = fetch(world, &upstream).start().await;
        let own = "00-11111111111111111111111111111111-2222222222222222-00";
        for (path, is_service) in [(by("/headers", &upstream.url("/head")), false), (by("/headers", ECHO), true)] {
            let reply = node.send(traced(&path).header("x-send-traceparent", own)).await;
            let told = Context::told(&reply);
            assert_eq!(told.trace, "1".repeat(32), "{path}");
            // A function that is called has a span of its own below the one that was said.
            assert_eq!(told.span == "2222222222222222", !is_service, "{path}");
            let passed = traced(&path).header("tracestate", "a=1").header("x-pass-trace", "1");
            let reply = node.send(passed).await;
            assert_eq!(Context::told(&reply).trace, TRACE, "{path}");
            assert_eq!(field(&reply, "tracestate").as_deref(), Some("a=1"));
        }
    }

    async fn calls_between_functions_go_on_with_the_trace(world: World) {
        let upstream = Upstream::start().await;
        let node = fetch(world, &upstream).start().await;
        let reply = node.send(traced(&by("/get", ECHO)).header("tracestate", "a=1")).await;
        let called = Context::told(&reply);
        assert_eq!((called.trace.as_str(), called.flags.as_str()), (TRACE, "01"));
        assert_eq!(field(&reply, "tracestate").as_deref(), Some("a=1"));
        let is_echo = |value: &serde_json::Value| value["function"] == "echo" && value["trace_id"] == TRACE;
        node.log().value("the access event of the function that was called", is_echo).await;
    }

    async fn messages_go_on_with_the_trace_when_they_are_delivered(world: World) {
        let app = deliveries::app(world).grant("queues = [\"mails\"]");
        let node = app.table(&deliveries::queue("mails", "")).start().await;
        let body = json!([{ "body": "hello" }]).to_string();
        let request = Request::post("/send?mails", body).header("traceparent", PARENT);
        node.send(request.header("content-type", "application/json")).await.ok();
        let all = handled_until(&node, "it is delivered", |all| all.len() == 1).await;
        let said = all.values().next().unwrap();
        let delivered = Context::parse(said["trace"].as_str().unwrap());
        assert_eq!((delivered.trace.as_str(), delivered.flags.as_str()), (TRACE, "01"));
        assert_ne!(delivered.span, "00f067aa0ba902b7");
        // One that nobody traces has a trace of its own.
        sent(&node, "mails", &json!([{ "body": "again" }])).await;
        let all = handled_until(&node, "it is delivered", |all| all.len() == 2).await;
        let others = all.values().map(|said| Context::parse(said["trace"].as_str().unwrap()));
        assert_eq!(others.filter(|context| context.trace != TRACE).count(), 1);
    }
}

#[tokio::test]
async fn requests_that_share_an_instance_go_on_with_their_own_trace() {
    let upstream = Upstream::start().await;
    let node = fetch(World::Wasi03, &upstream)
        .isolation("concurrent")
        .start()
        .await;
    let other = PARENT.replace(TRACE, &"1".repeat(32));
    let slow = by("/headers", &upstream.url("/slow?1000"));
    let path = by("/headers", &upstream.url("/head"));
    let mut connections = (node.connect().await, node.connect().await);
    let ask = |path: &str, parent: &str| {
        let request = Request::get(path).header("traceparent", parent);
        request.header("x-pass-trace", "1")
    };
    let (_, reply) = tokio::join!(
        connections.0.send(ask(&slow, &other)),
        connections.1.send(ask(&path, PARENT)),
    );
    // Whichever it is for, a function says by passing on what it was told.
    assert_eq!(Context::told(&reply).trace, TRACE);
}
