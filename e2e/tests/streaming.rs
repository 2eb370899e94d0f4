//! Bodies that come and go piece by piece, in both directions, with back-pressure.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::{App, Request, World, both_worlds};

/// A body that fits in no buffer on the way.
const HUGE_BYTES: usize = 128 << 20;
/// What a process may grow by while it holds such a body back.
const GROWTH_BYTES_MAX: u64 = 32 << 20;
/// Long enough that it is never waited for.
const NEVER: &str = "ms=3600000";

both_worlds! {
    async fn pieces_go_through_the_function_one_by_one(world: World) {
        let node = App::new("echo", world).start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            let (request, sender) = Request::stream("/");
            sender.send("one").await.unwrap();
            let mut response = connection.open(request).await;
            response.expect("one").await;
            // The request is far from over when its second piece is written.
            for piece in ["two", "three"] {
                sender.send(piece).await.unwrap();
                response.expect(piece).await;
            }
            drop(sender);
            assert_eq!(response.read().await.ok(), "");
        }
    }

    async fn trailers_go_through_in_both_directions(world: World) {
        let node = App::new("echo", world).start().await;
        let mut raw = node.connect_raw().await;
        raw.write(
            "POST / HTTP/1.1\r\nhost: x\r\nte: trailers\r\ntrailer: x-sum\r\nconnection: close\r\n\
             transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n",
        )
        .await;
        let reply = String::from_utf8(raw.read_to_end().await).unwrap();
        assert!(reply.ends_with("\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n"), "{reply}");
    }

    async fn events_arrive_one_by_one(world: World) {
        let app = App::new("misbehave", world).limit("wall_time", "1h");
        let node = app.start().await;
        let mut connection = node.connect().await;
        let mut response = connection.open(Request::get(&format!("/sse?chunks=2&{NEVER}"))).await;
        // The second event is an hour away.
        let event = response.chunk().await.unwrap().unwrap();
        assert_eq!(event, "event: tick\ndata: 0\n\n");
    }

    async fn events_arrive_whole_and_in_order(world: World) {
        let node = App::new("misbehave", world).start().await;
        let reply = node.get("/sse?chunks=5&ms=1").await;
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        let events: Vec<&str> = reply.ok().split_terminator("\n\n").collect();
        let expected = [0, 1, 2, 3, 4].map(|n| format!("event: tick\ndata: {n}"));
        assert_eq!(events, expected);
    }

    async fn client_that_does_not_read_holds_the_function_back(world: World) {
        let app = App::new("misbehave", world)
            .limit("cpu_time", "1m")
            .limit("wall_time", "5m")
            .limit("response_body", "1GiB");
        let node = app.start().await;
        node.get("/stream?chunks=1&bytes=65536").await;
        let before = node.process().memory_bytes();

        let mut raw = node.connect_raw().await;
        let chunks = HUGE_BYTES / 65536;
        raw.write(format!(
            "GET /stream?chunks={chunks}&bytes=65536 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        ))
        .await;
        raw.let_it_fill().await;
        let grown = node.process().memory_bytes().saturating_sub(before);
        assert!(grown < GROWTH_BYTES_MAX, "the node holds {grown} bytes for a client that doesn't read");

        // It reads after all, and gets everything.
        let seen = raw.read_to_end().await;
        assert!(seen.len() >= HUGE_BYTES, "{} bytes of {HUGE_BYTES}", seen.len());
        assert!(seen.ends_with(b"0\r\n\r\n"), "the body has no end");
    }

    async fn function_that_does_not_read_holds_the_client_back(world: World) {
        let app = App::new("misbehave", world)
            .limit("request_body", "1GiB")
            .limit("wall_time", "5m");
        let node = app.start().await;
        let before = node.process().memory_bytes();
        let mut raw = node.connect_raw().await;
        raw.write(format!(
            "POST /slow-read?{NEVER} HTTP/1.1\r\nhost: a\r\ncontent-length: {HUGE_BYTES}\r\n\r\n"
        ))
        .await;
        let taken = raw.write_until_full(HUGE_BYTES).await;
        assert!(taken < HUGE_BYTES, "all of a body was taken that nobody reads");
        let grown = node.process().memory_bytes().saturating_sub(before);
        assert!(grown < GROWTH_BYTES_MAX, "the node holds {grown} bytes for a function that doesn't read");
    }

    async fn slow_function_gets_the_whole_body(world: World) {
        let node = App::new("misbehave", world).limit("cpu_time", "10s").start().await;
        let reply = node.send(Request::post("/slow-read?ms=1", vec![b'x'; 300_000])).await;
        assert_eq!(reply.ok(), "300000\n");
    }

    async fn body_that_the_function_ignores_does_not_harm_the_connection(world: World) {
        let node = App::new("echo", world).start().await;
        let mut connection = node.connect().await;
        for _ in 0..3 {
            let request = Request::post("/ignore", vec![b'x'; 1000]);
            assert_eq!(connection.send(request).await.ok(), "ignored\n");
        }
    }

    async fn large_response_is_complete(world: World) {
        let node = App::new("misbehave", world).limit("cpu_time", "10s").start().await;
        let reply = node.get("/big-response?bytes=10000000").await;
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.bytes().len(), 10_000_000);
        let reply = node.get("/slow-body?chunks=5&bytes=3&ms=5").await;
        assert_eq!(reply.ok(), "xxx".repeat(5));
    }

    async fn many_streams_at_once_stay_apart(world: World) {
        let node = App::new("echo", world).limit("cpu_time", "10s").start().await;
        let mut connections = Vec::new();
        for number in 0..30_u8 {
            let mut connection = node.connect().await;
            connections.push(tokio::spawn(async move {
                let body = vec![number; 100_000];
                let reply = connection.send(Request::post("/", body.clone())).await;
                assert!(reply.bytes() == body, "bytes of another request are in {number}'s");
            }));
        }
        for connection in connections {
            connection.await.unwrap();
        }
    }
}
