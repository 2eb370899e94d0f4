//! Which function answers: host and path, the most specific route first.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::{App, Request, World, both_worlds};

both_worlds! {
    async fn most_specific_path_wins(world: World) {
        let app = App::new("hello", world).and("echo", world, "/head");
        let node = app.start().await;
        assert_eq!(node.get("/").await.ok(), "Hello from Everwarm\n");
        assert_eq!(node.get("/head/more").await.ok(), "Hello from Everwarm\n");
        assert!(node.get("/head").await.ok().starts_with("GET "));
    }

    async fn host_decides_before_the_path(world: World) {
        let app = App::new("hello", world).and("echo", world, "api.example.com/*");
        let node = app.start().await;
        assert_eq!(node.get("/head").await.ok(), "Hello from Everwarm\n");
        let request = || Request::get("/head").header("host", "API.example.com:8080");
        assert!(node.send(request()).await.ok().starts_with("GET "));
        let reply = node.connect_http2().await.send(request()).await;
        assert!(reply.ok().starts_with("GET "));
    }

    async fn request_that_no_route_matches_is_a_404(world: World) {
        let node = App::new("hello", world).routes(&["/only"]).start().await;
        node.get("/only").await.ok();
        node.get("/other").await.failed(404, "EW3001");
    }
}

#[tokio::test]
async fn requests_that_are_none_are_refused() {
    let node = App::new("hello", World::Wasi02).start().await;
    for line in ["GET", "GET / HTTP/9.9", "\u{1}\u{2}"] {
        let mut raw = node.connect_raw().await;
        raw.write(format!("{line}\r\nhost: a\r\n\r\n")).await;
        let seen = String::from_utf8_lossy(&raw.read_to_end().await).into_owned();
        assert!(!seen.contains("200 OK"), "{line:?}: {seen}");
    }
    node.get("/").await.ok();
}

#[tokio::test]
async fn upgrade_is_refused_in_words() {
    let node = App::new("hello", World::Wasi02).start().await;
    let request = Request::get("/")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket");
    node.send(request).await.failed(501, "EW3019");
}

#[tokio::test]
async fn connect_is_refused_in_words() {
    let node = App::new("hello", World::Wasi02).start().await;
    let mut raw = node.connect_raw().await;
    raw.write(
        "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\nconnection: close\r\n\r\n",
    )
    .await;
    let seen = raw.read_until("EW3016").await;
    assert!(seen.starts_with("HTTP/1.1 400"), "{seen}");
}

#[tokio::test]
async fn head_that_is_too_large_is_refused() {
    let node = App::new("hello", World::Wasi02).start().await;
    let mut connection = node.connect_http2().await;
    let large = "x".repeat(512 << 10);
    let reply = connection
        .try_open(Request::get("/").header("x-large", &large))
        .await;
    assert!(reply.is_err() || reply.is_ok_and(|reply| reply.status() == 431));

    let mut raw = node.connect_raw().await;
    raw.write("GET / HTTP/1.1\r\nhost: a\r\nx-large: ").await;
    assert!(
        raw.write_until_full(64 << 20).await < 64 << 20,
        "a head without an end was taken"
    );
    node.get("/").await.ok();
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_their_order() {
    let node = App::new("echo", World::Wasi02).start().await;
    let mut raw = node.connect_raw().await;
    let one = |number: u32| format!("GET /head?{number} HTTP/1.1\r\nhost: a\r\n\r\n");
    raw.write((0..20).map(one).collect::<String>()).await;
    let seen = raw.read_until("/head?19\n").await;
    let places: Vec<_> = (0..20)
        .map(|n| seen.find(&format!("/head?{n}\n")))
        .collect();
    assert!(places.is_sorted() && places[0].is_some(), "{seen}");
}
