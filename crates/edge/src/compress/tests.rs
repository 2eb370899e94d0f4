//! Which responses are compressed, and that what was compressed is what was given.

use std::io::Read as _;

use http_body_util::BodyExt as _;
use proptest::prelude::*;

use super::*;

fn wish(accepts: &str, rule: Compress) -> Wish {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_str(accepts).unwrap(),
    );
    Wish::of(&headers, rule, false)
}

fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes)
            .read_to_end(&mut whole)
            .unwrap(),
        "br" => brotli::Decompressor::new(bytes, 4_096)
            .read_to_end(&mut whole)
            .unwrap(),
        "zstd" => zstd::stream::read::Decoder::new(bytes)
            .unwrap()
            .read_to_end(&mut whole)
            .unwrap(),
        other => panic!("`{other}` is no coding"),
    };
    whole
}

fn answer(status: u16, fields: &[(&'static str, &str)], body: Vec<u8>) -> Response<GuestBody> {
    let mut answer = Response::new(GuestBody::full(body.into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        answer
            .headers_mut()
            .append(*name, HeaderValue::from_str(value).unwrap());
    }
    answer
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// The response's head, and its body as it was sent.
async fn sent(answer: Response<GuestBody>, wish: Wish) -> (HeaderMap, Vec<u8>) {
    let (parts, body) = response(answer, wish).await.into_parts();
    (
        parts.headers,
        body.collect().await.unwrap().to_bytes().to_vec(),
    )
}

#[tokio::test]
async fn body_is_the_same_in_every_coding() {
    let text = "{\"a\": 1}, ".repeat(5_000).into_bytes();
    for coding in ["gzip", "br", "zstd"] {
        let tagged = answer(
            200,
            &[
                JSON,
                ("etag", "\"v1\""),
                ("accept-ranges", "bytes"),
                ("content-length", "50000"),
            ],
            text.clone(),
        );
        let (headers, body) = sent(tagged, wish(coding, Compress::Whole)).await;
        assert_eq!(headers["content-encoding"], coding);
        assert_eq!(headers["vary"], "accept-encoding");
        assert_eq!(headers["etag"], "W/\"v1\"");
        assert_eq!(headers["content-length"], body.len().to_string());
        assert!(!headers.contains_key("accept-ranges"));
        assert!(body.len() < text.len() / 20);
        assert_eq!(decoded(coding, &body), text);
    }
}

#[tokio::test]
async fn what_is_not_worth_it_or_forbidden_is_sent_as_it_is() {
    let text = || "x".repeat(2_000).into_bytes();
    let cases = [
        answer(200, &[("content-type", "image/png")], text()),
        answer(200, &[], text()),
        answer(200, &[JSON], "x".repeat(1_023).into_bytes()),
        answer(200, &[JSON, ("content-encoding", "identity")], text()),
        answer(
            200,
            &[JSON, ("cache-control", "public, No-Transform")],
            text(),
        ),
        answer(206, &[JSON], text()),
        answer(200, &[JSON, ("content-range", "bytes 0-1999/9000")], text()),
        answer(200, &[JSON, ("repr-digest", "sha-256=:x:")], text()),
    ];
    for case in cases {
        let shown = format!("{:?} {:?}", case.status(), case.headers());
        let encoding = case.headers().get("content-encoding").cloned();
        let (headers, body) = sent(case, wish("gzip", Compress::Whole)).await;
        assert_eq!(
            headers.get("content-encoding"),
            encoding.as_ref(),
            "{shown}"
        );
        assert!(body.iter().all(|byte| *byte == b'x'), "{shown}");
        assert!(!headers.contains_key("vary"), "{shown}");
    }
    for (accepts, rule, vary) in [
        ("identity", Compress::Whole, true),
        ("gzip", Compress::Never, false),
    ] {
        let (headers, body) = sent(answer(200, &[JSON], text()), wish(accepts, rule)).await;
        assert_eq!((headers.contains_key("vary"), body.len()), (vary, 2_000));
    }
}

#[tokio::test]
async fn answer_to_head_says_what_that_to_get_would() {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let head = Wish::of(&headers, Compress::Whole, true);
    let (headers, body) = sent(
        answer(200, &[JSON, ("content-length", "5000")], Vec::new()),
        head,
    )
    .await;
    assert_eq!(
        (headers["content-encoding"].as_bytes(), body.len()),
        (&b"gzip"[..], 0)
    );
    assert!(!headers.contains_key("content-length"));
    let (headers, _) = sent(
        answer(200, &[JSON, ("content-length", "5")], Vec::new()),
        head,
    )
    .await;
    assert_eq!(headers["content-length"], "5");
    assert!(!headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn vary_of_the_function_is_kept() {
    for (said, expected) in [("origin", 2), ("Accept-Encoding, origin", 1), ("*", 1)] {
        let text = answer(200, &[JSON, ("vary", said)], vec![b'x'; 2_000]);
        let (headers, _) = sent(text, wish("gzip", Compress::Whole)).await;
        assert_eq!(headers.get_all("vary").iter().count(), expected, "{said}");
    }
}

proptest! {
    #[test]
    fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..40_000), flushes in any::<bool>()) {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, None).unwrap();
            let mut compressed = Vec::new();
            for piece in bytes.chunks(7_000) {
                encoder.take(piece).unwrap();
                if flushes {
                    encoder.flush().unwrap();
                    compressed.extend(encoder.output());
                }
            }
            encoder.finish(&mut compressed).unwrap();
            prop_assert_eq!(decoded(coding.as_str(), &compressed), bytes.clone());
        }
    }
}
