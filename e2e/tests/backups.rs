//! Backups of a node that serves, by its own command line: what comes back, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Output;

use everwarm_api::messages::{Quotas, Scope, SetTraffic};
use everwarm_api::token::Token;
use everwarm_e2e::node::everwarm_command;
use everwarm_e2e::server::problem;
use everwarm_e2e::{DataFolder, NewApp, Server};
use serde_json::Value;

const HELLO: &str = "Hello from Everwarm\n";

async fn everwarm(server: Option<&Server>, args: &[&str]) -> Output {
    let mut command = everwarm_command();
    command.args(args);
    if let Some(server) = server {
        command
            .env("EVERWARM_NODE", server.admin())
            .env("EVERWARM_TOKEN", server.first_token().expose());
    }
    let output = tokio::task::spawn_blocking(move || command.output());
    output.await.unwrap().unwrap()
}

async fn restore(file: &Path, into: &DataFolder) -> Output {
    let folder = into.path();
    let args = ["restore", "--json", text(file), "--data-dir", text(&folder)];
    everwarm(None, &args).await
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn restored_node_has_the_same_apps_versions_tokens_and_usage() {
    let data = DataFolder::new();
    let server = data.start().await;
    let acme = server
        .tenant("acme", Quotas::default(), Scope::Deploy)
        .await;
    let hello = NewApp::new("shop", "hello", &["/*"]);
    let first = hello.clone().deploy(&acme).await.unwrap();
    let second = NewApp::new("shop", "echo", &["/*"]);
    second.percent(30).deploy(&acme).await.unwrap();
    for _ in 0..20 {
        server.get("shop.example.com", "/").await;
    }
    let file = data.path().join("../node.tar");
    let made = json(&everwarm(Some(&server), &["backup", "--json", text(&file)]).await);
    assert_eq!(made["artifacts"], 2);
    let usage = server.client().usage(true, None, None).await.unwrap();
    assert!(!usage.items.is_empty());
    let versions = acme.versions("shop", None).await.unwrap();
    let again = everwarm(Some(&server), &["backup", text(&file)]).await;
    assert_eq!(again.status.code(), Some(2), "{again:?}");

    // What comes after isn't in it.
    let back = SetTraffic {
        version: first.version.id.clone(),
        percent: None,
        sticky_header: None,
    };
    acme.set_traffic("shop", &back).await.unwrap();

    let checked = everwarm(None, &["restore", "--check", "--json", text(&file)]).await;
    assert_eq!(json(&checked)["artifacts"], 2);
    let new = DataFolder::new();
    json(&restore(&file, &new).await);
    // The token that the old node wrote is the operator's to keep: it isn't in the backup, but known to it.
    let token = server.first_token().expose().to_owned();
    std::fs::write(new.path().join("admin.token"), &token).unwrap();
    let restored = new.start().await;
    assert_eq!(
        Token::parse(&token).unwrap().expose(),
        restored.first_token().expose()
    );
    let found = restored.client().usage(true, None, None).await.unwrap();
    assert_eq!(found, usage);
    restored.until_ready().await;
    let client = restored.client_for("acme");
    let mut found = client.versions("shop", None).await.unwrap();
    for (found, expected) in found.items.iter_mut().zip(&versions.items) {
        // Both have the port of their node in it.
        found.preview_url.clone_from(&expected.preview_url);
    }
    assert_eq!(found, versions);
    let mut seen = 0;
    for _ in 0..200 {
        let reply = restored.get("shop.example.com", "/").await;
        if reply.ok() == HELLO {
            seen += 1;
        }
    }
    assert!(
        (1..200).contains(&seen),
        "both versions serve: {seen} of 200"
    );
}

#[tokio::test]
async fn backup_needs_an_admin_of_the_node_and_leaves_nothing_when_it_is_refused() {
    let data = DataFolder::new();
    let server = data.start().await;
    let tenant = server.tenant("acme", Quotas::default(), Scope::Admin).await;
    let refused = tenant.back_up().await.map(|_| ());
    assert_eq!(problem(refused).code, "EW5004");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.tar");
    let mut command = everwarm_command();
    command
        .args(["backup", text(&file), "--node", server.admin()])
        .env("EVERWARM_TOKEN", Token::random().unwrap().expose());
    let refused = tokio::task::spawn_blocking(move || command.output()).await;
    assert_eq!(refused.unwrap().unwrap().status.code(), Some(5));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn cut_off_backup_is_refused_and_the_folder_that_was_begun_serves_nothing() {
    let data = DataFolder::new();
    let server = data.start().await;
    let hello = NewApp::new("shop", "hello", &["/*"]);
    hello.deploy(&server.client()).await.unwrap();
    let file = data.path().join("../node.tar");
    json(&everwarm(Some(&server), &["backup", "--json", text(&file)]).await);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let new = DataFolder::new();
    let refused = restore(&file, &new).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned()
        + &String::from_utf8_lossy(&refused.stdout);
    assert_eq!(refused.status.code(), Some(5), "{said}");
    assert!(said.contains("EW4008"), "{said}");
    let mut serve = new.command();
    let refused = tokio::task::spawn_blocking(move || serve.output()).await;
    let refused = refused.unwrap().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned()
        + &String::from_utf8_lossy(&refused.stdout);
    assert!(said.contains("EW4007"), "{said}");
}
