//! Clients that mean no good, over HTTP/2 (RFC 9113, section 10.5): what is cheap for them must not be dear for the
//! node. Each is told to stop, is cut off, or waits; and others are served meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::frames::{
    END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame, field, frame, get, kind,
};
use everwarm_e2e::raw::Raw;
use everwarm_e2e::{App, DataFolder, NewApp, Node, Request, Server, World, eventually};
use http::Method;

/// Frames of a flood; more than any bound there is.
const MANY: u32 = 50_000;
/// Frames that are written at once.
const BATCH: u32 = 500;
/// Memory that a flood may cost, in bytes: far less than what it sends, or asks for.
const MEMORY_MAX: u64 = 64 << 20;
/// The setting that says how much of a stream's data may be sent.
const INITIAL_WINDOW_SIZE: u16 = 4;
/// The setting by which WebSocket over HTTP/2 is offered (RFC 8441).
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

async fn node() -> Node {
    App::new("misbehave", World::Wasi02).start().await
}

/// Writes frames, each made from its number, until the node takes no more. Says whether it took all.
async fn flood(raw: &mut Raw, make: impl Fn(u32) -> Vec<u8>) -> bool {
    for batch in 0..MANY / BATCH {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        if !raw
            .try_write(numbers.flat_map(&make).collect::<Vec<u8>>())
            .await
        {
            return false;
        }
    }
    true
}

fn request(number: u32, path: &str) -> Vec<u8> {
    frame(
        kind::HEADERS,
        END_STREAM | END_HEADERS,
        2 * number + 1,
        &get("a", path),
    )
}

/// Why the node ended the connection, if it said so.
fn farewell(frames: &[Frame]) -> Option<u32> {
    frames
        .iter()
        .rfind(|frame| frame.kind == kind::GOAWAY)?
        .error_code()
}

async fn is_served(node: &Node) {
    assert_eq!(node.get("/counter").await.ok(), "0\n");
}

#[tokio::test]
async fn requests_that_are_given_up_at_once_end_their_connection() {
    let node = node().await;
    for path in ["/counter", "/sleep?ms=3600000"] {
        let mut raw = node.connect_raw().await;
        raw.begin_http2(&[]).await;
        let all = flood(&mut raw, |number| {
            let reset = frame(kind::RST_STREAM, 0, 2 * number + 1, &8_u32.to_be_bytes());
            [request(number, path), reset].concat()
        })
        .await;
        is_served(&node).await;
        assert!(
            !all,
            "{path}: the node took {MANY} requests that were given up"
        );
        // It is closed, whether or not there was time for a word.
        let said = farewell(&raw.read_frames().await);
        assert!(
            said.is_none_or(|code| code == ENHANCE_YOUR_CALM),
            "{said:?}"
        );
    }
    // None of them holds its place.
    is_served(&node).await;
}

#[tokio::test]
async fn settings_and_pings_without_end_wait_for_who_sends_them() {
    let node = node().await;
    is_served(&node).await;
    let before = node.process().memory_bytes();
    for (what, bytes) in [
        (
            "settings",
            frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]),
        ),
        ("empty settings", frame(kind::SETTINGS, 0, 0, &[])),
        ("pings", frame(kind::PING, 0, 0, &[7; 8])),
        (
            "windows",
            frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        ),
    ] {
        let mut raw = node.connect_raw().await;
        raw.begin_http2(&[]).await;
        // Nothing is read: every one of them has an answer that waits.
        for _ in 0..4 {
            if !flood(&mut raw, |_| bytes.clone()).await {
                break;
            }
        }
        is_served(&node).await;
        let now = node.process().memory_bytes();
        assert!(now < before + MEMORY_MAX, "{what}: {before} to {now}");
    }
}

#[tokio::test]
async fn heads_that_go_on_and_on_are_cut_off() {
    let node = node().await;
    let block = field("x-flood", &[b'x'; 100]);
    for (what, payload) in [("fields", block), ("nothing", Vec::new())] {
        let mut raw = node.connect_raw().await;
        raw.begin_http2(&[]).await;
        raw.write(frame(kind::HEADERS, END_STREAM, 1, &get("a", "/counter")))
            .await;
        let all = flood(&mut raw, |_| frame(kind::CONTINUATION, 0, 1, &payload)).await;
        is_served(&node).await;
        assert!(!all, "{what}: the node took a head of {MANY} frames");
        let said = farewell(&raw.read_frames().await);
        assert!(said.is_none_or(|code| code != 0), "{said:?}");
    }
    assert!(!node.log().contains("x-flood"));
}

#[tokio::test]
async fn data_without_data_is_cut_off() {
    let node = App::new("echo", World::Wasi02).start().await;
    let mut raw = node.connect_raw().await;
    raw.begin_http2(&[]).await;
    let mut head = get("a", "/count");
    // POST instead of GET.
    head[0] = 0x83;
    raw.write(frame(kind::HEADERS, END_HEADERS, 1, &head)).await;
    let all = flood(&mut raw, |_| frame(kind::DATA, 0, 1, &[])).await;
    assert_eq!(node.get("/count").await.ok(), "0\n");
    if !all {
        let said = farewell(&raw.read_frames().await);
        assert!(
            said.is_none_or(|code| code == ENHANCE_YOUR_CALM),
            "{said:?}"
        );
    }
}

/// A node that looks after idle connections each half second, with `misbehave` on it.
async fn attentive_node(data: &DataFolder) -> Server {
    let mut command = data.command();
    command.args(["--head-time-max", "500ms"]);
    let server = data.start_with(command).await;
    let app = NewApp::new("shop", "misbehave", &["/*"]);
    // Filling the sockets' buffers may take a slow machine more CPU time than requests have by default.
    let app = app.line(
        "[function.limits]\nwall_time = \"3s\"\ncpu_time = \"30s\"\nresponse_body = \"1GiB\"",
    );
    app.deploy(&server.client()).await.unwrap();
    server
}

/// A GiB.
const ENDLESS: &str = "/stream?chunks=65536&bytes=16384";

/// Waits until so many requests were ended at their wall time.
async fn ended_at_their_wall_time(server: &Server, count: usize) {
    let log = server.node.log();
    eventually("they end at their wall time", async || {
        let events = log.json();
        let ended = events.iter().filter(|event| event["error"] == "EW3004");
        (ended.count() >= count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn responses_that_nobody_takes_are_not_made_in_advance_and_end_in_time() {
    let data = DataFolder::new();
    let server = attentive_node(&data).await;
    let before = server.node.process().memory_bytes();
    let mut raw = server.node.connect_raw().await;
    raw.begin_http2(&[(INITIAL_WINDOW_SIZE, 0)]).await;
    // More streams than are served at once.
    let streams: u32 = 300;
    let requests = (0..streams).map(|number| {
        let head = get("shop.example.com", ENDLESS);
        frame(
            kind::HEADERS,
            END_STREAM | END_HEADERS,
            2 * number + 1,
            &head,
        )
    });
    raw.write(requests.collect::<Vec<_>>().concat()).await;
    let (mut answered, mut refused) = (0, 0);
    while answered + refused < streams {
        let frame = raw.read_frame().await.expect("the connection goes on");
        match (frame.kind, frame.error_code()) {
            (kind::HEADERS, _) => answered += 1,
            // REFUSED_STREAM
            (kind::RST_STREAM, Some(7)) => refused += 1,
            (kind::DATA, _) => assert!(frame.payload.is_empty(), "there was no room for data"),
            _ => {}
        }
    }
    let most = server.node.process().memory_bytes();
    assert_eq!((answered, refused), (256, streams - 256));
    // Instances have their memory; their responses have next to none beside it.
    assert!(most < before + (512 << 20), "{before} to {most}");
    ended_at_their_wall_time(&server, 256).await;
    raw.read_to_end().await;
    let counter = server.get("shop.example.com", "/counter").await;
    assert_eq!(counter.ok(), "0\n");
}

#[tokio::test]
async fn response_that_its_client_does_not_read_ends_in_time() {
    let data = DataFolder::new();
    let server = attentive_node(&data).await;
    let mut raw = server.node.connect_raw().await;
    raw.write(format!(
        "GET {ENDLESS} HTTP/1.1\r\nhost: shop.example.com\r\n\r\n"
    ))
    .await;
    ended_at_their_wall_time(&server, 1).await;
    let seen = raw.read_to_end().await;
    assert!(
        !seen.ends_with(b"0\r\n\r\n"),
        "what was cut off isn't taken for whole"
    );
}

#[tokio::test]
async fn head_that_is_too_large_in_http2_too() {
    let node = node().await;
    let mut raw = node.connect_raw().await;
    raw.begin_http2(&[]).await;
    let block = [get("a", "/counter"), field("x-large", &vec![b'x'; 100_000])].concat();
    let mut parts = block.chunks(16_000).peekable();
    let mut frames = frame(kind::HEADERS, END_STREAM, 1, parts.next().unwrap());
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_none() {
            END_HEADERS
        } else {
            0
        };
        frames.extend(frame(kind::CONTINUATION, flags, 1, part));
    }
    raw.try_write(frames).await;
    let answer = loop {
        match raw.read_frame().await {
            Some(frame) if frame.kind == kind::SETTINGS || frame.kind == kind::WINDOW_UPDATE => {}
            other => break other,
        }
    };
    // 431 in HPACK's words, a reset stream or the end of the connection: not the function's answer.
    let answer = answer.map(|frame| (frame.kind, frame.payload));
    assert!(
        answer
            .as_ref()
            .is_none_or(|(_, payload)| payload.first() != Some(&0x88)),
        "{answer:?}"
    );
    is_served(&node).await;
}

#[tokio::test]
async fn websocket_over_http2_is_not_offered_and_connect_is_refused() {
    let node = node().await;
    let mut raw = node.connect_raw().await;
    raw.begin_http2(&[]).await;
    let settings = raw.read_frame().await.unwrap();
    assert_eq!(settings.kind, kind::SETTINGS);
    let offered: Vec<u16> = settings
        .payload
        .chunks(6)
        .map(|one| u16::from_be_bytes([one[0], one[1]]))
        .collect();
    assert!(!offered.contains(&ENABLE_CONNECT_PROTOCOL), "{offered:?}");
    // One that asks all the same: the name 2 is `:method`.
    let mut head = vec![0x02, 7];
    head.extend(b"CONNECT");
    head.extend(field(":protocol", b"websocket"));
    head.extend(&get("a", "/counter")[1..]);
    raw.write(frame(kind::HEADERS, END_HEADERS, 1, &head)).await;
    let reset = loop {
        let frame = raw.read_frame().await.unwrap();
        if frame.stream == 1 {
            break frame;
        }
    };
    assert_eq!(
        (reset.kind, reset.error_code()),
        (kind::RST_STREAM, Some(1)),
        "PROTOCOL_ERROR"
    );
    let mut head = vec![0x02, 7];
    head.extend(b"CONNECT");
    head.extend([0x01, 4]);
    head.extend(b"a:80");
    raw.write(frame(kind::HEADERS, END_HEADERS, 3, &head)).await;
    let answer = loop {
        let frame = raw.read_frame().await.unwrap();
        if frame.stream == 3 {
            break frame;
        }
    };
    // 400, by its number in HPACK's static table.
    assert_eq!(
        (answer.kind, answer.payload.first()),
        (kind::HEADERS, Some(&0x8c)),
        "{answer:?}"
    );
    is_served(&node).await;
}

#[tokio::test]
async fn connection_that_takes_what_it_asks_for_goes_on_for_ever() {
    let node = node().await;
    for mut connection in [node.connect().await, node.connect_http2().await] {
        // Bodies that are there at once, that come later with a length or without, and none at all.
        for path in [
            "/counter",
            "/stream?chunks=2&bytes=10&length=20",
            "/stream?chunks=2&bytes=10",
            "/stream?chunks=0",
        ] {
            for _ in 0..250 {
                connection.get(path).await.ok();
            }
        }
        for _ in 0..250 {
            let head = Request::new(Method::HEAD, "/counter");
            assert_eq!(connection.send(head).await.status(), 200);
        }
    }
}
