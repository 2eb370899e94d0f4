//! The first five minutes: `new` in an empty folder, far from this repository, then `up`, edits, and an
//! edit that doesn't compile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use everwarm_e2e::deadline::{BUILD_DEADLINE, LOOK_AGAIN};
use everwarm_e2e::node::{Process, everwarm_command};
use everwarm_e2e::{Connection, Node};
use serde_json::Value;

/// The binary with these arguments, in a folder.
fn everwarm(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = everwarm_command();
    command.current_dir(folder).args(arguments);
    command
}

/// Runs a command to its end, which must be a good one. Returns the last line of JSON.
async fn run(command: Command) -> Value {
    let mut process = Process::start(command);
    let out = process.out.patient(BUILD_DEADLINE);
    let status = process.ended_within(BUILD_DEADLINE).await;
    assert!(status.success(), "{status}\n{}", process.log);
    out.wait_for("an answer in JSON", |lines| {
        lines
            .iter()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok())
    })
    .await
}

async fn new_app(folder: &Path, template: &str) {
    let created = run(everwarm(
        folder,
        &["new", "my-app", "--template", template, "--json"],
    ))
    .await;
    assert_eq!(
        (&created["name"], &created["template"]),
        (&"my-app".into(), &template.into())
    );
}

/// Changes the app's source.
fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("my-app/src/lib.rs");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

async fn event(node: &Node, name: &str, after: usize) -> (Value, usize) {
    let out = node.out().patient(BUILD_DEADLINE);
    let what = format!("the event `{name}`");
    out.wait_for(&what, |lines| {
        let mut events = lines.iter().enumerate().skip(after);
        events.find_map(|(number, line)| {
            let value: Value = serde_json::from_str(line).ok()?;
            (value["event"] == name).then_some((value, number + 1))
        })
    })
    .await
}

/// Asks for the page again and again until it is told to stop; every answer must be a page.
async fn watch_the_page(mut connection: Connection, stop: Arc<AtomicBool>) -> usize {
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        assert!(connection.get("/").await.ok().starts_with("Hello"));
        answers += 1;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_app_is_up_edits_go_live_and_a_broken_one_harms_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    new_app(folder, "http").await;
    let up = everwarm(
        folder,
        &["up", "my-app", "--json", "--listen", "127.0.0.1:0"],
    );
    let node = Node::ready_within(up, BUILD_DEADLINE).await;
    assert_eq!(node.ready["watching"], true);
    assert_eq!(node.get("/").await.ok(), "Hello from Everwarm\n");

    let stop = Arc::new(AtomicBool::new(false));
    let page = tokio::spawn(watch_the_page(node.connect().await, Arc::clone(&stop)));

    edit(folder, "Hello from Everwarm", "Hello again");
    let (_, seen) = event(&node, "live", 0).await;
    assert_eq!(node.get("/").await.ok(), "Hello again\n");

    edit(folder, "\"Hello again\\n\"", "\"Hello again\\n\" + 1");
    let (failed, seen) = event(&node, "failed", seen).await;
    assert_eq!(failed["error"]["code"], "EW2009", "{failed}");
    let output = failed["error"]["output"].as_str().unwrap_or_default();
    assert!(
        output.contains("cannot add"),
        "the compiler's words are missing: {failed}"
    );
    node.log().line("cannot add").await;
    assert_eq!(node.get("/").await.ok(), "Hello again\n");

    edit(folder, "\"Hello again\\n\" + 1", "\"Hello at last\\n\"");
    event(&node, "live", seen).await;
    assert_eq!(node.get("/").await.ok(), "Hello at last\n");

    stop.store(true, Ordering::Relaxed);
    assert!(page.await.unwrap() > 0, "the page was down in between");
}

#[tokio::test]
async fn new_axum_app_answers() {
    let temporary = tempfile::tempdir().unwrap();
    new_app(temporary.path(), "axum").await;
    let invoke = ["invoke", "my-app", "--json", "--path", "/api/todos/3"];
    let answer = run(everwarm(temporary.path(), &invoke)).await;
    assert_eq!(answer["status"], 200, "{answer}");
    let body = answer["body"].as_str().unwrap_or_default();
    let todo: Value = serde_json::from_str(body).unwrap();
    assert_eq!(todo["id"], 3, "{todo}");
}

#[tokio::test]
async fn new_bare_app_is_built_for_wasi_03_and_answers() {
    let temporary = tempfile::tempdir().unwrap();
    new_app(temporary.path(), "bare").await;
    let built = run(everwarm(temporary.path(), &["build", "my-app", "--json"])).await;
    assert_eq!(built["components"][0]["world"], "wasi-0.3", "{built}");
    let invoke = ["invoke", "my-app", "--json", "--path", "/a"];
    let answer = run(everwarm(temporary.path(), &invoke)).await;
    assert_eq!(
        answer["body"], "/a is request 1 of this instance\n",
        "{answer}"
    );
}

#[tokio::test]
async fn new_app_never_overwrites_anything() {
    let temporary = tempfile::tempdir().unwrap();
    fs::create_dir(temporary.path().join("my-app")).unwrap();
    fs::write(temporary.path().join("my-app/notes.txt"), "mine").unwrap();
    let refusal =
        everwarm_e2e::node::refused(everwarm(temporary.path(), &["new", "my-app", "--json"])).await;
    assert_eq!(refusal.code, "EW4020", "{refusal:?}");
    let kept = fs::read_to_string(temporary.path().join("my-app/notes.txt")).unwrap();
    assert_eq!(kept, "mine");
}
