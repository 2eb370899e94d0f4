//! From an empty folder to an app that is served and worked on: `new`, `build`, `up`, `invoke`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use everwarm_e2e::node::everwarm_command;
use everwarm_e2e::{App, Node, Request, World};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The longest that cargo may take for the SDK and what it depends on, on a busy machine.
const BUILD_DEADLINE: Duration = Duration::from_secs(900);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A command that is interrupted when it isn't waited for to its end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = kill_process(Pid::from_child(&self.0), Signal::INT);
            let _ = self.0.wait();
        }
    }
}

/// Runs a command that may have to build. Its output goes to files: nobody has to read along.
async fn ended(mut command: Command) -> Output {
    let (out, err) = (
        tempfile::NamedTempFile::new().unwrap(),
        tempfile::NamedTempFile::new().unwrap(),
    );
    command
        .stdout(Stdio::from(out.reopen().unwrap()))
        .stderr(Stdio::from(err.reopen().unwrap()));
    let mut running = Running(command.spawn().unwrap());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        assert!(
            started.elapsed() < BUILD_DEADLINE,
            "{command:?} goes on and on"
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    Output {
        status,
        stdout: fs::read(out.path()).unwrap(),
        stderr: fs::read(err.path()).unwrap(),
    }
}

fn everwarm(folder: &Path, args: &[&str]) -> Command {
    let mut command = everwarm_command();
    command.current_dir(folder).args(args);
    command
}

async fn succeeds(command: Command) -> Value {
    let output = ended(command).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits for the event of that name with that number, counted from 1.
async fn event(node: &Node, name: &str, number: usize) -> Value {
    let what = format!("event {number} of `{name}`");
    node.out()
        .wait_for(&what, |lines| {
            lines
                .iter()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .filter(|value| value["event"] == name)
                .nth(number - 1)
        })
        .await
}

/// As [`event`], and asks the app for answers all the while: each must be a whole one.
async fn event_without_a_gap(node: &Node, name: &str, number: usize) -> (Value, usize) {
    let mut answers = 0;
    let asking = async {
        loop {
            node.get("/").await.ok();
            answers += 1;
        }
    };
    let event = tokio::select! {
        event = event(node, name, number) => event,
        never = asking => never,
    };
    (event, answers)
}

fn replace(path: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(old), "{old:?} isn't in {text}");
    fs::write(path, text.replace(old, new)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_app_is_served_and_edits_go_live_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let created = succeeds(everwarm(folder.path(), &["new", "demo", "--json"])).await;
    assert_eq!(created["name"], "demo");
    let app = folder.path().join("demo");
    // The first build is cargo's alone, and takes as long as it takes.
    let built = succeeds(everwarm(&app, &["build", "--json"])).await;
    assert_eq!(built["components"][0]["world"], "wasi-0.2");

    let node = Node::ready(everwarm(&app, &["up", "--json", "--listen", "127.0.0.1:0"])).await;
    assert_eq!(node.ready["watching"], true);
    assert_eq!(node.get("/").await.ok(), "Hello from Everwarm\n");
    let by_name = Request::get("/").header("host", "demo.localhost");
    assert_eq!(node.send(by_name).await.ok(), "Hello from Everwarm\n");

    let source = app.join("src/lib.rs");
    replace(&source, "Hello", "Edited");
    let (_live, answers) = event_without_a_gap(&node, "live", 1).await;
    assert!(answers > 0);
    assert_eq!(node.get("/").await.ok(), "Edited from Everwarm\n");

    replace(&source, "\"Edited", "42 \"Edited");
    let (failed, _answers) = event_without_a_gap(&node, "failed", 1).await;
    assert_eq!(failed["error"]["code"], "EW2009");
    let compiler = failed["error"]["output"].as_str().unwrap();
    assert!(compiler.contains("src/lib.rs:5"), "{compiler}");
    assert!(
        node.log().contains("src/lib.rs:5"),
        "the terminal doesn't show the compiler's error"
    );
    assert_eq!(node.get("/").await.ok(), "Edited from Everwarm\n");

    replace(&source, "42 \"Edited", "\"Mended");
    event_without_a_gap(&node, "live", 2).await;
    assert_eq!(node.get("/").await.ok(), "Mended from Everwarm\n");

    fs::write(
        app.join("everwarm.toml"),
        "name = \"demo\"\n[[function]]\nisolaton = \"serial\"\n",
    )
    .unwrap();
    let failed = event(&node, "failed", 2).await;
    assert_eq!(failed["error"]["mistakes"][0]["suggestion"], "isolation");
    assert_eq!(node.get("/").await.ok(), "Mended from Everwarm\n");

    let stopped = node.stop(Signal::INT).await;
    assert!(stopped.status.success(), "{:?}", stopped.status);
    assert!(stopped.out().contains("\"stopped\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn package_is_built_for_both_worlds_when_its_functions_need_both() {
    let folder = tempfile::tempdir().unwrap();
    succeeds(everwarm(
        folder.path(),
        &["new", "demo", "--path", ".", "--json"],
    ))
    .await;
    let manifest = "name = \"demo\"\n\
        [[function]]\nname = \"fresh\"\nroutes = [\"/fresh\"]\n\
        [[function]]\nname = \"shared\"\nroutes = [\"/shared\"]\nisolation = \"concurrent\"\n";
    fs::write(folder.path().join("everwarm.toml"), manifest).unwrap();
    let built = succeeds(everwarm(folder.path(), &["build", "--json"])).await;
    let worlds: Vec<&str> = (0..2)
        .map(|index| built["components"][index]["world"].as_str().unwrap())
        .collect();
    assert_eq!(worlds, ["wasi-0.2", "wasi-0.3"]);
    assert_ne!(
        built["components"][0]["path"],
        built["components"][1]["path"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invoke_answers_without_a_port_and_while_up_runs() {
    let app = App::new("hello", World::Wasi02).write();
    let node = app.start().await;
    let output = ended(everwarm(app.path(), &["invoke"])).await;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, node.get("/").await.bytes());
    let head = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(head.starts_with("HTTP 200 OK"), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invoke_of_a_function_that_fails_has_its_own_exit_code() {
    let app = App::new("misbehave", World::Wasi02).write();
    let output = ended(everwarm(
        app.path(),
        &["invoke", "--json", "--path", "/trap"],
    ))
    .await;
    assert_eq!(output.status.code(), Some(6));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["status"], 500);
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["code"], "EW3002");
}
