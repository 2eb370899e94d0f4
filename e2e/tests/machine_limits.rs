//! A node that gets no more of the machine: it says so with 503, and goes on when there is more again.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use everwarm_e2e::{
    Connection, DataFolder, NewApp, Request, Server, World, component, eventually, everwarm,
};
use futures_util::future::join_all;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// File descriptors that the node may have.
const FILES: u64 = 160;
/// Functions that are asked for at once.
const AT_ONCE: usize = 8;

/// The node's command, after a word to the shell.
fn after(word: &str, data: &DataFolder) -> Command {
    let serve = data.command();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{word} && exec \"$0\" \"$@\""))
        .arg(everwarm())
        .args(serve.get_args());
    for (key, value) in serve.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command
}

async fn deploy(server: &Server, name: &str, guest: &str) {
    let app = NewApp::new(name, guest, &["/*"]);
    app.deploy(&server.client()).await.unwrap();
}

#[tokio::test]
async fn client_that_there_is_no_file_descriptor_for_hears_why_and_others_are_served() {
    let data = DataFolder::new();
    let server = data
        .start_with(after(&format!("ulimit -n {FILES}"), &data))
        .await;
    deploy(&server, "shop", "hello").await;
    let address = server.node.address();
    let hello = || Request::get("/").header("host", "shop.example.com");
    // A connection a client, until there is none left.
    let mut open = Vec::new();
    let refused = loop {
        assert!((open.len() as u64) < FILES, "nobody is refused");
        let mut connection = Connection::http1(address).await;
        let reply = connection.send(hello()).await;
        if reply.status() != 200 {
            break reply;
        }
        open.push(connection);
    };
    assert!(open.len() > 10, "{} connections", open.len());
    refused.failed(503, "EW4040");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("connection"), Some("close"));
    server.node.log().line("EW4040").await;
    // Those that are there are served.
    for connection in &mut open {
        connection.send(hello()).await.ok();
    }
    // When others go, there is room again.
    open.truncate(5);
    eventually("there is room again", async || {
        let mut connection = Connection::http1(address).await;
        let reply = connection.send(hello()).await;
        (reply.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn function_that_there_is_no_file_or_mapping_for_is_503_and_is_served_later() {
    let data = DataFolder::new();
    let mut command = data.command();
    // Whatever is loaded next puts out all that was there.
    command.args(["--resident-max", "1B"]);
    let server = data.start_with(command).await;
    deploy(&server, "shop", "hello").await;
    deploy(&server, "echo", "echo").await;
    server.get("echo.example.com", "/").await;
    let pid = Pid::from_raw(i32::try_from(server.node.process().id()).unwrap()).unwrap();
    let mut connection = server.node.connect().await;
    let mut hello = async || {
        let request = Request::get("/").header("host", "shop.example.com");
        connection.send(request).await
    };
    let used = |field: &str| {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", server.node.process().id()));
        let line = status
            .unwrap()
            .lines()
            .find_map(|line| line.strip_prefix(field).map(ToOwned::to_owned));
        let kib: u64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .trim()
            .parse()
            .unwrap();
        kib << 10
    };
    // No mapping that isn't there, then no file.
    for resource in [Resource::As, Resource::Nofile] {
        let tight = match resource {
            Resource::As => used("VmSize:"),
            _ => 3,
        };
        // The node's are this process's, but for what it raised.
        let usual = getrlimit(resource);
        let limit = Rlimit {
            current: Some(tight),
            ..usual
        };
        prlimit(Some(pid), resource, limit).unwrap();
        let reply = hello().await;
        reply.failed(503, "EW4040");
        prlimit(Some(pid), resource, usual).unwrap();
        // The code is what it was: nothing has to be made again.
        hello().await.ok();
        server.get("echo.example.com", "/").await;
    }
    assert!(!server.node.log().contains("discarded"));
}

#[tokio::test]
async fn node_keeps_fewer_functions_than_it_has_files_for() {
    let data = DataFolder::new();
    let server = data
        .start_with(after(&format!("ulimit -n {FILES}"), &data))
        .await;
    let hello = component("hello", World::Wasi02);
    let names: Vec<String> = (0..90).map(|number| format!("f{number}")).collect();
    for name in ["shop", "echo"] {
        let mut app = NewApp::of(name, &hello, &["/*"]);
        app.deploy.manifest = format!("name = \"{name}\"\n");
        for function in &names {
            let table = format!(
                "[[function]]\nname = \"{function}\"\ncomponent = \"f.wasm\"\nroutes = [\"/{function}\"]"
            );
            app = app.line(&table);
        }
        app.components = names
            .iter()
            .map(|name| (name.clone(), hello.clone()))
            .collect();
        app.deploy(&server.client()).await.unwrap();
    }
    assert!(u64::try_from(2 * names.len()).unwrap() > FILES);
    let connections = (0..AT_ONCE).map(|_| server.node.connect());
    let mut connections = join_all(connections).await;
    for host in ["shop.example.com", "echo.example.com"] {
        for some in names.chunks(AT_ONCE) {
            let asked = some.iter().zip(&mut connections);
            join_all(asked.map(|(name, connection)| until_served(connection, host, name))).await;
        }
    }
}

/// What was put out goes with its last instance, a second later. Until then there may be no room.
async fn until_served(connection: &mut Connection, host: &str, name: &str) {
    eventually("the function is served", async || {
        let request = Request::get(&format!("/{name}")).header("host", host);
        let reply = connection.send(request).await;
        if reply.status() == 503 {
            reply.failed(503, "EW4040");
            return None;
        }
        reply.ok();
        Some(())
    })
    .await;
}
