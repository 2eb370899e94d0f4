//! The admin API over TLS, and whom its clients trust.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use everwarm_api::client::{Client, ClientError};
use everwarm_e2e::node::{self, Process, everwarm_command};
use everwarm_e2e::raw::Raw;
use everwarm_e2e::{Authority, DataFolder, Server, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// What a node doesn't take for a loopback address, and still is one, so that nobody else reaches the test.
const NOT_LOOPBACK: &str = "[::ffff:127.0.0.1]:0";

/// A node whose admin API has a certificate of a private authority.
struct Node {
    server: Server,
    authority: Authority,
    folder: TempDir,
    data: DataFolder,
}

impl Node {
    async fn start(admin: &str) -> Self {
        let (data, folder) = (DataFolder::new(), tempfile::tempdir().unwrap());
        let authority = Authority::new();
        authority
            .issue(&["localhost", "127.0.0.1"])
            .write(folder.path(), "admin");
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let mut command = data.command_with_admin(admin);
        command.arg("--admin-certificate");
        command.arg(folder.path().join("admin.crt"));
        command
            .arg("--admin-key")
            .arg(folder.path().join("admin.key"));
        Self {
            server: data.start_with(command).await,
            authority,
            folder,
            data,
        }
    }

    fn port(&self) -> &str {
        self.server.admin().rsplit_once(':').unwrap().1
    }

    fn client(&self, authority: &Authority) -> Client {
        let (node, token) = (self.server.admin(), self.server.first_token().clone());
        Client::with_authority(node, token, None, Some(authority.pem().as_bytes())).unwrap()
    }
}

/// Runs a verb with a home of its own; says how it ended and what it printed.
async fn everwarm(home: &Path, arguments: &[&str]) -> (i32, Value) {
    let mut command = everwarm_command();
    command
        .args(arguments)
        .arg("--json")
        .env("XDG_CONFIG_HOME", home);
    let mut process = Process::start(command);
    let status = process.ended().await;
    let printed = process.out.value("what it prints", |_| true).await;
    (status.code().unwrap_or(-1), printed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_keeps_the_authority_and_without_one_says_what_to_do() {
    let node = Node::start("127.0.0.1:0").await;
    let home = tempfile::tempdir().unwrap();
    let url = format!("https://localhost:{}", node.port());
    assert!(node.server.admin().starts_with("https://"));
    let token = node.data.path().join("admin.token");
    let login = ["login", &url, "--token-file", token.to_str().unwrap()];

    let (exit, refused) = everwarm(home.path(), &login).await;
    assert_eq!((exit, &refused["error"]["code"]), (5, &"EW4034".into()));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("everwarm login {url} --ca FILE")),
        "{message}"
    );
    let (exit, _) = everwarm(home.path(), &["apps"]).await;
    assert_eq!(exit, 2);

    let ca = node.folder.path().join("ca.pem");
    let with_ca = [&login[..], &["--ca", ca.to_str().unwrap()]].concat();
    assert_eq!(everwarm(home.path(), &with_ca).await.0, 0);
    // The file isn't needed any more.
    std::fs::remove_file(ca).unwrap();
    let (exit, apps) = everwarm(home.path(), &["apps"]).await;
    assert_eq!(exit, 0, "{apps}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_api_is_on_any_address_over_tls_and_in_the_clear_on_loopback_alone() {
    let node = Node::start(NOT_LOOPBACK).await;
    let (token, url) = (
        node.server.first_token().clone(),
        format!("https://127.0.0.1:{}", node.port()),
    );
    let authority = node.authority.pem();
    let client = Client::with_authority(&url, token, None, Some(authority.as_bytes())).unwrap();
    assert_eq!(client.who_am_i().await.unwrap().tenant, None);
    let mut plain = Raw::connect(format!("127.0.0.1:{}", node.port()).parse().unwrap()).await;
    let told = plain
        .last_words("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert!(
        told.starts_with("HTTP/1.1 400 ") && told.contains("HTTPS"),
        "{told}"
    );

    // A client that writes http:// for it is told the same.
    let plain = url.replace("https", "http");
    let client = Client::new(&plain, node.server.first_token().clone(), None).unwrap();
    let strange = client.who_am_i().await.unwrap_err();
    assert!(strange.to_string().contains("speaks HTTPS"), "{strange}");

    let data = DataFolder::new();
    let refusal = node::refused(data.command_with_admin(NOT_LOOPBACK)).await;
    assert_eq!((refusal.exit, &*refusal.code), (2, "EW4035"));
    assert!(
        refusal.message.contains("--admin-certificate"),
        "{}",
        refusal.message
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_of_the_admin_api_is_read_again() {
    let node = Node::start("127.0.0.1:0").await;
    assert!(node.client(&node.authority).who_am_i().await.is_ok());
    // A handshake that is never finished holds nobody up.
    let _silent = Raw::connect(format!("127.0.0.1:{}", node.port()).parse().unwrap()).await;
    let other = Authority::new();
    let untrusted = node.client(&other).who_am_i().await.unwrap_err();
    assert!(
        matches!(untrusted, ClientError::Untrusted { .. }),
        "{untrusted}"
    );
    other
        .issue(&["127.0.0.1"])
        .write(node.folder.path(), "admin");
    eventually("the other authority's certificate", async || {
        node.client(&other).who_am_i().await.ok()
    })
    .await;
    let untrusted = node.client(&node.authority).who_am_i().await.unwrap_err();
    assert!(
        matches!(untrusted, ClientError::Untrusted { .. }),
        "{untrusted}"
    );
}

#[tokio::test]
async fn start_with_a_key_of_another_certificate_is_refused() {
    let (data, folder) = (DataFolder::new(), tempfile::tempdir().unwrap());
    let authority = Authority::new();
    authority.issue(&["a.example"]).write(folder.path(), "a");
    authority.issue(&["b.example"]).write(folder.path(), "b");
    let mut command = data.command();
    command
        .arg("--admin-certificate")
        .arg(folder.path().join("a.crt"));
    command.arg("--admin-key").arg(folder.path().join("b.key"));
    let refusal = node::refused(command).await;
    assert_eq!((refusal.exit, &*refusal.code), (5, "EW4030"));
    assert!(refusal.message.contains("b.key"), "{}", refusal.message);
}
