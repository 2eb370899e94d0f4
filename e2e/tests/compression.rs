//! Responses that are compressed for clients that take it, and those that aren't.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read as _;

use everwarm_e2e::{App, Reply, Request, World, both_worlds};
use http::Method;

/// A request whose answer lists its head, and is long because of that.
fn long(accepts: &str) -> Request {
    let request = Request::get("/head").header("x-long", &"long ".repeat(2_000));
    request.header("accept-encoding", accepts)
}

/// The body as text, and how it was encoded.
fn decoded(reply: &Reply) -> (Option<&str>, String) {
    let encoding = reply.header("content-encoding");
    (encoding, decode(encoding, reply.bytes()))
}

fn decode(encoding: Option<&str>, bytes: &[u8]) -> String {
    let mut text = String::new();
    match encoding {
        None => return String::from_utf8(bytes.to_vec()).unwrap(),
        Some("gzip") => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        Some("br") => brotli::Decompressor::new(bytes, 4_096).read_to_string(&mut text),
        Some("zstd") => zstd::stream::read::Decoder::new(bytes)
            .unwrap()
            .read_to_string(&mut text),
        Some(other) => panic!("{other} is no coding that we have"),
    }
    .unwrap();
    text
}

both_worlds! {
    async fn text_comes_in_the_coding_that_the_client_likes_best(world: World) {
        let node = App::new("echo", world).start().await;
        for mut connection in [node.connect().await, node.connect_http2().await] {
            for (accepts, encoding) in [
                ("gzip, deflate, br, zstd", Some("zstd")),
                ("gzip, deflate, br", Some("br")),
                ("gzip", Some("gzip")),
                ("br;q=0.5, gzip", Some("gzip")),
                ("gzip;q=0", None),
                ("deflate", None),
            ] {
                let reply = connection.send(long(accepts)).await;
                let (used, text) = decoded(&reply);
                assert_eq!(used, encoding, "{accepts}");
                assert!(text.contains(&"long ".repeat(1_999)), "{accepts}");
                assert_eq!(reply.header("vary"), Some("accept-encoding"), "{accepts}");
                let length = reply.bytes().len();
                // A function may still be writing when its head goes out; then nobody knows the length.
                let said = reply.header("content-length");
                assert!(said.is_none_or(|said| *said == length.to_string()), "{said:?}");
                assert!((length < 1_000) == encoding.is_some(), "{accepts}: {length}");
            }
            let short = connection.send(Request::get("/count").header("accept-encoding", "gzip")).await;
            assert_eq!((short.header("content-encoding"), short.header("vary")), (None, None));
        }
    }

    async fn answer_to_head_has_the_fields_of_that_to_get(world: World) {
        let node = App::new("echo", world).start().await;
        let head = Request::new(Method::HEAD, "/head").header("x-long", &"long ".repeat(2_000));
        let reply = node.send(head.header("accept-encoding", "gzip")).await;
        assert_eq!((reply.header("content-encoding"), reply.bytes()), (Some("gzip"), &b""[..]));
        assert_eq!((reply.header("vary"), reply.header("content-length")), (Some("accept-encoding"), None));
    }

    async fn function_says_that_nothing_is_compressed(world: World) {
        let node = App::new("echo", world).key("compress = \"never\"").start().await;
        let reply = node.send(long("gzip")).await;
        assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, None));
    }

    async fn stream_is_compressed_piece_by_piece_where_the_function_asks(world: World) {
        for (rule, expected) in [("whole", None), ("streams", Some("gzip")), ("streams", Some("br")), ("streams", Some("zstd"))] {
            let node = App::new("echo", world).key(&format!("compress = {rule:?}")).start().await;
            let (request, sender) = Request::stream("/echo");
            let request = request.header("content-type", "text/event-stream");
            let request = request.header("accept-encoding", expected.unwrap_or("gzip"));
            let mut connection = node.connect().await;
            let response = connection.begin(request);
            let mut seen = Vec::new();
            sender.send("data: first\n\n").await.unwrap();
            let mut open = everwarm_e2e::reply::Open::of(response.await.unwrap());
            // Each comes before the next was sent.
            for event in ["first", "second", "third"] {
                if event != "first" {
                    sender.send(format!("data: {event}\n\n")).await.unwrap();
                }
                while !readable(expected, &seen).contains(event) {
                    seen.extend(open.chunk().await.unwrap().unwrap());
                }
            }
            drop(sender);
            let reply = open.read().await;
            assert_eq!(reply.header("content-encoding"), expected);
            seen.extend(reply.bytes());
            assert_eq!(decode(expected, &seen), "data: first\n\ndata: second\n\ndata: third\n\n");
        }
    }

    async fn large_body_of_a_known_length_is_compressed_on_its_way(world: World) {
        let node = App::new("misbehave", world).limit("cpu_time", "10s").start().await;
        let path = "/stream?chunks=100&bytes=20000&length=2000000&type=text/plain";
        for accepts in ["gzip", "br", "zstd"] {
            for mut connection in [node.connect().await, node.connect_http2().await] {
                let reply = connection.send(Request::get(path).header("accept-encoding", accepts)).await;
                let (used, text) = decoded(&reply);
                assert_eq!((used, text.len()), (Some(accepts), 2_000_000));
                assert!(reply.bytes().len() < 100_000 && reply.header("content-length").is_none());
                let counter = connection.get("/counter").await;
                assert_eq!(counter.ok(), "0\n", "the connection is in step");
            }
        }
        // What breaks off isn't taken for whole.
        let path = "/stream?chunks=10&bytes=20000&length=2000000&type=text/plain";
        let reply = node.send(Request::get(path).header("accept-encoding", "gzip")).await;
        assert!(reply.is_broken() || reply.status() == 502, "{reply:?}");
        // What a part is stays one.
        let path = "/big-response?bytes=5000&code=206&type=text/plain";
        let reply = node.send(Request::get(path).header("accept-encoding", "gzip")).await;
        assert_eq!((reply.header("content-encoding"), reply.bytes().len()), (None, 5_000));
    }
}

/// What a client can read of a body that isn't complete.
fn readable(encoding: Option<&str>, bytes: &[u8]) -> String {
    let mut text = Vec::new();
    // It ends with an error, since the end is missing; what comes before is there.
    let _ = match encoding {
        Some("gzip") => flate2::read::GzDecoder::new(bytes).read_to_end(&mut text),
        Some("br") => brotli::Decompressor::new(bytes, 4_096).read_to_end(&mut text),
        Some("zstd") => zstd::stream::read::Decoder::new(bytes)
            .unwrap()
            .read_to_end(&mut text),
        _ => (&bytes[..]).read_to_end(&mut text),
    };
    String::from_utf8_lossy(&text).into_owned()
}
