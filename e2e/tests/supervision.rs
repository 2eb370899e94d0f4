//! What a service manager hears of a node (sd_notify(3)).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use everwarm_e2e::deadline::DEADLINE;
use everwarm_e2e::{Connection, DataFolder, NewApp, Request, Server};
use rustix::process::Signal;
use tempfile::TempDir;

/// Where a service manager listens.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
    heard: Vec<String>,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self {
            socket,
            folder,
            heard: Vec::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    fn command(&self, mut command: Command) -> Command {
        command.env("NOTIFY_SOCKET", self.path());
        command
    }

    /// Waits until it hears this.
    fn hears(&mut self, what: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|error| {
                panic!("`{what}` isn't said: {error}; heard {:?}", self.heard)
            });
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            self.heard.push(text.clone());
            if text.lines().any(|line| line == what) {
                return text;
            }
        }
    }

    fn heard(&self, what: &str) -> bool {
        self.heard
            .iter()
            .any(|text| text.lines().any(|line| line == what))
    }
}

async fn readyz(server: &Server) -> u16 {
    let admin = server.admin().strip_prefix("http://").unwrap();
    let mut connection = Connection::http1(admin.parse().unwrap()).await;
    let reply = connection.send(Request::get("/readyz")).await;
    reply.status().as_u16()
}

#[tokio::test]
async fn node_says_that_it_is_ready_and_that_it_ends() {
    let data = DataFolder::new();
    let mut manager = Manager::new();
    let server = data.start_with(manager.command(data.command())).await;
    let ready = manager.hears("READY=1");
    assert_eq!(readyz(&server).await, 204);
    let status = format!("STATUS=serving on {}", server.node.address());
    assert!(ready.lines().any(|line| line == status), "{ready}");
    assert!(!manager.heard("STOPPING=1"));
    let stopped = server.node.stop(Signal::TERM).await;
    assert!(stopped.status.success());
    manager.hears("STOPPING=1");
    // Nobody asked for it.
    assert!(!manager.heard("WATCHDOG=1"));
}

#[tokio::test]
async fn node_without_its_machine_code_is_not_ready_before_it_has_it() {
    let data = DataFolder::new();
    let server = data.start().await;
    let app = NewApp::new("shop", "hello", &["/*"]);
    app.deploy(&server.client()).await.unwrap();
    drop(server.node.stop(Signal::TERM).await);
    data.forget_code();
    let mut manager = Manager::new();
    let server = data.start_with(manager.command(data.command())).await;
    manager.hears("STATUS=making the machine code that is missing");
    manager.hears("READY=1");
    assert_eq!(readyz(&server).await, 204);
    // What is ready has its code.
    let reply = server.get("shop.example.com", "/").await;
    assert_eq!(reply.status(), 200);
}

#[tokio::test]
async fn watchdog_hears_that_the_node_lives_until_it_is_stopped() {
    let data = DataFolder::new();
    let mut manager = Manager::new();
    let mut command = manager.command(data.command());
    command.env("WATCHDOG_USEC", "200000");
    let server = data.start_with(command).await;
    for _ in 0..5 {
        manager.hears("WATCHDOG=1");
    }
    // Its threads stand still: nothing turns.
    server.node.process().signal(Signal::STOP);
    let silent = |manager: &Manager| {
        let short = std::time::Duration::from_secs(1);
        manager.socket.set_read_timeout(Some(short)).unwrap();
        let mut bytes = [0; 4096];
        while manager.socket.recv(&mut bytes).is_ok() {}
    };
    silent(&manager);
    server.node.process().signal(Signal::CONT);
    manager.socket.set_read_timeout(Some(DEADLINE)).unwrap();
    manager.hears("WATCHDOG=1");
    assert!(server.node.stop(Signal::TERM).await.status.success());
}

#[tokio::test]
async fn process_that_takes_over_tells_the_manager_who_it_is() {
    let data = DataFolder::new();
    let mut manager = Manager::new();
    let server = data.start_with(manager.command(data.command())).await;
    manager.hears("READY=1");
    let next = data.start_with(manager.command(data.take_over())).await;
    let main = format!("MAINPID={}", next.node.process().id());
    manager.hears(&main);
    drop(server);
}
