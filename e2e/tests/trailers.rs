//! Trailers: what a function says behind its body reaches the client, and the other way round.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::{App, Request, World, both_worlds};

both_worlds! {
    async fn trailers_of_the_function_reach_the_client(world: World) {
        let node = App::new("misbehave", world).start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            let reply = connection.send(Request::get("/trailers").header("te", "trailers")).await;
            assert_eq!(reply.ok(), "onetwo");
            let trailers = reply.trailers().expect("the response has trailers");
            assert_eq!(trailers.get("x-pieces").unwrap(), "2");
            assert_eq!(trailers.len(), 1);
        }
    }

    async fn client_that_takes_no_trailers_gets_the_body_all_the_same(world: World) {
        let node = App::new("misbehave", world).start().await;
        let mut raw = node.connect_raw().await;
        raw.write("GET /trailers HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let seen = String::from_utf8(raw.read_to_end().await).unwrap();
        assert!(seen.ends_with("\r\n0\r\n\r\n"), "the end isn't the end of chunks: {seen}");
        let (_, body) = seen.split_once("\r\n\r\n").unwrap();
        assert!(body.contains("one") && body.contains("two"), "{seen}");
        assert!(!body.contains("x-pieces"), "{seen}");
    }

    async fn trailers_of_the_client_reach_the_function(world: World) {
        let node = App::new("echo", world).start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            let trailers = [("x-check", "abc"), ("x-more", "1")];
            let request = Request::with_trailers("/trailers", "the body", &trailers);
            let reply = connection.send(request).await;
            assert_eq!(reply.ok(), "x-check: abc\nx-more: 1\nthe body");
        }
    }

    async fn trailers_go_through_the_function(world: World) {
        let node = App::new("echo", world).start().await;
        let mut connection = node.connect_http2().await;
        let request = Request::with_trailers("/", "the body", &[("x-check", "abc")]);
        let reply = connection.send(request).await;
        assert_eq!(reply.ok(), "the body");
        let trailers = reply.trailers().expect("the response has trailers");
        assert_eq!(trailers.get("x-check").unwrap(), "abc");
    }

    async fn fields_of_the_connection_are_no_trailers(world: World) {
        let node = App::new("echo", world).start().await;
        let mut raw = node.connect_raw().await;
        raw.write(
            "POST /trailers HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\
             trailer: x-check, keep-alive\r\n\r\n\
             4\r\nbody\r\n0\r\nx-check: abc\r\nkeep-alive: 5\r\n\r\n",
        )
        .await;
        let seen = String::from_utf8(raw.read_to_end().await).unwrap();
        assert!(seen.ends_with("\r\n\r\nx-check: abc\nbody"), "{seen}");
    }
}
