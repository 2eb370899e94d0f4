//! What a node says of itself to those who watch it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_api::messages::Scope;
use everwarm_e2e::{DataFolder, NewApp, Request, Server, eventually};

async fn metrics(server: &Server) -> String {
    let token = format!("Bearer {}", server.first_token().expose());
    let reply = server
        .ask_admin(Request::get("/metrics").header("authorization", &token))
        .await;
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    reply.ok().to_owned()
}

#[tokio::test]
async fn metrics_count_requests_failures_and_latencies_by_function() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    NewApp::new("shop", "misbehave", &["/*"])
        .deploy(&client)
        .await
        .unwrap();
    for path in ["/counter", "/counter", "/trap"] {
        server.get("shop.example.com", path).await;
    }
    server
        .get("nobody.example.com", "/")
        .await
        .failed(404, "EW3001");
    let line_of = |text: &str, parts: &[&str]| {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .find(|line| parts.iter().all(|part| line.contains(part)))
            .map(ToOwned::to_owned)
    };
    let text = eventually("all books are closed", async || {
        let text = metrics(&server).await;
        line_of(&text, &["everwarm_request_seconds_count", " 3"]).map(|_| text)
    })
    .await;
    for parts in [
        &[
            "everwarm_requests_total",
            "app=\"shop\"",
            "function=\"f\"",
            "status=\"2xx\"",
            " 2",
        ][..],
        &["everwarm_requests_total", "status=\"5xx\"", " 1"],
        &["everwarm_failures_total", "code=\"EW3002\"", " 1"],
        &["everwarm_failures_total", "code=\"EW3001\"", " 1"],
        &["everwarm_request_seconds_bucket", "le=\"+Inf\"", " 3"],
        &["everwarm_evictions_total 0"],
        &["everwarm_compiles_waiting 0"],
    ] {
        assert!(line_of(&text, parts).is_some(), "{parts:?} in\n{text}");
    }
    let resident = line_of(&text, &["everwarm_resident_bytes "]).unwrap();
    let bytes: u64 = resident.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(bytes > 0);
    assert_eq!(text.lines().last(), Some("# EOF"));
}

#[tokio::test]
async fn metrics_are_for_the_nodes_tokens_alone() {
    let data = DataFolder::new();
    let server = data.start().await;
    server
        .ask_admin(Request::get("/metrics"))
        .await
        .failed(401, "EW5003");
    server
        .client()
        .put_tenant("ann", &everwarm_api::messages::Quotas::default())
        .await
        .unwrap();
    let new = everwarm_api::messages::NewToken {
        name: "x".to_owned(),
        scope: Scope::Admin,
        lifetime_s: None,
        of_node: false,
    };
    let made = server.client_for("ann").make_token(&new).await.unwrap();
    let token = format!("Bearer {}", made.token);
    let request = Request::get("/metrics").header("authorization", &token);
    server.ask_admin(request).await.failed(403, "EW5004");
}

#[tokio::test]
async fn node_whose_machine_code_is_gone_is_ready_when_it_has_made_it_again() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    for app in ["one", "two"] {
        NewApp::new(app, "hello", &["/*"])
            .deploy(&client)
            .await
            .unwrap();
    }
    let stopped = server.node.stop(rustix::process::Signal::TERM).await;
    assert!(stopped.status.success());
    // What a newer binary finds: code for its engine isn't there.
    std::fs::remove_dir_all(data.path().join("compiled")).unwrap();
    let server = data.start().await;
    server.ask_admin(Request::get("/healthz")).await;
    server.until_ready().await;
    for host in ["one.example.com", "two.example.com"] {
        server.get(host, "/").await.ok();
    }
    assert!(
        server
            .node
            .log()
            .contains("machine code is made before the node is ready")
    );
}

#[tokio::test]
async fn document_of_the_admin_api_is_served_to_everybody() {
    let data = DataFolder::new();
    let server = data.start().await;
    let reply = server.ask_admin(Request::get("/openapi.json")).await;
    reply.ok();
    let document = reply.json();
    assert_eq!(document["info"]["title"], "Everwarm admin API");
    assert!(document["paths"]["/v1/apps/{app}/versions"]["post"].is_object());
    server
        .ask_admin(Request::get("/v1/nothing"))
        .await
        .failed(404, "EW5015");
}
