//! Disks that are full, can't be written, hold garbage, or are another's: what a node says, and what goes on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::Command;

use everwarm_e2e::node::refused;
use everwarm_e2e::server::problem;
use everwarm_e2e::{DataFolder, NewApp, Request, Server, eventually};
use rustix::process::Signal;

const HELLO: &str = "Hello from Everwarm\n";
/// Mounts a small disk of its own on a folder, and becomes the program that follows. `$0` are the options.
const ON_OWN_DISK: &str = "mount -t tmpfs -o \"$0\" tmpfs \"$1\" && shift && exec \"$@\"";
/// The same with the folder itself, which can't be written any more.
const READ_ONLY: &str =
    "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";

/// The command of a node, in a mount namespace of its own: what is mounted ends with it, and nobody else sees it.
fn in_namespace(data: &DataFolder, script: &str, arguments: &[&str]) -> Command {
    let node = data.command();
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .args(arguments)
        .arg(node.get_program())
        .args(node.get_args());
    for (name, value) in node.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for length in [1 << 20, 1 << 12, 1] {
        let piece = vec![1; length];
        let full = loop {
            if let Err(error) = file.write_all(&piece) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
    }
}

async fn refused_start(data: &DataFolder, command: Command) -> String {
    let refusal = refused(command).await;
    assert_eq!(refusal.exit, 5, "{refusal:?}");
    let said = format!("{refusal:?}");
    assert!(said.contains(&data.path().display().to_string()), "{said}");
    said
}

async fn hello(server: &Server) {
    assert_eq!(server.get("shop.example.com", "/").await.ok(), HELLO);
}

#[tokio::test]
async fn full_disk_refuses_deploys_serves_on_and_loses_no_usage() {
    let data = DataFolder::new();
    fs::create_dir_all(data.path()).unwrap();
    let folder = data.path();
    let command = in_namespace(&data, ON_OWN_DISK, &["size=48m", folder.to_str().unwrap()]);
    let server = data.start_with(command).await;
    let client = server.client();
    let deployed = NewApp::new("shop", "hello", &["/*"]).deploy(&client).await;
    let first = deployed.unwrap().version.id;
    let filler = data.seen_by(&server.node).join("filler");
    fill(&filler);

    let refused = NewApp::new("other", "echo", &["/*"]).deploy(&client).await;
    assert_eq!(problem(refused).code, "EW4003");
    for marker in 0..20 {
        // Each needs a page or two: the log may have some room left.
        let name = format!("tenant-{marker}");
        let quotas = everwarm_api::messages::Quotas::default();
        if client.put_tenant(&name, &quotas).await.is_err() {
            break;
        }
        assert!(marker < 19, "the catalog still grows on a full disk");
    }
    let mut requests = 0;
    while requests < 10 {
        hello(&server).await;
        requests += 1;
    }
    let usage = client.usage(false, None, None).await;
    assert_eq!(problem(usage).code, "EW4003");
    assert!(
        server.node.log().contains("No space left on device")
            || server.node.log().contains("disk is full"),
        "the log says why"
    );

    fs::remove_file(&filler).unwrap();
    let other = NewApp::new("other", "echo", &["/*"]).deploy(&client).await;
    other.unwrap();
    hello(&server).await;
    // The books of a request close when its response is out.
    eventually("every request is counted", async || {
        let usage = client.usage(false, None, None).await.unwrap();
        let of_first = usage.items.iter().filter(|row| row.version == first);
        let counted: u64 = of_first.map(|row| row.requests).sum();
        assert!(counted <= requests + 1, "{counted} are counted");
        (counted == requests + 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn full_disk_ends_nothing_but_keeping_answers_there() {
    let data = DataFolder::new();
    fs::create_dir_all(data.path()).unwrap();
    let folder = data.path();
    let mut command = in_namespace(&data, ON_OWN_DISK, &["size=400m", folder.to_str().unwrap()]);
    command.args(["--cache-memory-max", "1MiB"]);
    let server = data.start_with(command).await;
    let client = server.client();
    let app = NewApp::new("shop", "cached", &["/*"])
        .line("[function.cache]\ndefault_ttl = \"1h\"")
        .line("[function.grants]\nkv = [\"default\"]")
        .line("[function.limits]\ncpu_time = \"10s\"");
    app.deploy(&client).await.unwrap();
    let filler = data.seen_by(&server.node).join("filler");
    let taken = File::create(&filler).unwrap();
    rustix::fs::fallocate(&taken, rustix::fs::FallocateFlags::empty(), 0, 200 << 20).unwrap();
    let mut number = 0;
    let mut ask = async || {
        number += 1;
        let plan = format!("/plan?/{number}");
        let plan = Request::with_body(http::Method::PUT, &plan, "{\"bytes\":100000}");
        let told = server
            .node
            .send(plan.header("host", "shop.example.com"))
            .await;
        // The store has what is left.
        told.ok();
        server
            .get("shop.example.com", &format!("/{number}"))
            .await
            .ok();
        client.cache("shop").await.unwrap()
    };
    for _ in 0..20 {
        assert_eq!(ask().await.disk_entries, 0);
    }
    let says = "files of the response cache can't be written";
    server.node.log().line(says).await;
    drop(taken);
    fs::remove_file(&filler).unwrap();
    eventually("answers are kept there again", async || {
        (ask().await.disk_entries > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn full_disk_refuses_blobs_and_gives_what_is_kept() {
    let data = DataFolder::new();
    fs::create_dir_all(data.path()).unwrap();
    let folder = data.path();
    let command = in_namespace(&data, ON_OWN_DISK, &["size=48m", folder.to_str().unwrap()]);
    let server = data.start_with(command).await;
    let app = NewApp::new("shop", "blobs", &["/*"]).line(
        "[function.grants]\nblobs = [\"photos\"]\n[function.limits]\ncpu_time = \"30s\"\n[[blobs]]\nname = \"photos\"",
    );
    app.deploy(&server.client()).await.unwrap();
    let ask = async |ask: &str| {
        let request = Request::post("/", ask.to_owned()).header("host", "shop.example.com");
        server.node.send(request).await.json()
    };
    let small = r#"{ "op": "put", "name": "small", "text": "kept" }"#;
    assert_eq!(ask(small).await["ok"]["size"], 4);
    let large = r#"{ "op": "fill", "name": "large", "mebibytes": 64 }"#;
    let refused = ask(large).await;
    assert_eq!(refused["error"], "the node's disk is full");
    assert_eq!(
        ask(r#"{ "op": "get", "name": "small" }"#).await["ok"],
        "kept"
    );
    // What was written of it is gone: there is room for less.
    let less = r#"{ "op": "fill", "name": "large", "mebibytes": 8 }"#;
    eventually("there is room again", async || {
        (ask(less).await["ok"]["size"] == 8 << 20).then_some(())
    })
    .await;
}

#[tokio::test]
async fn folder_that_can_not_be_written_is_refused_by_name() {
    let data = DataFolder::new();
    let server = data.start().await;
    server.node.stop(Signal::TERM).await;
    let folder = data.path();
    let command = in_namespace(&data, READ_ONLY, &[folder.to_str().unwrap()]);
    let said = refused_start(&data, command).await;
    assert!(said.contains("EW4003"), "{said}");
    assert!(said.contains("Read-only"), "{said}");
    // What is in it is as it was.
    data.start().await;
}

#[tokio::test]
async fn catalog_that_turns_to_garbage_stops_no_request_and_is_refused_at_the_next_start() {
    let data = DataFolder::new();
    let server = data.start().await;
    let client = server.client();
    let deployed = NewApp::new("shop", "hello", &["/*"]).deploy(&client).await;
    deployed.unwrap();
    let stopped = server.node.stop(Signal::TERM).await;
    assert!(stopped.status.success());

    // Alive when it happens: what is resident goes on, and every answer of the admin API is an answer.
    let server = data.start().await;
    hello(&server).await;
    let catalog = data.path().join("catalog.sqlite");
    let whole = fs::read(&catalog).unwrap();
    let mut garbage = whole.clone();
    garbage[4_096..].fill(0x5a);
    fs::write(&catalog, &garbage).unwrap();
    let client = server.client();
    for marker in 0..3 {
        let name = format!("app-{marker}");
        let deployed = NewApp::new(&name, "echo", &["/*"]).deploy(&client).await;
        if deployed.is_err() {
            assert_eq!(problem(deployed).code, "EW4003");
        }
        hello(&server).await;
    }
    server.node.stop(Signal::KILL).await;

    fs::write(&catalog, &garbage).unwrap();
    // The log may hold whole pages; without it there is only the garbage.
    let _ = fs::remove_file(data.path().join("catalog.sqlite-wal"));
    let said = refused_start(&data, data.command()).await;
    assert!(said.contains("EW4003"), "{said}");
    assert!(said.contains("backup"), "{said}");

    fs::write(&catalog, &whole).unwrap();
    let server = data.start().await;
    hello(&server).await;
}

#[tokio::test]
async fn folder_of_a_running_node_is_its_own() {
    let data = DataFolder::new();
    let server = data.start().await;
    let said = refused_start(&data, data.command()).await;
    assert!(said.contains("EW4002"), "{said}");
    assert!(
        said.contains(&format!("process {}", server.node.process().id())),
        "{said}"
    );
    eventually("the first node serves on", async || {
        (server.get("nobody.example.com", "/").await.status() == 404).then_some(())
    })
    .await;
}
