//! What a node makes of its clients' heads: who they are, what requests are called, and what never comes in.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::{App, DataFolder, NewApp, Reply, Request, Server, World, both_worlds};

/// Fields that only a proxy may send, or nobody.
const FORGED: [(&str, &str); 8] = [
    ("x-forwarded-for", "198.51.100.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "other.example.com"),
    ("x-forwarded-port", "443"),
    ("forwarded", "for=198.51.100.1"),
    ("x-real-ip", "198.51.100.1"),
    ("everwarm-error", "EW3001"),
    ("everwarm-anything", "1"),
];

fn forged(path: &str) -> Request {
    let request = Request::get(path).header("x-request-id", "of-a-client");
    FORGED.into_iter().fold(request, |request, (name, value)| {
        request.header(name, value)
    })
}

/// The values of a field as the function saw it.
fn seen<'r>(reply: &'r Reply, name: &str) -> Vec<&'r str> {
    let lines = reply
        .ok()
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    lines
        .filter(|(field, _)| *field == name)
        .map(|(_, value)| value)
        .collect()
}

both_worlds! {
    async fn client_says_nothing_of_who_it_is(world: World) {
        let node = App::new("echo", world).start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            let reply = connection.send(forged("/head")).await;
            assert_eq!(seen(&reply, "x-forwarded-for"), ["127.0.0.1"]);
            assert_eq!(seen(&reply, "x-forwarded-proto"), ["http"]);
            for name in ["x-forwarded-host", "x-forwarded-port", "forwarded", "x-real-ip", "everwarm-error", "everwarm-anything"] {
                assert!(seen(&reply, name).is_empty(), "{name}: {reply:?}");
            }
            let event = node.log().access("/head").await;
            assert_eq!(event["client"], "127.0.0.1");
        }
    }

    async fn request_has_one_name_for_function_client_and_log(world: World) {
        let node = App::new("echo", world).start().await;
        for path in ["/head?a", "/head?b"] {
            let reply = node.send(forged(path)).await;
            let id = reply.header("x-request-id").unwrap().to_owned();
            assert_eq!(id.len(), 16, "{id}");
            assert_eq!(seen(&reply, "x-request-id"), [id.as_str()]);
            assert_eq!(node.log().access(path).await["request_id"], id.as_str());
        }
        let failed = node.send(Request::get("/../x")).await;
        let problem = failed.failed(404, "EW3001");
        assert_eq!(failed.header("x-request-id"), problem["request_id"].as_str());
    }
}

/// A node that trusts this machine, with `echo` at `shop.example.com`.
async fn behind_a_proxy(data: &DataFolder) -> Server {
    let mut command = data.command();
    command.args(["--trusted-proxies", "127.0.0.0/8, ::1"]);
    let server = data.start_with(command).await;
    let app = NewApp::new("shop", "echo", &["shop.example.com/*"]);
    app.deploy(&server.client()).await.unwrap();
    server
}

#[tokio::test]
async fn proxy_that_is_trusted_says_who_asked_for_what() {
    let data = DataFolder::new();
    let server = behind_a_proxy(&data).await;
    let request = Request::get("/head?trusted")
        .header("host", "inner:8080")
        .header("x-forwarded-for", "198.51.100.1, 203.0.113.7, 127.0.0.9")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "shop.example.com")
        .header("x-forwarded-port", "443")
        .header("everwarm-error", "EW3001")
        .header("x-request-id", "4bf92f35-77b3");
    let reply = server.node.send(request).await;
    assert_eq!(seen(&reply, "x-forwarded-for"), ["203.0.113.7"]);
    assert_eq!(seen(&reply, "x-forwarded-proto"), ["https"]);
    assert_eq!(seen(&reply, "x-forwarded-port"), ["443"]);
    assert!(seen(&reply, "everwarm-error").is_empty());
    assert_eq!(seen(&reply, "x-request-id"), ["4bf92f35-77b3"]);
    assert_eq!(reply.header("x-request-id"), Some("4bf92f35-77b3"));
    let event = server.node.log().access("/head?trusted").await;
    assert_eq!(event["client"], "203.0.113.7");
    assert_eq!(event["request_id"], "4bf92f35-77b3");

    // The standard form of the same, over HTTP/2.
    let request = Request::get("/head?standard")
        .header("host", "inner")
        .header(
            "forwarded",
            "for=\"[2001:db8::7]:99\";proto=https;host=shop.example.com",
        );
    let reply = server.node.connect_http2().await.send(request).await;
    assert_eq!(seen(&reply, "x-forwarded-for"), ["2001:db8::7"]);
    assert_eq!(seen(&reply, "x-forwarded-proto"), ["https"]);
}

#[tokio::test]
async fn name_that_a_proxy_gives_must_be_one() {
    let data = DataFolder::new();
    let server = behind_a_proxy(&data).await;
    for id in ["has space", "\"quoted\"", &"x".repeat(200)] {
        let request = Request::get("/head")
            .header("host", "shop.example.com")
            .header("x-request-id", id);
        let reply = server.node.send(request).await;
        assert_eq!(reply.header("x-request-id").map(str::len), Some(16), "{id}");
    }
}

#[tokio::test]
async fn timing_is_told_to_outsiders_where_the_function_says_so() {
    let data = DataFolder::new();
    let server = data.start().await;
    for (name, line) in [("quiet", ""), ("open", "server_timing = true")] {
        let app = NewApp::new(name, "hello", &["/*"]).line(line);
        app.deploy(&server.client()).await.unwrap();
    }
    let quiet = server.get("quiet.example.com", "/").await;
    assert_eq!(
        (quiet.ok(), quiet.header("server-timing")),
        ("Hello from Everwarm\n", None)
    );
    let open = server.get("open.example.com", "/").await;
    let timing = open.header("server-timing").unwrap();
    assert!(timing.starts_with("everwarm;desc=\""), "{timing}");
}

#[tokio::test]
async fn request_without_a_socket_has_its_name_too() {
    let data = DataFolder::new();
    let server = data.start().await;
    let mut app = NewApp::new("shop", "echo", &["/*"]);
    app.deploy.health = Some(everwarm_api::messages::HealthCheck {
        path: "/head?health".to_owned(),
    });
    app.deploy(&server.client()).await.unwrap();
    let event = server.node.log().access("/head?health").await;
    assert_eq!(event["request_id"].as_str().map(str::len), Some(16));
    assert!(event["client"].is_null(), "{event}");
}
