//! A node that is replaced by another process while it is asked: no request is refused, none breaks, and what was
//! used is counted once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use everwarm_e2e::load::Load;
use everwarm_e2e::node::{Process, refused};
use everwarm_e2e::{Authority, DataFolder, NewApp, Request, Server, eventually, everwarm};
use rustix::process::Signal;

/// Clients of each kind.
const CLIENTS: usize = 4;
/// Requests before and after each change.
const REQUESTS: u64 = 200;

async fn shop(server: &Server, guest: &str) {
    let app = NewApp::new("shop", guest, &["/*"]);
    app.deploy(&server.client()).await.unwrap();
}

/// Requests of the shop that the node has stored.
async fn used(server: &Server) -> u64 {
    let usage = server.client().usage(false, None, None).await.unwrap();
    usage.items.iter().map(|row| row.requests).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_takes_over_loses_no_request() {
    let data = DataFolder::new();
    let mut server = data.start().await;
    shop(&server, "hello").await;
    let load = Load::start(server.node.address(), "shop.example.com", "/", CLIENTS);
    for _ in 0..3 {
        load.answered(REQUESTS).await;
        let next = data.start_with(data.take_over()).await;
        assert_eq!(next.node.address(), server.node.address());
        let mut before = std::mem::replace(&mut server, next);
        let ended = before.node.process_mut().ended().await;
        assert!(ended.success(), "{ended:?}");
        load.answered(REQUESTS).await;
        server.node.log().access("/").await;
    }
    let answers = load.end().await;
    // What was used in all four processes is counted once, that of their last moments too.
    eventually("all of it is stored", async || {
        (used(&server).await >= answers).then_some(())
    })
    .await;
    assert_eq!(used(&server).await, answers);
    server.client().who_am_i().await.unwrap();
    shop(&server, "echo").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_takes_over_loses_no_request_over_tls() {
    let (data, folder, authority) = (
        DataFolder::new(),
        tempfile::tempdir().unwrap(),
        Authority::new(),
    );
    authority
        .issue(&["shop.example.com"])
        .write(folder.path(), "shop");
    let secured = |mut command: Command| {
        command.args(["--tls-listen", "127.0.0.1:0", "--tls-certificates"]);
        command.arg(folder.path());
        command
    };
    let mut server = data.start_with(secured(data.command())).await;
    shop(&server, "hello").await;
    let (address, client) = (server.tls_address(), authority.client(&["http/1.1"]));
    let load = Load::start_over(Some(&client), address, "shop.example.com", "/", CLIENTS);
    for _ in 0..3 {
        load.answered(REQUESTS).await;
        let next = data.start_with(secured(data.take_over())).await;
        assert_eq!(next.tls_address(), address);
        let mut before = std::mem::replace(&mut server, next);
        let ended = before.node.process_mut().ended().await;
        assert!(ended.success(), "{ended:?}");
        load.answered(REQUESTS).await;
        server.node.log().access("/").await;
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_that_streams_outlives_the_take_over() {
    let data = DataFolder::new();
    let server = data.start().await;
    shop(&server, "misbehave").await;
    let mut connection = server.node.connect().await;
    let slow =
        Request::get("/slow-body?chunks=10&bytes=1&ms=100").header("host", "shop.example.com");
    let mut open = connection.open(slow).await;
    open.expect("x").await;
    let next = data.start_with(data.take_over()).await;
    assert_eq!(open.read().await.ok(), "x".repeat(9));
    next.get("shop.example.com", "/counter").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_goes_on_when_the_process_that_takes_over_dies() {
    let data = DataFolder::new();
    let server = data.start().await;
    shop(&server, "hello").await;
    let load = Load::start(server.node.address(), "shop.example.com", "/", CLIENTS);
    // Machine code that is gone keeps the next process from being ready while the one before serves what it has.
    let mut kills = 0;
    while kills < 3 {
        data.forget_code();
        let next = Process::start(data.take_over());
        let handing = || {
            server
                .node
                .out()
                .json()
                .iter()
                .filter(|event| event["event"] == "handing-over")
                .count()
        };
        eventually("it is handed over", async || {
            (handing() > kills).then_some(())
        })
        .await;
        next.signal(Signal::KILL);
        drop(next);
        kills += 1;
        eventually("it goes on", async || {
            let events = server.node.out().json();
            let goes_on = events.iter().filter(|event| event["event"] == "goes-on");
            (goes_on.count() == kills).then_some(())
        })
        .await;
        load.answered(REQUESTS).await;
        // The store is back.
        shop(&server, "hello").await;
    }
    load.end().await;
}

#[tokio::test]
async fn process_that_takes_over_from_nobody_just_starts() {
    let data = DataFolder::new();
    let server = data.start_with(data.take_over()).await;
    shop(&server, "hello").await;
    let again = server.kill_and_restart(&data).await;
    drop(again.node.stop(Signal::KILL).await);
    let server = data.start_with(data.take_over()).await;
    server.get("shop.example.com", "/").await.ok();
}

#[tokio::test]
async fn process_that_does_not_ask_to_take_over_is_refused() {
    let data = DataFolder::new();
    let server = data.start().await;
    assert_eq!(refused(data.command()).await.code, "EW4002");
    shop(&server, "hello").await;
}

/// A service manager: it holds the socket, and starts processes with it.
struct Manager {
    socket: TcpListener,
    data: DataFolder,
}

impl Manager {
    fn new() -> Self {
        Self {
            socket: TcpListener::bind("127.0.0.1:0").unwrap(),
            data: DataFolder::new(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// A command with the socket as its first descriptor after the usual ones (sd_listen_fds(3)), called so.
    fn command(&self, name: &str) -> Command {
        let serve = self.data.command();
        let mut command = Command::new("sh");
        let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$; exec \"$0\" \"$@\"";
        command
            .args(["-c", script])
            .arg(everwarm())
            .args(serve.get_args());
        for (key, value) in serve.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        let socket = OwnedFd::from(self.socket.try_clone().unwrap());
        command
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", name)
            .stdin(Stdio::from(socket));
        command
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_under_a_service_manager_that_holds_the_socket_loses_no_request() {
    let manager = Manager::new();
    let mut server = manager.data.start_with(manager.command("http")).await;
    assert_eq!(server.node.address(), manager.address());
    shop(&server, "hello").await;
    let load = Load::start(manager.address(), "shop.example.com", "/", CLIENTS);
    for _ in 0..3 {
        load.answered(REQUESTS).await;
        let stopped = server.node.stop(Signal::TERM).await;
        assert!(stopped.status.success(), "{:?}", stopped.status);
        server = manager.data.start_with(manager.command("http")).await;
        load.answered(REQUESTS).await;
        server.node.log().access("/").await;
    }
    let answers = load.end().await;
    eventually("all of it is stored", async || {
        (used(&server).await >= answers).then_some(())
    })
    .await;
}

#[tokio::test]
async fn socket_with_a_name_that_nobody_knows_is_refused() {
    let manager = Manager::new();
    let refusal = refused(manager.command("https-of-tomorrow")).await;
    assert_eq!(refusal.code, "EW4041");
    assert!(
        refusal.message.contains("https-of-tomorrow"),
        "{}",
        refusal.message
    );
    assert_eq!(refusal.exit, 5);
}

#[tokio::test]
async fn client_that_connects_before_the_process_is_there_is_answered() {
    let manager = Manager::new();
    let server = manager.data.start_with(manager.command("http")).await;
    shop(&server, "hello").await;
    drop(server.node.stop(Signal::TERM).await);
    let asks = tokio::spawn({
        let address = manager.address();
        async move {
            let mut connection = everwarm_e2e::Connection::http1(address).await;
            connection
                .send(Request::get("/").header("host", "shop.example.com"))
                .await
        }
    });
    // It connects at once, since somebody holds the socket; what it can't do is hear anything.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let _server = manager.data.start_with(manager.command("http")).await;
    asks.await.unwrap().ok();
}
