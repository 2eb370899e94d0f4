//! The command line around a node: one package for two worlds, `invoke` and its exit codes, and a
//! manifest that is broken while it is served.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus};

use everwarm_e2e::deadline::BUILD_DEADLINE;
use everwarm_e2e::node::{Process, everwarm_command};
use everwarm_e2e::{App, Node, World};
use serde_json::Value;

fn everwarm(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = everwarm_command();
    command.current_dir(folder).args(arguments);
    command
}

/// Runs a command that answers in JSON to its end, however that is.
async fn answer(command: Command) -> (ExitStatus, Value) {
    let mut process = Process::start(command);
    let out = process.out.patient(BUILD_DEADLINE);
    let status = process.ended_within(BUILD_DEADLINE).await;
    let value = out.value("an answer in JSON", Value::is_object).await;
    (status, value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn package_is_built_for_both_worlds_when_its_functions_need_both() {
    let folder = tempfile::tempdir().unwrap();
    let new = ["new", "demo", "--path", ".", "--json"];
    assert!(answer(everwarm(folder.path(), &new)).await.0.success());
    let manifest = "name = \"demo\"\n\
        [[function]]\nname = \"fresh\"\nroutes = [\"/fresh\"]\n\
        [[function]]\nname = \"shared\"\nroutes = [\"/shared\"]\nisolation = \"concurrent\"\n";
    fs::write(folder.path().join("everwarm.toml"), manifest).unwrap();
    let (status, built) = answer(everwarm(folder.path(), &["build", "--json"])).await;
    assert!(status.success(), "{built}");
    let [fresh, shared] = [&built["components"][0], &built["components"][1]];
    assert_eq!(
        (&fresh["world"], &shared["world"]),
        (&"wasi-0.2".into(), &"wasi-0.3".into())
    );
    assert_ne!(fresh["path"], shared["path"]);

    let up = everwarm(
        folder.path(),
        &["up", "--json", "--no-watch", "--listen", "127.0.0.1:0"],
    );
    let node = Node::ready(up).await;
    for path in ["/fresh", "/shared"] {
        assert_eq!(node.get(path).await.ok(), "Hello from Everwarm\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invoke_answers_without_a_port_and_while_up_runs() {
    let app = App::new("hello", World::Wasi02).write();
    let node = app.start().await;
    let (status, invoked) = answer(everwarm(app.path(), &["invoke", "--json"])).await;
    assert!(status.success(), "{invoked}");
    assert_eq!(invoked["status"], 200);
    assert_eq!(invoked["body"], node.get("/").await.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invoke_of_a_function_that_fails_has_its_own_exit_code() {
    let app = App::new("misbehave", World::Wasi02).write();
    let invoke = ["invoke", "--json", "--path", "/trap"];
    let (status, invoked) = answer(everwarm(app.path(), &invoke)).await;
    assert_eq!(status.code(), Some(6));
    assert_eq!(invoked["status"], 500);
    let body: Value = serde_json::from_str(invoked["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["code"], "EW3002");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manifest_that_is_broken_while_it_is_served_harms_nothing() {
    let app = App::new("hello", World::Wasi02).write();
    let node = Node::ready(everwarm(app.path(), &["up", "--json", "--listen", "0"])).await;
    let before = node.get("/").await.ok().to_owned();
    let path = app.path().join("everwarm.toml");
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{manifest}\nisolaton = \"serial\"\n")).unwrap();
    let failed = node
        .out()
        .value("a failure", |value| value["event"] == "failed")
        .await;
    assert_eq!(failed["error"]["mistakes"][0]["suggestion"], "isolation");
    assert_eq!(node.get("/").await.ok(), before);

    fs::write(&path, format!("{manifest}\nisolation = \"serial\"\n")).unwrap();
    node.out()
        .value("a new version", |value| value["event"] == "live")
        .await;
    assert_eq!(node.get("/").await.ok(), before);
}
