//! Clients that mean no good, over HTTP/1.1: what each of them sees, and that others are served meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use everwarm_e2e::raw::Raw;
use everwarm_e2e::{App, DataFolder, NewApp, Request, Server, World, eventually};

/// Another request, as a client hides it in the body of one.
const SMUGGLED: &str = "GET /head?smuggled HTTP/1.1\r\nhost: shop.example.com\r\n\r\n";

/// A node with flags, and `echo` on it.
async fn node(data: &DataFolder, flags: &[&str]) -> Server {
    let mut command = data.command();
    command.args(flags);
    let server = data.start_with(command).await;
    let app = NewApp::new("shop", "echo", &["/*"]);
    app.deploy(&server.client()).await.unwrap();
    server
}

async fn is_served(server: &Server) {
    assert_eq!(server.get("shop.example.com", "/count").await.ok(), "0\n");
}

/// All that a node says to these bytes until it closes the connection.
async fn said(server: &Server, bytes: &str) -> String {
    let mut raw = server.node.connect_raw().await;
    raw.write(bytes).await;
    String::from_utf8_lossy(&raw.read_to_end().await).into_owned()
}

/// That the hidden request never got anywhere, though one that came later did.
async fn nothing_was_smuggled(server: &Server) {
    server.get("shop.example.com", "/head?later").await.ok();
    server.node.log().access("/head?later").await;
    assert!(!server.node.log().contains("smuggled"));
}

#[tokio::test]
async fn requests_whose_end_is_a_matter_of_opinion_are_refused() {
    let data = DataFolder::new();
    let server = node(&data, &[]).await;
    let length = SMUGGLED.len();
    for fields in [
        format!(
            "content-length: {}\r\ntransfer-encoding: chunked\r\n",
            5 + length
        ),
        format!(
            "transfer-encoding: chunked\r\ncontent-length: {}\r\n",
            5 + length
        ),
        "content-length: 5\r\ncontent-length: 5\r\n".to_owned(),
        "transfer-encoding: gzip, chunked\r\n".to_owned(),
        "transfer-encoding: chunked, chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\nx: y\n".to_owned(),
    ] {
        let head = format!("POST /count HTTP/1.1\r\nhost: shop.example.com\r\n{fields}\r\n");
        let seen = said(&server, &format!("{head}0\r\n\r\n{SMUGGLED}")).await;
        assert!(seen.starts_with("HTTP/1.1 400 "), "{fields}: {seen}");
        assert!(
            seen.contains("everwarm-error: EW3016") && seen.contains("connection: close"),
            "{fields}: {seen}"
        );
        assert_eq!(seen.matches("HTTP/1.1").count(), 1, "{fields}: {seen}");
    }
    // What no server makes anything of is refused by the parser, without a problem document.
    for fields in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 5\r\n",
        "content-length: +5\r\n",
        "content-length: -5\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding : chunked\r\n",
        "content-length : 5\r\n",
        " content-length: 5\r\n",
        "x: y\r\n folded: z\r\n",
        "x: y\r\n\tfolded\r\n",
        "x: y\rz: w\r\n",
        "x: \0\r\n",
        "x y: z\r\n",
        ": z\r\n",
    ] {
        let head = format!("POST /count HTTP/1.1\r\nhost: shop.example.com\r\n{fields}\r\n");
        let seen = said(&server, &format!("{head}0\r\n\r\n{SMUGGLED}")).await;
        assert!(seen.starts_with("HTTP/1.1 400 "), "{fields:?}: {seen}");
        assert_eq!(seen.matches("HTTP/1.1").count(), 1, "{fields:?}: {seen}");
    }
    let old =
        format!("POST /count HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");
    assert!(said(&server, &old).await.starts_with("HTTP/1.1 400 "));
    nothing_was_smuggled(&server).await;
}

#[tokio::test]
async fn chunks_that_are_none_end_the_connection() {
    let data = DataFolder::new();
    let server = node(&data, &[]).await;
    let head =
        "POST /count HTTP/1.1\r\nhost: shop.example.com\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(20_000));
    for body in [
        "x\r\n",
        "-1\r\nx\r\n0\r\n\r\n",
        "0x1\r\nx\r\n0\r\n\r\n",
        "1\nx\n0\n\n",
        "1\r\nxx\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nx\r\n",
        "1;a\nb\r\nx\r\n0\r\n\r\n",
        &long,
    ] {
        let shown = &body[..body.len().min(30)];
        let seen = said(&server, &format!("{head}{body}{SMUGGLED}")).await;
        assert!(!seen.contains("HTTP/1.1 200"), "{shown:?}: {seen}");
        assert!(seen.matches("HTTP/1.1").count() <= 1, "{shown:?}: {seen}");
    }
    // One that is told apart keeps its connection.
    let good = format!("{head}1;name=\"value\"\r\nx\r\n0\r\nx: y\r\n\r\n");
    let last = "GET /head HTTP/1.1\r\nhost: shop.example.com\r\nconnection: close\r\n\r\n";
    let seen = said(&server, &format!("{good}{good}{last}")).await;
    assert_eq!(seen.matches("HTTP/1.1 200").count(), 3, "{seen}");
    nothing_was_smuggled(&server).await;
}

#[tokio::test]
async fn answers_before_a_bad_request_are_given_in_their_order() {
    let data = DataFolder::new();
    let server = node(&data, &[]).await;
    let good = "GET /head?good HTTP/1.1\r\nhost: shop.example.com\r\n\r\n";
    let bad = "GET /head?bad HTTP/1.1\nhost: shop.example.com\r\n\r\n";
    let seen = said(&server, &format!("{good}{good}{bad}{SMUGGLED}")).await;
    let places: Vec<_> = seen
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &seen[at + 9..at + 12])
        .collect();
    assert_eq!(places, ["200", "200", "400"], "{seen}");
    nothing_was_smuggled(&server).await;
}

#[tokio::test]
async fn host_is_said_once_and_clearly() {
    let data = DataFolder::new();
    let server = node(&data, &[]).await;
    let close = "connection: close\r\n\r\n";
    for (head, status) in [
        ("GET /count HTTP/1.1\r\n", "400"),
        (
            "GET /count HTTP/1.1\r\nhost: shop.example.com\r\nhost: shop.example.com\r\n",
            "400",
        ),
        (
            "GET /count HTTP/1.1\r\nhost: shop.example.com\r\nHost: other\r\n",
            "400",
        ),
        (
            "GET /count HTTP/1.1\r\nhost: shop.example.com, other\r\n",
            "400",
        ),
        ("GET /count HTTP/1.1\r\nhost: shop.example.com/x\r\n", "400"),
        (
            "GET /count HTTP/1.1\r\nhost: user@shop.example.com\r\n",
            "400",
        ),
        (
            "GET /count HTTP/1.1\r\nhost: shop.example.com:http\r\n",
            "400",
        ),
        ("GET /count HTTP/1.1\r\nhost:\r\n", "400"),
        (
            "GET http://other.example.com/count HTTP/1.1\r\nhost: shop.example.com\r\n",
            "400",
        ),
        (
            "GET http://user@shop.example.com/count HTTP/1.1\r\nhost: shop.example.com\r\n",
            "400",
        ),
        (
            "GET http://shop.example.com/count HTTP/1.1\r\nhost: Shop.example.com\r\n",
            "200",
        ),
        (
            "GET /count HTTP/1.1\r\nhost: SHOP.example.com.:99\r\n",
            "200",
        ),
        ("GET /count HTTP/1.0\r\nhost: shop.example.com\r\n", "200"),
        ("GET /count HTTP/1.0\r\n", "404"),
    ] {
        let seen = said(&server, &format!("{head}{close}")).await;
        assert!(
            seen.get(8..13) == Some(&*format!(" {status} ")),
            "{head}: {seen}"
        );
    }
}

#[tokio::test]
async fn heads_without_measure_are_refused() {
    let data = DataFolder::new();
    let server = node(&data, &[]).await;
    let begin = "GET /count HTTP/1.1\r\nhost: shop.example.com\r\n";
    let many: Vec<String> = (0..5_000).map(|n| format!("x-{n}: {n:012}\r\n")).collect();
    let many = many.concat();
    let long = format!("x: {}\r\n", "x".repeat(100_000));
    for fields in [many, long] {
        let mut raw = server.node.connect_raw().await;
        raw.try_write(format!("{begin}{fields}\r\n")).await;
        let seen = String::from_utf8_lossy(&raw.read_to_end().await).into_owned();
        // A client that is still writing may see the connection break instead.
        assert!(
            seen.is_empty() || seen.starts_with("HTTP/1.1 431 "),
            "{seen}"
        );
    }
    let mut raw = server.node.connect_raw().await;
    raw.try_write(format!("GET /{} HTTP/1.1\r\n", "x".repeat(70_000)))
        .await;
    let seen = String::from_utf8_lossy(&raw.read_to_end().await).into_owned();
    assert!(seen.is_empty() || seen.starts_with("HTTP/1.1 4"), "{seen}");
    is_served(&server).await;
}

#[tokio::test]
async fn heads_that_never_end_are_waited_for_only_so_long() {
    let data = DataFolder::new();
    let server = node(&data, &["--head-time-max", "500ms"]).await;
    let begin = [
        "",
        "GET",
        "GET /count HTTP/1.1\r\nhost: shop.example.com\r\n",
        "PRI * HTTP/2.0\r\n",
    ];
    for begin in begin {
        let mut raw = server.node.connect_raw().await;
        raw.write(begin).await;
        let mut trickle = tokio::time::interval(Duration::from_millis(50));
        eventually("the connection is closed", async || {
            trickle.tick().await;
            let dribble = if begin.contains("host") {
                "x: y\r\n"
            } else {
                ""
            };
            (!raw.try_write(dribble).await || raw.is_closed()).then_some(())
        })
        .await;
        is_served(&server).await;
    }
    // A connection that has served is closed as well when nothing more comes.
    let mut raw = server.node.connect_raw().await;
    raw.write("GET /count HTTP/1.1\r\nhost: shop.example.com\r\n\r\n")
        .await;
    let seen = String::from_utf8_lossy(&raw.read_to_end().await).into_owned();
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
}

#[tokio::test]
async fn body_that_stops_coming_is_a_408() {
    let data = DataFolder::new();
    let server = node(&data, &["--body-idle-max", "300ms"]).await;
    for head in [
        "content-length: 100\r\n\r\nhalf",
        "transfer-encoding: chunked\r\n\r\n5\r\nha",
    ] {
        let begin = "POST /count HTTP/1.1\r\nhost: shop.example.com\r\n";
        let seen = said(&server, &format!("{begin}{head}")).await;
        assert!(
            seen.starts_with("HTTP/1.1 408 ") && seen.contains("EW3022"),
            "{seen}"
        );
    }
    let (request, sender) = Request::stream("/count");
    let mut connection = server.node.connect_http2().await;
    let response = connection.begin(request.header("host", "shop.example.com"));
    sender.send("half").await.unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 408);
    let event = server.node.log().access("/count").await;
    assert_eq!(
        (&event["status"], &event["error"]),
        (&408.into(), &"EW3022".into())
    );
    is_served(&server).await;
}

/// Connections that are open and do nothing.
async fn idle(server: &Server, count: usize) -> Vec<Raw> {
    let mut open = Vec::new();
    for _ in 0..count {
        open.push(server.node.connect_raw().await);
    }
    open
}

#[tokio::test]
async fn address_has_only_so_many_connections() {
    let data = DataFolder::new();
    let server = node(&data, &["--connections-per-address-max", "4"]).await;
    let open = eventually("four are open, and no fifth", async || {
        let open = idle(&server, 4).await;
        let mut fifth = server.node.connect_raw().await;
        let refused = fifth.last_words(SMUGGLED).await.is_empty();
        refused.then_some(open)
    })
    .await;
    drop(open);
    eventually("there is room again", async || {
        let mut raw = server.node.connect_raw().await;
        let last = "GET /count HTTP/1.1\r\nhost: shop.example.com\r\nconnection: close\r\n\r\n";
        raw.last_words(last)
            .await
            .starts_with("HTTP/1.1 200")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_that_do_nothing_make_room_for_those_that_do() {
    let data = DataFolder::new();
    let server = node(&data, &["--connections-max", "8"]).await;
    let mut busy = server.node.connect_raw().await;
    busy.write("POST /count HTTP/1.1\r\nhost: shop.example.com\r\ncontent-length: 5\r\n\r\n123")
        .await;
    // More than there is room for: the last wait in the kernel's queue, and so does the next.
    let _idle = idle(&server, 20).await;
    is_served(&server).await;
    busy.write("45").await;
    let seen = busy.read_until("\n5\n").await;
    assert!(
        seen.starts_with("HTTP/1.1 200"),
        "one that was at work is left alone: {seen}"
    );
}

#[tokio::test]
async fn paths_reach_what_they_name_and_nothing_else() {
    let app = App::new("echo", World::Wasi02).routes(&["/public/*", "/one/{segment}"]);
    let node = app.and("hello", World::Wasi02, "/admin/*").start().await;
    let line = async |target: &[u8]| {
        let mut raw = node.connect_raw().await;
        let end = b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        raw.write([b"GET ", target, end].concat()).await;
        String::from_utf8_lossy(&raw.read_to_end().await).into_owned()
    };
    assert!(line(b"/admin/x").await.contains("Hello"));
    assert!(
        line(b"/%61dmin/x").await.contains("Hello"),
        "another spelling of the same path"
    );
    // Nobody's: dots go nowhere, however they are written, and no path has a NUL.
    for target in [
        "/public/../admin/x",
        "/public/%2e%2e/admin/x",
        "/public/.%2E/admin/x",
        "/public/./x",
        "/..",
        "/public/x%00",
        "/one/%00",
        "//admin/x",
        "/admin%2fx",
        "/ADMIN/x",
        "/one/",
        "/one//admin",
        "/one/a/b",
        "/public;/x",
        "/admin;x=y/x",
        "\\admin\\x",
        "/\\admin/x",
        "*",
    ] {
        let seen = line(target.as_bytes()).await;
        assert!(
            seen.starts_with("HTTP/1.1 404 ") || seen.starts_with("HTTP/1.1 400 "),
            "{target}: {seen}"
        );
    }
    // What no target can have.
    for target in [
        &b"/public/\0"[..],
        b"/public/\xff\xfe",
        b"/public/\xc0\xae",
        b"/public/ x",
        b"/public/\x7f",
    ] {
        let seen = line(target).await;
        assert!(seen.starts_with("HTTP/1.1 400 "), "{target:?}: {seen}");
    }
    // What is one segment, or a segment of its own, reaches the function as it was sent.
    for target in [
        "/public/x%2f..%2fadmin",
        "/public/..%2fadmin",
        "/public//admin/x",
        "/public/..;/admin/x",
        "/public/%252e%252e/admin",
        "/public/%ff%c0%ae",
        "/public/..\\admin",
        "/public/...",
        "/one/a%2Fb",
        "/public/?/../admin",
    ] {
        let mut raw = node.connect_raw().await;
        raw.write(format!(
            "POST {target} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nme"
        ))
        .await;
        let seen = raw.read_until("me").await;
        assert!(
            seen.starts_with("HTTP/1.1 200") && !seen.contains("Hello"),
            "{target}: {seen}"
        );
        let event = node.log().access(target).await;
        assert_eq!(event["function"], "echo", "{target}");
    }
}
