//! A node that is told to end: what is in finishes, what comes is refused, and it ends in time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::{
    App, Connection, DataFolder, NewApp, Node, Request, World, both_worlds, eventually,
};
use rustix::process::Signal;

/// Longer than any test.
const NEVER_MS: u32 = 3_600_000;

/// Tells a node to end, and waits until it has heard.
async fn end(node: &Node) {
    node.process().signal(Signal::TERM);
    node.out().line("\"event\":\"draining\"").await;
    // It closes its port after it began to refuse.
    let address = node.address();
    eventually("the port is closed", async || {
        Connection::try_http1(address).await.err()
    })
    .await;
}

both_worlds! {
    async fn connection_ends_after_the_response_that_it_is_in(world: World) {
        let node = App::new("misbehave", world).start().await;
        let mut connection = node.connect_raw().await;
        connection.write("GET /slow-body?chunks=5&bytes=1&ms=100 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        connection.read_until("\r\n1\r\nx").await;
        end(&node).await;
        // The last piece of the body comes, and then the end of the connection.
        let rest = connection.read_to_end().await;
        assert!(rest.ends_with(b"\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    }

    async fn new_connections_are_refused_while_responses_finish(world: World) {
        let node = App::new("misbehave", world).start().await;
        let mut connection = node.connect().await;
        let mut open = connection.open(Request::get("/slow-body?chunks=20&bytes=1&ms=100")).await;
        open.expect("x").await;
        end(&node).await;
        let address = node.address();
        eventually("the port is closed", async || Connection::try_http1(address).await.err()).await;
        assert_eq!(open.read().await.ok(), "x".repeat(19));
    }

    async fn request_that_comes_too_late_is_told_so_and_its_connection_ends(world: World) {
        let node = App::new("hello", world).start().await;
        let mut connection = node.connect_raw().await;
        connection.write("GET / HTTP/1.1\r\nhost: a\r\n").await;
        // The node has the connection when it answers one that was made later.
        node.get("/").await.ok();
        end(&node).await;
        let answer = connection.last_words("\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        for part in ["everwarm-error: EW3014", "connection: close", "retry-after: "] {
            assert!(answer.to_lowercase().contains(&part.to_lowercase()), "{part}: {answer}");
        }
    }

    async fn stream_that_goes_on_is_cut_off_at_the_limit(world: World) {
        let guest = everwarm_e2e::component("misbehave", world);
        let data = DataFolder::new();
        let mut command = data.command();
        command.args(["--drain-max", "300ms"]);
        let server = data.start_with(command).await;
        let app = NewApp::of("shop", &guest, &["/*"]).line("[function.limits]\nwall_time = \"1h\"");
        app.deploy(&server.client()).await.unwrap();
        let mut connection = server.node.connect().await;
        let request = Request::get(&format!("/sse?chunks=2&ms={NEVER_MS}")).header("host", "shop.example.com");
        let mut open = connection.open(request).await;
        open.expect("event: tick\ndata: 0\n\n").await;
        let stopped = server.node.stop(Signal::TERM).await;
        assert!(stopped.status.success(), "{:?}", stopped.status);
        assert!(open.read().await.is_broken());
    }
}

#[tokio::test]
async fn node_that_ends_is_not_ready_and_its_admin_api_ends_too() {
    let data = DataFolder::new();
    let server = data.start().await;
    let app = NewApp::new("shop", "misbehave", &["/*"]);
    app.deploy(&server.client()).await.unwrap();
    let mut connection = server.node.connect().await;
    let slow =
        Request::get("/slow-body?chunks=10&bytes=1&ms=100").header("host", "shop.example.com");
    let mut open = connection.open(slow).await;
    open.expect("x").await;
    end(&server.node).await;
    let admin = server
        .admin()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    eventually("the admin port is closed", async || {
        Connection::try_http1(admin).await.err()
    })
    .await;
    assert_eq!(open.read().await.ok(), "x".repeat(9));
    // What the last request used is stored before the node ends.
    drop(server);
}
