//! Functions that call other functions of their app, in process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_api::messages::{Quotas, Scope};
use everwarm_e2e::asked::{self, Outcome, by};
use everwarm_e2e::{
    App, DataFolder, NewApp, Request, Server, World, both_worlds, component, eventually,
};

const ECHO: &str = "http://echo.everwarm.internal";

/// `fetch`, which is granted `echo` of the same app; that has no routes of its own.
fn app(world: World) -> App {
    App::new("fetch", world)
        .grant("functions = [\"echo\", \"misbehave\"]")
        .and_unrouted("echo", world)
        .and_unrouted("misbehave", world)
}

both_worlds! {
    async fn granted_function_is_called_without_a_socket(world: World) {
        let node = app(world).start().await;
        let reply = node.get(&by("/get", &format!("{ECHO}/head?x=%20"))).await;
        let lines: Vec<&str> = reply.ok().lines().collect();
        assert_eq!(lines[0], "GET /head?x=%20");
        assert!(lines.contains(&"host: echo.everwarm.internal"), "{lines:?}");
        // Both are in the access log, each with its own function.
        let called = node.log().access("/head?x=%20").await;
        assert_eq!(called["function"], "echo");
    }

    async fn bodies_stream_between_functions(world: World) {
        let node = app(world).start().await;
        let (request, body) = Request::stream(&by("/post", &format!("{ECHO}/")));
        let mut connection = node.connect().await;
        let (open, sent) = tokio::join!(connection.open(request), body.send("first"));
        sent.unwrap();
        let mut open = open;
        open.expect("first").await;
        body.send("second").await.unwrap();
        open.expect("second").await;
        drop(body);
        assert_eq!(open.read().await.ok(), "");
    }

    async fn function_that_is_not_granted_is_not_called_and_the_log_names_the_grant(world: World) {
        let node = App::new("fetch", world)
            .grant("functions = [\"misbehave\"]")
            .and("echo", world, "/echo/*")
            .and_unrouted("misbehave", world)
            .start()
            .await;
        assert_eq!(Outcome::of(&node, ECHO).await.kind, "HttpRequestDenied");
        asked::noticed(&node, "add \"echo\" to `functions` in [function.grants]").await;
        let outcome = Outcome::of(&node, "http://nobody.everwarm.internal/").await;
        assert_eq!(outcome.kind, "HttpRequestDenied");
    }

    async fn function_without_routes_is_out_of_reach_from_outside(world: World) {
        let node = app(world).start().await;
        for host in ["echo.everwarm.internal", "internal"] {
            let request = Request::get("/head").header("host", host);
            node.send(request).await.failed(400, "EW3016");
        }
        // Everything that comes from outside reaches the function that has routes.
        let reply = node.get("/head").await;
        assert_eq!(reply.status(), 400, "`fetch` says that it lacks a url");
    }

    async fn what_fails_in_the_one_that_is_called_is_an_answer_to_the_caller(world: World) {
        let node = app(world).start().await;
        let trap = format!("{}/trap", "http://misbehave.everwarm.internal");
        let reply = node.get(&by("/get", &trap)).await;
        assert_eq!(reply.status(), 500);
        assert_eq!(reply.json()["code"], "EW3002");
        // Nobody else is harmed.
        assert!(node.get(&by("/get", &format!("{ECHO}/head"))).await.ok().starts_with("GET"));
    }

    async fn functions_that_call_each_other_in_a_loop_are_stopped(world: World) {
        let node = App::new("fetch", world)
            .grant("functions = [\"fetch\"]")
            .start()
            .await;
        let own = "http://fetch.everwarm.internal";
        // Each has the next one call the one behind it: as deep as the URL goes.
        let deep = |depth: usize| (0..depth).fold(format!("{own}/nothing"), |url, _| {
            format!("{own}{}", by("/get", &url))
        });
        let reply = node.get(&by("/get", &deep(5))).await;
        assert_eq!(reply.status(), 400, "{reply:?}");
        let reply = node.get(&by("/get", &deep(10))).await;
        assert_eq!(reply.status(), 502, "{reply:?}");
        assert!(reply.text().starts_with("LoopDetected"), "{reply:?}");
    }

    async fn callers_deadline_goes_along(world: World) {
        let node = app(world).limit("wall_time", "500ms").start().await;
        let long = "http://misbehave.everwarm.internal/sleep?ms=20000";
        node.get(&by("/get", long)).await.failed(504, "EW3004");
        // The one that was called has 30 seconds by its own manifest, and has ended all the same.
        let called = node.log().access("/sleep?ms=20000").await;
        let code = called["error"].as_str().unwrap_or_default();
        assert!(["EW3004", "EW3018"].contains(&code), "{called}");
    }
}

/// Apps don't call each other, whatever they are called, and a version calls its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_calls_its_own_functions_and_nobody_elses() {
    let data = DataFolder::new();
    let server: Server = data.start().await;
    let ann = server.tenant("ann", Quotas::default(), Scope::Deploy).await;
    let bob = server.tenant("bob", Quotas::default(), Scope::Deploy).await;
    let with_echo = |name: &str| {
        let mut app = NewApp::new(name, "fetch", &["/*"])
            .line("[function.grants]\nfunctions = [\"echo\"]")
            .line("[[function]]\nname = \"echo\"\ncomponent = \"echo.wasm\"\nroutes = []");
        let echo = component("echo", World::Wasi02);
        app.components.insert("echo".to_owned(), echo);
        app
    };
    with_echo("one").deploy(&ann).await.unwrap();
    let alone = NewApp::new("two", "fetch", &["/*"]);
    alone.deploy(&bob).await.unwrap();
    let path = by("/get", &format!("{ECHO}/head"));
    server.get("one.example.com", &path).await.ok();
    let refused = server.get("two.example.com", &path).await;
    assert_eq!(refused.status(), 502);
    assert!(refused.text().starts_with("HttpRequestDenied"));
    // A function that was removed is called no more, and the app still answers.
    let single = NewApp::new("one", "fetch", &["/*"]);
    single.deploy(&ann).await.unwrap();
    eventually("the new version", async || {
        let reply = server.get("one.example.com", &path).await;
        (reply.status() == 502).then_some(())
    })
    .await;
}
