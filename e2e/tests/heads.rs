//! Heads that go with no body, or with another one: what a client sees is HTTP, whatever the function does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::{App, Connection, Request, World, both_worlds};
use http::Method;

/// What follows on a connection is read right only if the response before it ended where HTTP says.
async fn in_step(connection: &mut Connection) {
    assert_eq!(connection.get("/counter").await.ok(), "0\n");
}

both_worlds! {
    async fn client_that_asks_first_is_told_to_go_on(world: World) {
        let node = App::new("echo", world).start().await;
        let mut raw = node.connect_raw().await;
        raw.write("POST /count HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
        let go_on = raw.read_until("\r\n\r\n").await;
        assert_eq!(go_on, "HTTP/1.1 100 Continue\r\n\r\n");
        raw.write("12345").await;
        let answer = raw.read_until("\n5\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    async fn client_that_asks_first_may_be_spared_its_body(world: World) {
        let node = App::new("echo", world).limit("request_body", "1KiB").start().await;
        for (path, length, status) in [("/ignore", 5, "200"), ("/count", 2_000, "413")] {
            let mut raw = node.connect_raw().await;
            raw.write(format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
            ))
            .await;
            let answer = raw.read_until("\r\n\r\n").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        }
    }

    async fn body_that_answers_head_is_not_sent(world: World) {
        let node = App::new("misbehave", world).limit("cpu_time", "10s").start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            for path in [
                "/big-response?bytes=5",
                "/big-response?bytes=1000000",
                "/stream?chunks=3&bytes=10",
                "/slow-body?chunks=3&ms=1",
                "/trailers",
            ] {
                let reply = connection.send(Request::new(Method::HEAD, path)).await;
                assert_eq!((reply.status().as_u16(), reply.bytes()), (200, &b""[..]), "{path}");
                in_step(&mut connection).await;
            }
        }
        // A length that the function declares is that of the body that it leaves out; else it is its body's.
        for (path, length) in [
            ("/big-response?bytes=1000000", "1000000"),
            ("/big-response?bytes=0&length=100", "100"),
            ("/counter", "2"),
        ] {
            for mut connection in [node.connect().await, node.connect_http2().await] {
                let reply = connection.send(Request::new(Method::HEAD, path)).await;
                assert_eq!((reply.status().as_u16(), reply.bytes()), (200, &b""[..]), "{path}");
                assert_eq!(reply.header("content-length"), Some(length), "{path}");
            }
        }
        // A body that nobody wanted is no fault of the function, nor of the client.
        for event in node.log().json() {
            assert!(event["error"].is_null(), "{event}");
        }
    }

    async fn errors_that_answer_head_have_no_body(world: World) {
        let node = App::new("misbehave", world).routes(&["/trap"]).start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            for (path, status, code) in [("/trap", 500, "EW3002"), ("/nowhere", 404, "EW3001")] {
                let reply = connection.send(Request::new(Method::HEAD, path)).await;
                assert_eq!((reply.status().as_u16(), reply.bytes()), (status, &b""[..]), "{path}");
                assert_eq!(reply.header("everwarm-error"), Some(code));
                let length = reply.header("content-length").and_then(|length| length.parse().ok());
                assert!(length > Some(100), "{reply:?}");
            }
        }
    }

    async fn statuses_without_a_body_have_none(world: World) {
        let node = App::new("misbehave", world).limit("cpu_time", "10s").start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            for code in [204, 304] {
                for path in [
                    format!("/big-response?bytes=5&code={code}"),
                    format!("/big-response?bytes=1000000&code={code}"),
                    format!("/stream?chunks=3&bytes=10&code={code}"),
                    format!("/slow-body?chunks=3&ms=1&code={code}"),
                ] {
                    let reply = connection.get(&path).await;
                    assert_eq!((reply.status().as_u16(), reply.bytes()), (code, &b""[..]), "{path}");
                    in_step(&mut connection).await;
                    let event = node.log().access(&path).await;
                    assert!(event["error"].is_null(), "{event}");
                }
            }
        }
        // A length on a 304 is that of what the client has already (RFC 9110, section 15.4.5).
        let mut connection = node.connect_http2().await;
        for (length, expected) in [("", None), ("&length=100", Some("100"))] {
            let reply = connection.get(&format!("/big-response?bytes=0&code=304{length}")).await;
            assert_eq!(reply.header("content-length"), expected, "{reply:?}");
        }
        let reply = node.get("/big-response?bytes=5&code=204").await;
        assert_eq!(reply.header("content-length"), None, "RFC 9110, section 8.6");
    }

    async fn body_longer_than_declared_does_not_get_past_its_length(world: World) {
        let node = App::new("misbehave", world).start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            let Some(reply) = connection.try_get("/stream?chunks=4&bytes=5&length=15").await else {
                continue;
            };
            // What is out can't be taken back: it is an error, it breaks, or it is what was declared.
            if reply.status() == 200 {
                let received = reply.received().len();
                assert!(received < 15 && reply.is_broken() || received == 15, "{reply:?}");
            } else {
                reply.failed(502, "EW3009");
            }
        }
        in_step(&mut node.connect().await).await;
    }

    async fn declared_length_that_is_none_is_a_bad_response(world: World) {
        let node = App::new("misbehave", world).start().await;
        for length in ["abc", "-1", "+10", "10,11", "0x10", "99999999999999999999999"] {
            let path = format!("/stream?chunks=1&bytes=10&length={length}");
            for mut connection in [node.connect().await, node.connect_http2().await] {
                connection.get(&path).await.failed(502, "EW3009");
                in_step(&mut connection).await;
            }
            assert_eq!(node.log().access(&path).await["error"], "EW3009", "{length}");
        }
    }

    async fn interim_status_is_no_response(world: World) {
        let node = App::new("misbehave", world).start().await;
        for code in [100, 101, 103] {
            let reply = node.get(&format!("/status?code={code}")).await;
            assert_eq!(reply.status(), 200);
            node.log().line(&format!("the host refused the status {code}")).await;
        }
    }
}

#[tokio::test]
async fn body_that_is_not_sent_leaves_a_shared_instance_alive() {
    let app = App::new("misbehave", World::Wasi03).isolation("concurrent");
    let node = app.start().await;
    let mut connection = node.connect_http2().await;
    assert_eq!(connection.get("/counter").await.ok(), "0\n");
    for path in ["/big-response?bytes=1000000", "/slow-body?chunks=3&ms=1"] {
        let head = connection.send(Request::new(Method::HEAD, path)).await;
        assert_eq!(
            (head.status().as_u16(), head.bytes()),
            (200, &b""[..]),
            "{path}"
        );
    }
    let empty = connection.get("/stream?chunks=3&code=204").await;
    assert_eq!((empty.status().as_u16(), empty.bytes()), (204, &b""[..]));
    assert_eq!(connection.get("/counter").await.ok(), "1\n");
    for event in node.log().json() {
        assert!(event["error"].is_null(), "{event}");
    }
}
