//! A node that others deploy to: what a deploy makes of an app, and what a failed one leaves as it was.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_api::messages::{HealthCheck, Quotas, Scope};
use everwarm_e2e::server::{digest, problem};
use everwarm_e2e::{DataFolder, NewApp, World, component};

const HELLO: &str = "Hello from Everwarm\n";

#[tokio::test]
async fn deployed_app_answers_at_its_own_host_and_at_its_versions_and_nowhere_else() {
    let data = DataFolder::new();
    let server = data.start().await;
    let deployed = NewApp::new("shop", "hello", &["/*"])
        .deploy(&server.client())
        .await
        .unwrap();
    assert_eq!(server.get("shop.example.com", "/").await.ok(), HELLO);
    let port = server.node.address().port();
    assert_eq!(deployed.urls, [format!("http://shop.example.com:{port}/")]);
    let preview = format!("0{}--shop.example.com", deployed.version.short);
    assert_eq!(
        deployed.version.preview_url,
        Some(format!("http://{preview}:{port}/"))
    );
    assert_eq!(server.get(&preview, "/").await.ok(), HELLO);
    assert_eq!(deployed.version.percent, 100);
    let stages: Vec<&str> = deployed.stages.iter().map(|stage| &*stage.stage).collect();
    assert_eq!(stages, ["verify", "store", "compile", "switch"]);
    for host in [
        "example.com",
        "other.example.com",
        "localhost",
        "0000000000000--shop.example.com",
    ] {
        server.get(host, "/").await.failed(404, "EW3001");
    }
}

#[tokio::test]
async fn same_bytes_are_uploaded_once_and_other_bytes_never_under_their_name() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let bytes = std::fs::read(component("hello", World::Wasi02)).unwrap();
    let name = digest(&bytes);
    assert!(!client.has_component(&name).await.unwrap());
    let other = client
        .put_component(&name, bytes[1..].to_vec().into())
        .await;
    assert_eq!(problem(other).code, "EW5006");
    assert!(!client.has_component(&name).await.unwrap());
    client.put_component(&name, bytes.into()).await.unwrap();
    assert!(client.has_component(&name).await.unwrap());
    let no_name = client.put_component("sha256:x", b"x".to_vec().into()).await;
    assert_eq!(problem(no_name).code, "EW5009");
}

#[tokio::test]
async fn deploy_that_is_sent_again_with_its_key_is_not_done_again() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let hello = NewApp::new("shop", "hello", &["/*"]);
    let first = hello.clone().deploy_once(&client, Some("a")).await;
    let first = first.unwrap();
    let echo = NewApp::new("shop", "echo", &["/*"]);
    let second = echo.clone().deploy_once(&client, Some("b")).await.unwrap();

    // Its answer was lost, and its sender tries again after somebody else has deployed, and the node has died.
    let server = server.kill_and_restart(&data).await;
    let client = server.client();
    let again = hello.clone().deploy_once(&client, Some("a")).await.unwrap();
    assert_eq!(again.version.id, first.version.id);
    assert_eq!(again.traffic.unwrap().main, second.version.id);
    assert!(again.stages.is_empty());
    let entries = client.audit(false, None).await.unwrap().items;
    let deploys = entries.iter().filter(|entry| entry.action == "deploy");
    assert_eq!(deploys.count(), 2);

    let other = echo.deploy_once(&client, Some("a")).await;
    assert_eq!(problem(other).code, "EW5017");
    for key in ["", "two words", &"k".repeat(129)] {
        let bad = hello.clone().deploy_once(&client, Some(key)).await;
        assert_eq!(problem(bad).code, "EW5009", "{key}");
    }
    // Another tenant's keys are its own.
    let ann = server.tenant("ann", Quotas::default(), Scope::Deploy).await;
    let hers = NewApp::new("annas", "hello", &["/*"]);
    hers.deploy_once(&ann, Some("a")).await.unwrap();
    // Without a key it is done as often as it is sent.
    hello.deploy(&client).await.unwrap();
    assert_eq!(server.get("shop.example.com", "/").await.ok(), HELLO);
}

#[tokio::test]
async fn version_of_an_app_that_was_never_live_has_its_preview() {
    let data = DataFolder::new();
    let server = data.start().await;
    let hello = NewApp::new("shop", "hello", &["/*"]).percent(0);
    let deployed = hello.clone().deploy(&server.client()).await.unwrap();
    server
        .get("shop.example.com", "/")
        .await
        .failed(404, "EW3001");
    let preview = format!("0{}--shop.example.com", deployed.version.short);
    assert_eq!(server.get(&preview, "/").await.ok(), HELLO);
    // The same version of two tenants is nobody's.
    let ann = server.tenant("ann", Quotas::default(), Scope::Deploy).await;
    let hers = hello.deploy(&ann).await.unwrap();
    assert_eq!(hers.version.id, deployed.version.id);
    server.get(&preview, "/").await.failed(404, "EW3001");
}

#[tokio::test]
async fn failed_deploy_says_its_stage_and_leaves_the_old_version_serving() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let good = NewApp::new("shop", "hello", &["/*"]);
    let first = good.clone().deploy(&client).await.unwrap();

    let not_wasm = data.path().join("not.wasm");
    std::fs::write(&not_wasm, "this is no component").unwrap();
    let mut unhealthy = NewApp::new("shop", "misbehave", &["/*"]);
    unhealthy.deploy.health = Some(HealthCheck {
        path: "/trap".to_owned(),
    });
    let mut missing = good.clone();
    missing.components.clear();
    missing
        .deploy
        .components
        .insert("f".to_owned(), digest(b"never uploaded"));
    for (app, stage, code) in [
        (NewApp::of("shop", &not_wasm, &["/*"]), "verify", "EW2001"),
        (
            NewApp::new("shop", "bigimport", &["/*"]),
            "verify",
            "EW2003",
        ),
        (missing, "verify", "EW5006"),
        (
            NewApp::new("shop", "hello", &["other.example.com/*"]),
            "verify",
            "EW5007",
        ),
        (unhealthy, "probe", "EW5010"),
    ] {
        let problem = problem(app.deploy(&client).await);
        assert_eq!(
            (problem.stage.as_deref(), &*problem.code),
            (Some(stage), code),
            "{problem:?}"
        );
        assert_eq!(server.get("shop.example.com", "/").await.ok(), HELLO);
    }
    let app = client.app("shop").await.unwrap();
    assert_eq!(app.traffic.unwrap().main, first.version.id);
}

#[tokio::test]
async fn version_that_is_healthy_gets_the_requests() {
    let data = DataFolder::new();
    let server = data.start().await;
    let mut app = NewApp::new("shop", "misbehave", &["/*"]);
    app.deploy.health = Some(HealthCheck {
        path: "/counter?probe".to_owned(),
    });
    let deployed = app.deploy(&server.client()).await.unwrap();
    assert!(deployed.stages.iter().any(|stage| stage.stage == "probe"));
    assert_eq!(server.get("shop.example.com", "/counter").await.ok(), "0\n");
}

#[tokio::test]
async fn manifest_is_checked_again_on_the_node() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    for (app, word) in [
        (
            NewApp::new("shop", "hello", &["/*"]).line("colour = 1"),
            "colour",
        ),
        (
            NewApp {
                name: "blog".to_owned(),
                ..NewApp::new("shop", "hello", &["/*"])
            },
            "`shop`",
        ),
    ] {
        let problem = problem(app.deploy(&client).await);
        assert_eq!((problem.status, &*problem.code), (400, "EW5009"));
        assert!(problem.detail.contains(word), "{problem:?}");
    }
    let mut path = NewApp::new("shop", "hello", &["/*"]);
    path.deploy.health = Some(HealthCheck {
        path: "no-slash".to_owned(),
    });
    assert_eq!(problem(path.deploy(&client).await).code, "EW5009");
}

#[tokio::test]
async fn routes_of_two_apps_that_match_the_same_requests_are_refused() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    NewApp::new("one", "hello", &["shared.org/*"])
        .deploy(&client)
        .await
        .unwrap();
    let refused = problem(
        NewApp::new("two", "hello", &["shared.org/*"])
            .deploy(&client)
            .await,
    );
    assert_eq!((refused.status, &*refused.code), (409, "EW1005"));
    assert!(refused.detail.contains("app `one`"), "{refused:?}");
    // Other paths of the same host are another app's, if it is the same tenant's.
    NewApp::new("two", "hello", &["shared.org/two/*"])
        .deploy(&client)
        .await
        .unwrap();
    assert_eq!(server.get("shared.org", "/two/x").await.ok(), HELLO);
}

#[tokio::test]
async fn removed_app_answers_no_more_and_is_gone_from_the_lists() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let deployed = NewApp::new("shop", "hello", &["/*"])
        .deploy(&client)
        .await
        .unwrap();
    let preview = format!("0{}--shop.example.com", deployed.version.short);
    server.get(&preview, "/").await.ok();
    client.remove_app("shop").await.unwrap();
    for host in ["shop.example.com", &preview] {
        server.get(host, "/").await.failed(404, "EW3001");
    }
    assert!(client.apps(None).await.unwrap().items.is_empty());
    for gone in [
        problem(client.app("shop").await),
        problem(client.versions("shop", None).await),
        problem(client.remove_app("shop").await),
    ] {
        assert_eq!((gone.status, &*gone.code), (404, "EW5005"));
    }
}

#[tokio::test]
async fn what_was_acknowledged_serves_after_a_kill() {
    let data = DataFolder::new();
    let mut server = data.start().await;
    for turn in 0..4 {
        let client = server.client();
        let route = format!("/turn/{turn}");
        let deployed = NewApp::new("shop", "hello", &[&route])
            .deploy(&client)
            .await
            .unwrap();
        server = server.kill_and_restart(&data).await;
        assert_eq!(server.get("shop.example.com", &route).await.ok(), HELLO);
        let app = server.client().app("shop").await.unwrap();
        assert_eq!(app.traffic.unwrap().main, deployed.version.id);
        assert_eq!(app.versions, turn + 1);
    }
}

#[tokio::test]
async fn lists_come_in_pages() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    for name in ["c", "a", "b"] {
        NewApp::new(name, "hello", &["/*"])
            .deploy(&client)
            .await
            .unwrap();
    }
    let apps = client.apps(None).await.unwrap();
    let names: Vec<&str> = apps.items.iter().map(|app| &*app.name).collect();
    assert_eq!((names, apps.next), (vec!["a", "b", "c"], None));
    let rest = client.apps(Some("a")).await.unwrap();
    assert_eq!(rest.items.len(), 2);
}

#[tokio::test]
async fn old_versions_are_forgotten_and_what_serves_or_served_before_is_not() {
    let data = DataFolder::new();
    let mut command = data.command();
    command.args(["--versions-max", "2"]);
    let server = data.start_with(command).await;
    let client = server.client();
    let mut shorts = Vec::new();
    for turn in 0..4 {
        let app = NewApp::new("shop", "hello", &[&format!("/{turn}")]);
        shorts.push(app.deploy(&client).await.unwrap().version.short);
    }
    for turn in 4..8 {
        let app = NewApp::new("shop", "hello", &[&format!("/{turn}")]).percent(0);
        shorts.push(app.deploy(&client).await.unwrap().version.short);
    }
    let versions = client.versions("shop", None).await.unwrap().items;
    let left: Vec<&str> = versions.iter().map(|version| &*version.short).collect();
    // The newest two, what serves, and what served before.
    assert_eq!(left, [&shorts[7], &shorts[6], &shorts[3], &shorts[2]]);
    let gone = format!("0{}--shop.example.com", shorts[0]);
    server.get(&gone, "/0").await.failed(404, "EW3001");
    server.get("shop.example.com", "/3").await.ok();
    let back = client
        .roll_back("shop", &everwarm_api::messages::Rollback::default())
        .await;
    assert!(back.unwrap().past.is_empty());
    server.get("shop.example.com", "/2").await.ok();
}
