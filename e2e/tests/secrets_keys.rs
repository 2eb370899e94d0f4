//! The keys of secrets: where they come from, what becomes of secrets without them, and how they are changed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use everwarm_api::client::Client;
use everwarm_api::messages::{KeyRotation, SecretRollback};
use everwarm_e2e::node::{everwarm_command, refused};
use everwarm_e2e::server::problem;
use everwarm_e2e::{DataFolder, NewApp, Server, World, component};
use rusqlite::Connection;
use rustix::process::Signal;

fn shop() -> NewApp {
    NewApp::of("shop", &component("config", World::Wasi02), &["/*"])
        .line("[function.grants]\nsecrets = [\"KEY\", \"OTHER\"]")
}

async fn get(server: &Server, path: &str) -> String {
    server.get("shop.example.com", path).await.ok().to_owned()
}

async fn put(client: &Client, name: &str, value: &str) {
    client
        .put_secret("shop", name, &value.into())
        .await
        .unwrap();
}

/// Makes a key in a file, before those that are there.
fn new_key(file: &Path) {
    let output = everwarm_command()
        .args(["secret", "new-key", "--json"])
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn with_key_file(data: &DataFolder, file: &Path) -> Command {
    let mut command = data.command();
    command.arg("--secrets-key-file").arg(file);
    command
}

async fn stop(server: Server) {
    let stopped = server.node.stop(Signal::TERM).await;
    assert!(stopped.status.success(), "{:?}", stopped.status);
}

#[tokio::test]
async fn node_with_another_key_names_what_it_can_not_read_and_serves_the_rest() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    shop().deploy(&client).await.unwrap();
    NewApp::new("hello", "hello", &["/*"])
        .deploy(&client)
        .await
        .unwrap();
    put(&client, "KEY", "one").await;
    let server = server.kill_and_restart(&data).await;
    assert_eq!(get(&server, "/get/KEY").await, "value one\n");
    stop(server).await;

    let key = data.path().join("secrets.key");
    let kept = std::fs::read_to_string(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let server = data.start().await;
    let log = server.node.log();
    log.wait_for("the name of the secret", |lines| {
        let named = |line: &&String| line.contains("EW4045") && line.contains("KEY");
        lines.iter().find(named).cloned()
    })
    .await;
    let unreadable = get(&server, "/get/KEY").await;
    assert!(unreadable.starts_with("Upstream("), "{unreadable}");
    assert!(
        unreadable.contains("the secret `KEY` can't be read"),
        "{unreadable}"
    );
    let hello = server.get("hello.example.com", "/").await;
    assert_eq!(hello.ok(), "Hello from Everwarm\n");
    let client = server.client();
    put(&client, "OTHER", "two").await;
    assert_eq!(get(&server, "/get/OTHER").await, "value two\n");
    let listed = client.secrets("shop").await.unwrap().items;
    assert!(listed[0].unreadable.is_some(), "{listed:?}");
    assert!(listed[1].unreadable.is_none(), "{listed:?}");

    // The key comes back, behind the new one.
    let ring = std::fs::read_to_string(&key).unwrap() + &kept;
    std::fs::write(&key, ring).unwrap();
    let rotation = client.rotate_secrets_key().await.unwrap();
    assert_eq!(
        (rotation.resealed, rotation.unreadable),
        (2, 0),
        "{rotation:?}"
    );
    assert_eq!(get(&server, "/get/KEY").await, "value one\n");
    let audit = client.audit(true, None).await.unwrap().items;
    assert_eq!(audit[0].action, "rotate-secrets-key");
}

#[tokio::test]
async fn key_comes_from_a_file_a_credential_or_the_environment_and_nobody_else_may_read_it() {
    let (data, keys) = (DataFolder::new(), tempfile::tempdir().unwrap());
    let file = keys.path().join("everwarm-secrets-key");
    new_key(&file);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let server = data.start_with(with_key_file(&data, &file)).await;
    shop().deploy(&server.client()).await.unwrap();
    put(&server.client(), "KEY", "one").await;
    assert!(!data.path().join("secrets.key").exists());
    stop(server).await;

    let text = std::fs::read_to_string(&file).unwrap();
    let mut by_credential = data.command();
    by_credential.env("CREDENTIALS_DIRECTORY", keys.path());
    let mut by_variable = data.command();
    by_variable.env("EVERWARM_SECRETS_KEY", text.trim());
    for command in [by_credential, by_variable] {
        let server = data.start_with(command).await;
        assert_eq!(get(&server, "/get/KEY").await, "value one\n");
        stop(server).await;
    }

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refusal = refused(with_key_file(&data, &file)).await;
    assert_eq!(refusal.code, "EW4044", "{refusal:?}");
    assert!(refusal.message.contains("mode 640"), "{refusal:?}");
    let mut garbage = data.command();
    garbage.env("EVERWARM_SECRETS_KEY", "ewk_hunter2");
    let refusal = refused(garbage).await;
    assert_eq!(refusal.code, "EW4044", "{refusal:?}");
    assert!(!refusal.message.contains("hunter2"), "{refusal:?}");
}

#[tokio::test]
async fn key_that_still_seals_something_is_not_let_go() {
    let (data, keys) = (DataFolder::new(), tempfile::tempdir().unwrap());
    let file = keys.path().join("keys");
    new_key(&file);
    let old = std::fs::read_to_string(&file).unwrap();
    let server = data.start_with(with_key_file(&data, &file)).await;
    let client = server.client();
    shop().deploy(&client).await.unwrap();
    put(&client, "KEY", "one").await;

    std::fs::remove_file(&file).unwrap();
    new_key(&file);
    let refused = problem(client.rotate_secrets_key().await);
    assert_eq!(
        (refused.status, &*refused.code),
        (409, "EW4044"),
        "{refused:?}"
    );
    assert!(
        refused.detail.contains("still seals 1 version"),
        "{refused:?}"
    );
    put(&client, "OTHER", "two").await;
    assert_eq!(get(&server, "/get/KEY").await, "value one\n");

    let both = std::fs::read_to_string(&file).unwrap() + &old;
    std::fs::write(&file, both).unwrap();
    let rotation: KeyRotation = client.rotate_secrets_key().await.unwrap();
    assert_eq!(
        (rotation.resealed, rotation.unused.len()),
        (2, 1),
        "{rotation:?}"
    );
    // What isn't needed any more can go.
    let new = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, new.lines().next().unwrap()).unwrap();
    stop(server).await;
    let server = data.start_with(with_key_file(&data, &file)).await;
    assert_eq!(get(&server, "/get/KEY").await, "value one\n");
    assert_eq!(get(&server, "/get/OTHER").await, "value two\n");
}

#[tokio::test]
async fn rotation_that_is_killed_anywhere_loses_nothing() {
    const SECRETS: usize = 60;
    let (data, keys) = (DataFolder::new(), tempfile::tempdir().unwrap());
    let file = keys.path().join("keys");
    new_key(&file);
    let mut server = data.start_with(with_key_file(&data, &file)).await;
    shop().deploy(&server.client()).await.unwrap();
    put(&server.client(), "KEY", "one").await;
    for number in 0..SECRETS {
        put(&server.client(), &format!("N{number}"), "x").await;
    }
    for round in 0..6 {
        new_key(&file);
        let client = server.client();
        let rotating = tokio::spawn(async move { client.rotate_secrets_key().await });
        // Anywhere between the first row and the last, as a rule.
        tokio::time::sleep(Duration::from_millis(round * 7)).await;
        drop(server.node.stop(Signal::KILL).await);
        let _ = rotating.await.unwrap();
        server = data.start_with(with_key_file(&data, &file)).await;
        assert_eq!(
            get(&server, "/get/KEY").await,
            "value one\n",
            "round {round}"
        );
        let listed = server.client().secrets("shop").await.unwrap().items;
        assert_eq!(listed.len(), SECRETS + 2, "OTHER isn't set");
        assert!(listed.iter().all(|secret| secret.unreadable.is_none()));
    }
    // The start seals anew by itself; asked once more, everything is under the first key.
    let rotation = server.client().rotate_secrets_key().await.unwrap();
    assert_eq!(
        (rotation.unreadable, rotation.unused.len()),
        (0, 6),
        "{rotation:?}"
    );
    let first = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, first.lines().next().unwrap()).unwrap();
    drop(server.node.stop(Signal::KILL).await);
    let server = data.start_with(with_key_file(&data, &file)).await;
    assert_eq!(get(&server, "/get/KEY").await, "value one\n");
}

/// Gives each of two secrets the bytes of the other.
fn swap(catalog: &Path) {
    let catalog = Connection::open(catalog).unwrap();
    let sealed = |name: &str| -> Vec<u8> {
        let query = "SELECT sealed FROM secret_version WHERE name = ?1";
        catalog.query_row(query, [name], |row| row.get(0)).unwrap()
    };
    let (key, other) = (sealed("KEY"), sealed("OTHER"));
    for (name, bytes) in [("KEY", other), ("OTHER", key)] {
        let update = "UPDATE secret_version SET sealed = ?2 WHERE name = ?1";
        let changed = catalog.execute(update, rusqlite::params![name, bytes]);
        assert_eq!(changed.unwrap(), 1);
    }
}

#[tokio::test]
async fn sealed_bytes_in_another_row_or_changed_are_refused() {
    let data = DataFolder::new();
    let server = data.start().await;
    shop().deploy(&server.client()).await.unwrap();
    put(&server.client(), "KEY", "one").await;
    put(&server.client(), "OTHER", "two").await;
    stop(server).await;
    swap(&data.path().join("catalog.sqlite"));
    let server = data.start().await;
    for name in ["KEY", "OTHER"] {
        let told = get(&server, &format!("/get/{name}")).await;
        assert!(
            told.contains("was changed, or is another secret's"),
            "{told}"
        );
    }
    // What can't be read is set anew.
    put(&server.client(), "KEY", "three").await;
    assert_eq!(get(&server, "/get/KEY").await, "value three\n");
    let back = problem(
        server
            .client()
            .roll_back_secret("shop", "KEY", &SecretRollback::default())
            .await,
    );
    assert_eq!((back.status, &*back.code), (409, "EW4045"), "{back:?}");
    assert_eq!(get(&server, "/get/KEY").await, "value three\n");
}

#[tokio::test]
async fn backup_has_secrets_and_not_their_key() {
    let data = DataFolder::new();
    let server = data.start().await;
    shop().deploy(&server.client()).await.unwrap();
    put(&server.client(), "KEY", "one").await;
    let archive = data.path().join("../node.tar");
    let made = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    made(
        everwarm_command()
            .arg("backup")
            .arg(&archive)
            .env("EVERWARM_NODE", server.admin())
            .env("EVERWARM_TOKEN", server.first_token().expose()),
    );
    let token = server.first_token().expose().to_owned();
    let key = std::fs::read(data.path().join("secrets.key")).unwrap();
    let bytes = std::fs::read(&archive).unwrap();
    let line = &key[..key.len() - 1];
    assert!(!bytes.windows(line.len()).any(|window| window == line));

    let new = DataFolder::new();
    made(
        everwarm_command()
            .arg("restore")
            .arg(&archive)
            .arg("--data-dir")
            .arg(new.path()),
    );
    std::fs::write(new.path().join("admin.token"), &token).unwrap();
    let restored = new.start().await;
    restored.until_ready().await;
    let told = get(&restored, "/get/KEY").await;
    assert!(told.contains("which this node doesn't have"), "{told}");
    stop(restored).await;
    std::fs::write(new.path().join("secrets.key"), &key).unwrap();
    let restored = new.start().await;
    restored.until_ready().await;
    assert_eq!(get(&restored, "/get/KEY").await, "value one\n");
}
