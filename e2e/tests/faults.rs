//! What a function can do wrong: a stable code for each, a whole request that is never a lie, and
//! details for the log alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::{App, Connection, Node, World, both_worlds};

/// The guest for faults that need raw bindings.
fn raw(world: World) -> App {
    App::new(
        match world {
            World::Wasi02 => "misbehave-raw02",
            World::Wasi03 => "misbehave-raw03",
        },
        world,
    )
}

/// That a response that the function leaves unfinished doesn't look finished: it is an error, or it
/// breaks off, before its head or after it.
async fn unfinished(connection: &mut Connection, path: &str) {
    let Some(reply) = connection.try_get(path).await else {
        return;
    };
    let told = reply.status().is_server_error() && reply.header("everwarm-error").is_some();
    assert!(
        told || reply.is_broken(),
        "{path} looks whole: {:?}",
        reply.status()
    );
}

/// The code that the access event of a path has.
async fn logged_code(node: &Node, path: &str) -> String {
    let event = node.log().access(path).await;
    event["error"].as_str().unwrap_or("none").to_owned()
}

both_worlds! {
    async fn trap_is_a_500_and_only_the_log_has_the_backtrace(world: World) {
        let node = App::new("misbehave", world).start().await;
        for fault in ["/trap", "/panic"] {
            let reply = node.get(fault).await;
            let problem = reply.failed(500, "EW3002");
            for secret in ["misbehave", "wasm", "backtrace", "unreachable"] {
                assert!(!reply.text().contains(secret), "{secret} is in {problem}");
            }
            let event = node.log().access(fault).await;
            assert_eq!(event["request_id"], problem["request_id"]);
            assert_eq!(event["error"], "EW3002");
            let detail = event["detail"].as_str().unwrap();
            assert!(detail.contains(".wasm!"), "no module is named: {detail}");
            assert!(!detail.contains("<unknown>"), "no function is named: {detail}");
        }
        node.log().line("the guest was asked to panic").await;
        assert_eq!(node.get("/counter").await.ok(), "0\n");
    }

    async fn backtrace_names_functions_as_their_author_does(world: World) {
        let app = App::new("misbehave", world).limit("cpu_time", "30s");
        let node = app.start().await;
        // Optimised code has no frame for most functions, but this one calls itself.
        node.get("/stack-overflow").await.failed(500, "EW3002");
        let event = node.log().access("/stack-overflow").await;
        let detail = event["detail"].as_str().unwrap();
        assert!(detail.contains("guest_misbehave::faults::recurse"), "{detail}");
    }

    async fn exit_is_an_error_of_its_request_only(world: World) {
        let node = App::new("misbehave", world).start().await;
        let reply = node.get("/exit").await;
        assert!(matches!(reply.header("everwarm-error"), Some("EW3002" | "EW3008")), "{reply:?}");
        assert_eq!(node.get("/counter").await.ok(), "0\n");
    }

    async fn connection_outlives_a_trap(world: World) {
        let node = App::new("misbehave", world).start().await;
        let mut connection = node.connect().await;
        for _ in 0..10 {
            connection.get("/trap").await.failed(500, "EW3002");
            assert_eq!(connection.get("/counter").await.ok(), "0\n");
        }
    }

    async fn error_code_of_a_function_is_a_502(world: World) {
        let node = raw(world).start().await;
        let reply = node.get("/error-code").await;
        reply.failed(502, "EW3009");
        assert!(!reply.text().contains("the guest said so"), "{reply:?}");
        let event = node.log().access("/error-code").await;
        let detail = event["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("the guest said so"), "{event}");
        assert_eq!(node.get("/").await.ok(), "ok\n");
    }

    async fn response_without_a_body_is_empty(world: World) {
        let node = raw(world).start().await;
        assert_eq!(node.get("/no-body").await.ok(), "");
    }

    async fn body_that_is_dropped_half_way_is_not_whole(world: World) {
        let node = raw(world).start().await;
        unfinished(&mut node.connect().await, "/unfinished-body").await;
        let code = logged_code(&node, "/unfinished-body").await;
        assert!(matches!(code.as_str(), "EW3009" | "EW3010"), "{code}");
        assert_eq!(node.get("/").await.ok(), "ok\n");
    }

    async fn body_shorter_than_declared_is_not_whole(world: World) {
        let node = App::new("misbehave", world).start().await;
        for path in ["/half-body", "/short-body"] {
            unfinished(&mut node.connect().await, path).await;
            let code = logged_code(&node, path).await;
            assert!(matches!(code.as_str(), "EW3009" | "EW3010"), "{path}: {code}");
            unfinished(&mut node.connect_http2().await, path).await;
        }
        assert_eq!(node.get("/counter").await.ok(), "0\n");
    }

    async fn trap_after_the_head_breaks_the_stream(world: World) {
        let node = raw(world).start().await;
        unfinished(&mut node.connect().await, "/trap-after-head").await;
        assert_eq!(logged_code(&node, "/trap-after-head").await, "EW3002");
        assert_eq!(node.get("/").await.ok(), "ok\n");
    }

    async fn headers_that_would_forge_a_response_are_refused(world: World) {
        let node = raw(world).start().await;
        assert_eq!(node.get("/bad-header").await.ok(), "01111\n");
    }

    async fn faults_in_a_storm_leave_the_node_well(world: World) {
        let app = App::new("misbehave", world).limit("cpu_time", "20ms").limit("memory", "16MiB");
        let node = app.start().await;
        let mut storms = Vec::new();
        for _ in 0..8 {
            let mut connection = node.connect_http2().await;
            storms.push(tokio::spawn(async move {
                for fault in ["/trap", "/loop", "/memory?mib=32", "/exit", "/half-body"].repeat(5) {
                    unfinished(&mut connection, fault).await;
                    assert_eq!(connection.get("/counter").await.ok(), "0\n", "after {fault}");
                }
            }));
        }
        for storm in storms {
            storm.await.unwrap();
        }
    }
}

#[tokio::test]
async fn function_that_gives_no_answer_is_a_500() {
    let node = raw(World::Wasi02).start().await;
    for path in ["/never-answer", "/keep-outparam"] {
        node.get(path).await.failed(500, "EW3008");
        assert_eq!(logged_code(&node, path).await, "EW3008");
    }
    assert_eq!(node.get("/").await.ok(), "ok\n");
}

#[tokio::test]
async fn function_that_yields_for_ever_ends_at_its_limit() {
    let app = raw(World::Wasi03)
        .limit("wall_time", "300ms")
        .limit("cpu_time", "30s");
    let node = app.start().await;
    node.get("/never-answer").await.failed(504, "EW3004");
    assert_eq!(node.get("/").await.ok(), "ok\n");
}

#[tokio::test]
async fn second_answer_never_reaches_the_client() {
    let node = raw(World::Wasi02).start().await;
    let reply = node.get("/answer-twice").await;
    assert!(
        !String::from_utf8_lossy(reply.received()).contains("second"),
        "{reply:?}"
    );
    if reply.status() == 200 && !reply.is_broken() {
        assert_eq!(reply.text(), "first\n");
    }
    let code = logged_code(&node, "/answer-twice").await;
    assert!(matches!(code.as_str(), "EW3002" | "EW3009"), "{code}");
    assert_eq!(node.get("/").await.ok(), "ok\n");
}

#[tokio::test]
async fn body_that_is_written_before_the_head_is_set_does_not_hang() {
    let node = raw(World::Wasi02).limit("cpu_time", "10s").start().await;
    let reply = node.get("/write-before-set").await;
    assert_eq!(reply.ok().len(), 1 << 20);
}

#[tokio::test]
async fn writing_more_than_was_permitted_is_a_trap() {
    let node = raw(World::Wasi02).start().await;
    unfinished(&mut node.connect().await, "/write-unasked").await;
    assert_eq!(logged_code(&node, "/write-unasked").await, "EW3002");
    assert_eq!(node.get("/").await.ok(), "ok\n");
}

#[tokio::test]
async fn body_is_given_out_once() {
    let node = raw(World::Wasi02).start().await;
    assert_eq!(node.get("/double-body").await.ok(), "refused\n");
}

#[tokio::test]
async fn serial_instance_is_not_used_again_after_a_half_answer() {
    let app = App::new("misbehave", World::Wasi02).isolation("serial");
    let node = app.start().await;
    let mut connection = node.connect_http2().await;
    for _ in 0..5 {
        unfinished(&mut connection, "/half-body").await;
        connection.get("/counter").await.ok();
    }
}
