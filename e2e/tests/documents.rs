//! What the documents tell a reader to type is typed here: the commands of the README, of the guides and of
//! each example's own page.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use everwarm_e2e::deadline::BUILD_DEADLINE;
use everwarm_e2e::node::{Process, everwarm_command};
use everwarm_e2e::{App, Node, Postgres, Redis, Reply, Request, Upstream, postgres, redis};
use serde_json::Value;
use tempfile::TempDir;

/// Where a reader finds an app that `up` was told to serve.
const SERVED_AT: &str = "http://127.0.0.1:3000";
/// Commands that others run: cargo's own in the SDK's tests, `xtask` in every test run, tools of others.
const RUN_ELSEWHERE: &[&str] = &[
    "cargo xtask",
    "cargo build",
    "cargo test",
    "rustup",
    "wasm-tools",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The commands in a page's shell blocks, without their comments.
fn commands(page: &str) -> Vec<String> {
    let text = read(page);
    let mut commands = Vec::new();
    let mut is_shell = false;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            is_shell = !is_shell && language == "sh";
            continue;
        }
        let command = line.split(" #").next().unwrap_or_default().trim();
        if is_shell && !command.is_empty() && !command.starts_with('#') {
            commands.push(command.to_owned());
        }
    }
    commands
}

/// An app that is served from where it stands. What that leaves behind is elsewhere.
struct Served {
    node: Node,
    _data: TempDir,
}

/// What is built goes to `target`, and isn't optimised as it says: it answers the same, and is there sooner.
fn build_in(target: &Path, command: &mut Command) {
    command
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
}

/// Builds in `target`, and serves an app as `up FOLDER` does, at a port of its own.
async fn up(app: &Path, target: &Path) -> Served {
    up_with(app, target, &[]).await
}

/// As [`up`], with flags.
async fn up_with(app: &Path, target: &Path, flags: &[&str]) -> Served {
    let data = tempfile::tempdir().unwrap();
    let mut command = everwarm_command();
    command
        .args([
            "up",
            "--json",
            "--no-watch",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data.path())
        .args(flags)
        .arg(app);
    build_in(target, &mut command);
    let node = Node::ready_within(command, BUILD_DEADLINE).await;
    Served { node, _data: data }
}

/// What `curl` shows for a command of the docs, once the app is served elsewhere.
async fn curl(node: &Node, command: &str) -> Reply {
    let words = words(command);
    let url = words.last().unwrap();
    let path = url
        .strip_prefix(SERVED_AT)
        .unwrap_or_else(|| panic!("{command} asks nobody that runs"));
    let path = if path.is_empty() { "/" } else { path };
    let body = words.iter().skip_while(|word| **word != "-d").nth(1);
    node.send(match body {
        Some(body) => Request::post(path, (*body).to_owned()),
        None => Request::get(path),
    })
    .await
}

/// Runs one of the binary's verbs to its end, in a folder, and waits for a line that it prints.
async fn everwarm(folder: &Path, arguments: &[&str], says: &str) -> String {
    let mut command = everwarm_command();
    command.current_dir(folder).args(arguments);
    let mut process = Process::start(command);
    let status = process.ended_within(BUILD_DEADLINE).await;
    assert!(
        status.success(),
        "everwarm {arguments:?}: {status}\n{}",
        process.log
    );
    process.out.line(says).await
}

/// Words of a command line, with single quotes as a shell has them.
fn words(command: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part);
        } else {
            words.extend(part.split_whitespace());
        }
    }
    words
}

#[tokio::test]
async fn readme_serves_an_app_in_one_command() {
    let target = tempfile::tempdir().unwrap();
    let mut served = None;
    let mut asked = 0;
    for command in commands("README.md") {
        if let Some(app) = command.strip_prefix("cargo run --release -- up ") {
            served = Some(up(&root().join(app), target.path()).await);
        } else if command.starts_with("curl ") {
            let served: &Served = served
                .as_ref()
                .expect("an app is served before it is asked");
            assert_eq!(
                curl(&served.node, &command).await.ok(),
                "Hello from Everwarm\n"
            );
            asked += 1;
        } else {
            assert!(
                command.starts_with("cargo xtask "),
                "nobody runs `{command}`"
            );
        }
    }
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn every_example_answers_as_its_page_says() {
    let mut examples: Vec<PathBuf> = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    examples.sort();
    assert_eq!(examples.len(), 16);
    // Together, so that what they have in common is compiled once.
    let target = tempfile::tempdir().unwrap();
    for example in examples {
        let page = fs::read_to_string(example.join("README.md")).unwrap();
        let asks = page
            .split('`')
            .find(|code| code.starts_with("curl "))
            .expect("a page says how to ask");
        if example.ends_with("fetch") {
            fetch_asks_and_answers(&example, target.path(), asks).await;
            continue;
        }
        if example.ends_with("ranking") {
            ranking_ranks(&example, target.path(), asks).await;
            continue;
        }
        if example.ends_with("seats") {
            seats_are_taken_once(&example, target.path(), asks).await;
            continue;
        }
        let served = if example.ends_with("secrets") {
            let file = secrets_of_page(target.path(), &page);
            let flags = ["--secrets-file", file.to_str().unwrap()];
            up_with(&example, target.path(), &flags).await
        } else {
            up(&example, target.path()).await
        };
        if example.ends_with("sse") {
            // Its events have no end that a test would wait for.
            let mut connection = served.node.connect().await;
            let mut events = connection.open(Request::get("/")).await;
            let event = events.chunk().await.unwrap().unwrap();
            assert!(
                event.starts_with(b"data: ") || event.starts_with(b"id: "),
                "{event:?}"
            );
        } else {
            assert!(!curl(&served.node, asks).await.ok().is_empty());
        }
    }
}

/// The file that the page has its reader write.
fn secrets_of_page(folder: &Path, page: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;

    let line = page.split('`').find(|code| code.contains("KEY="));
    let file = folder.join(".env.secrets");
    fs::write(&file, line.expect("a page says what to write")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// Builds an example that asks a server, which is a test's in place of the one of its manifest.
async fn built(example: &Path, target: &Path) -> App {
    let mut command = everwarm_command();
    command.args(["build", "--json"]).arg(example);
    build_in(target, &mut command);
    let mut process = Process::start(command);
    let status = process.ended_within(BUILD_DEADLINE).await;
    assert!(status.success(), "{status}\n{}", process.log);
    let built = process
        .out
        .value("what was built", |value| value["components"].is_array());
    let built = built.await;
    App::of(built["components"][0]["path"].as_str().unwrap().to_owned())
}

async fn fetch_asks_and_answers(example: &Path, target: &Path, asks: &str) {
    let upstream = Upstream::start().await;
    let node = built(example, target)
        .await
        .env("UPSTREAM", &upstream.url(""))
        .grant_http(&[upstream.grant()])
        .start()
        .await;
    assert_eq!(
        curl(&node, asks).await.ok(),
        r#"{"name":"rust-lang/rust","stars":1,"issues":2}"#
    );
}

async fn ranking_ranks(example: &Path, target: &Path, asks: &str) {
    let server = Redis::start().await;
    let table = format!(
        "[[redis]]\nname = \"scores\"\nurl = \"{}\"\npassword = \"PASSWORD\"",
        server.url()
    );
    let node = built(example, target)
        .await
        .grant("redis = [\"scores\"]\naddresses = [\"127.0.0.1\"]")
        .table(&table)
        .secret("PASSWORD", redis::PASSWORD)
        .start()
        .await;
    for won in 1..=2 {
        let said = curl(&node, asks).await;
        assert_eq!(said.ok(), format!(r#"{{"name":"ann","won":{won}}}"#));
    }
    let ranking = node.get("/ranking").await;
    assert_eq!(ranking.ok(), r#"[{"name":"ann","won":2}]"#);
}

async fn seats_are_taken_once(example: &Path, target: &Path, asks: &str) {
    let server = Postgres::start().await;
    let schema = fs::read_to_string(example.join("schema.sql")).unwrap();
    server.run(&schema);
    let table = format!(
        "[[sql]]\nname = \"theatre\"\nurl = \"{}\"\npassword = \"PASSWORD\"",
        server.url()
    );
    let node = built(example, target)
        .await
        .grant("sql = [\"theatre\"]\naddresses = [\"127.0.0.1\"]")
        .table(&table)
        .secret("PASSWORD", postgres::PASSWORD)
        .start()
        .await;
    for number in 1..=3 {
        let said = curl(&node, asks).await;
        assert_eq!(said.status(), 201);
        let seat = format!(r#"{{"number":{number},"taken_by":"ann"}}"#);
        assert_eq!(said.text(), seat);
    }
    assert_eq!(curl(&node, asks).await.status(), 409);
    assert_eq!(server.run("SELECT count(*) FROM sale"), "3");
}

#[tokio::test]
async fn guides_show_commands_that_work() {
    let root = root();
    let folder = tempfile::tempdir().unwrap();
    let pages = [
        "docs/cli.md",
        "docs/functions.md",
        "docs/manifest.md",
        "docs/errors/EW2002.md",
    ];
    for page in pages {
        for command in commands(page) {
            if RUN_ELSEWHERE.iter().any(|known| command.starts_with(known)) {
                continue;
            }
            // Where a completion script goes is the shell's business.
            let typed = command.split(" > ").next().unwrap();
            match words(typed)[..] {
                ["everwarm", "completions", shell] => {
                    everwarm(folder.path(), &["completions", shell], "everwarm").await;
                }
                ["everwarm", "new", name] => {
                    everwarm(folder.path(), &["new", name, "--json"], name).await;
                }
                ["everwarm", "up", name] => {
                    drop(up(&folder.path().join(name), &folder.path().join("target")).await);
                }
                ["curl", SERVED_AT] => {}
                ["everwarm", "invoke", app, ref options @ ..] => {
                    let data = folder.path().join("invoke");
                    let app = root.join(app);
                    let mut arguments = vec!["invoke", app.to_str().unwrap(), "--json"];
                    arguments.extend(["--data-dir", data.to_str().unwrap()]);
                    arguments.extend(options);
                    let answer = everwarm(folder.path(), &arguments, "\"status\"").await;
                    let answer: Value = serde_json::from_str(&answer).unwrap();
                    assert_eq!(answer["status"], 200, "{command}: {answer}");
                }
                _ => panic!("{page}: nobody runs `{command}`"),
            }
        }
    }
}

#[tokio::test]
async fn operations_guide_goes_from_the_first_start_to_a_rollback() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let mut node: Option<Node> = None;
    for command in commands("docs/operations.md") {
        // A shell gives a file on standard input.
        let (typed, stdin) = command.split_once(" < ").unwrap_or((&command, ""));
        let words = words(typed);
        let [program, verb, options @ ..] = &words[..] else {
            panic!("nobody runs `{command}`")
        };
        assert_eq!(*program, "everwarm", "nobody runs `{command}`");
        let mut started = everwarm_command();
        started
            .current_dir(folder.path())
            .env("XDG_CONFIG_HOME", &config)
            .args([*verb, "--json"]);
        build_in(&folder.path().join("target"), &mut started);
        if !stdin.is_empty() {
            let file = folder.path().join(stdin);
            fs::write(&file, "what the file of the reader has\n").unwrap();
            started.stdin(fs::File::open(&file).unwrap());
        }
        if *verb == "serve" {
            let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
            started.args(ports).args(options);
            node = Some(Node::ready(started).await);
            continue;
        }
        let node = node.as_ref().expect("a node is started before it is asked");
        let admin = node.ready["admin"].as_str().unwrap();
        let elsewhere = options
            .iter()
            .map(|word| word.replace("127.0.0.1:3001", admin));
        if options.contains(&"--percent") {
            // What the page calls an edit, and what it says of the manifest later.
            let manifest = folder.path().join("shop/everwarm.toml");
            let text = fs::read_to_string(&manifest).unwrap();
            fs::write(
                &manifest,
                format!(
                    "{text}\n[function.env]\nEDITED = \"yes\"\n\n[[blobs]]\nname = \"photos\"\n"
                ),
            )
            .unwrap();
        }
        let mut process = Process::start({
            started.args(elsewhere);
            started
        });
        let status = process.ended_within(BUILD_DEADLINE).await;
        assert!(
            status.success(),
            "{command}: {status}\n{}{}",
            process.out,
            process.log
        );
        if *verb == "deploy" {
            let request = Request::get("/").header("host", "shop.localhost");
            node.send(request).await.ok();
        }
    }
    let node = node.expect("the page starts a node");
    let stopped = node.stop(rustix::process::Signal::TERM).await;
    assert!(stopped.status.success());
}
