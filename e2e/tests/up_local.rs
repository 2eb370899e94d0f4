//! The app that `up` serves, looked at from the command line as on a node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use everwarm_e2e::World;
use everwarm_e2e::deliveries::{app, handled_until, queue};
use everwarm_e2e::node::everwarm_command;
use rustix::process::Signal;

/// Runs `everwarm` in a folder.
async fn everwarm(folder: &Path, args: &[&str]) -> Output {
    let mut command = everwarm_command();
    command.args(args).current_dir(folder);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    output.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn app_that_is_up_is_looked_at_and_changed_from_its_folder() {
    let tables = queue("jobs", "") + "\n[[blobs]]\nname = \"files\"";
    let folder = app(World::Wasi02).table(&tables).write();
    let node = folder.start().await;
    let command = ["queue", "send", "queue", "jobs", "hello", "--node", "up"];
    let sent = everwarm(folder.path(), &command).await;
    assert!(sent.status.success(), "{sent:?}");
    let handled = handled_until(&node, "it is handled", |handled| handled.len() == 1).await;
    assert!(handled.values().all(|said| said["body"] == "hello"));

    // From a folder below it too; what functions keep, as well.
    let below = folder.path().join("src");
    std::fs::create_dir(&below).unwrap();
    let listed = everwarm(&below, &["kv", "ls", "queue", "--node", "up"]).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.starts_with("jobs-"), "{listed}");
    let manifest = ["blob", "put", "queue", "files", "a", "../everwarm.toml"];
    let put = everwarm(&below, &[&manifest[..], &["--node", "up"]].concat()).await;
    assert!(put.status.success(), "{put:?}");
    let get = ["blob", "get", "queue", "files", "a", "--node", "up"];
    let got = everwarm(&below, &get).await;
    let manifest = std::fs::read(folder.path().join("everwarm.toml"));
    assert_eq!(got.stdout, manifest.unwrap());

    let file = folder.path().join(".everwarm/admin.json");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else reads the token");
    drop(node.stop(Signal::TERM).await);
    assert!(!file.exists());
    let ended = everwarm(folder.path(), &command).await;
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("no app is up in this folder"), "{said}");
    assert_eq!(ended.status.code(), Some(2), "{said}");

    // It is found again at the next start, whatever became of its token.
    let token = folder.path().join(".everwarm/admin.token");
    let first = std::fs::read_to_string(&token).unwrap();
    let again = folder.start().await;
    assert_eq!(std::fs::read_to_string(&token).unwrap(), first);
    assert!(everwarm(folder.path(), &command).await.status.success());
    drop(again.stop(Signal::TERM).await);
    for damage in [None, Some(""), Some("ew_nothing"), Some(&*another_token())] {
        match damage {
            None => std::fs::remove_file(&token).unwrap(),
            Some(text) => std::fs::write(&token, text).unwrap(),
        }
        let again = folder.start().await;
        let sent = everwarm(folder.path(), &command).await;
        assert!(sent.status.success(), "{damage:?}: {sent:?}");
        drop(again.stop(Signal::TERM).await);
    }
}

/// One that the node doesn't know.
fn another_token() -> String {
    everwarm_api::token::Token::random()
        .unwrap()
        .expose()
        .to_owned()
}
