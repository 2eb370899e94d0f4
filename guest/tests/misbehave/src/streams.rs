//! Bodies: large, slow, endless, cut short, with trailers, with a head that doesn't fit them, and refused by
//! a client that leaves.

use std::time::Duration;

use bytes::Bytes;
use everwarm_sdk::http::{HeaderMap, HeaderValue, header};
use everwarm_sdk::{Body, IntoResponse, Request, Response, sleep, sse};
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;

use crate::Query;

pub(crate) fn answer(path: &str, query: &Query, request: Request) -> Option<Response> {
    let bytes = query.number("bytes", 1 << 20);
    let chunks = query.number("chunks", 10);
    let mut response = match path {
        "/big-response" => vec![b'x'; bytes].into_response(),
        "/stream" => Response::new(repeated(chunks, bytes, Duration::ZERO)),
        "/slow-body" => Response::new(repeated(chunks, query.number("bytes", 5), query.ms(50))),
        "/half-body" => half_body(),
        "/short-body" => short_body(),
        "/sse" => ticks(chunks, query.ms(50)),
        "/slow-read" => slow_read(request, query.ms(50)),
        "/trailers" => trailers(),
        _ => return None,
    };
    // Heads that may not go with such a body.
    if let Some(Ok(status)) = query.get("code").map(str::parse) {
        *response.status_mut() = status;
    }
    if let Some(Ok(length)) = query.get("length").map(str::parse) {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length);
    }
    if let Some(Ok(kind)) = query.get("type").map(str::parse) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    Some(response)
}

/// Two pieces, and behind them what is known only then.
fn trailers() -> Response {
    let mut after = HeaderMap::new();
    after.insert("x-pieces", HeaderValue::from_static("2"));
    let frames = [
        Frame::data("one".into()),
        Frame::data("two".into()),
        Frame::trailers(after),
    ];
    let frames = stream::iter(frames.map(Ok::<Frame<Bytes>, std::io::Error>));
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    let names = HeaderValue::from_static("x-pieces");
    response.headers_mut().insert(header::TRAILER, names);
    response
}

fn repeated(chunks: usize, bytes: usize, pause: Duration) -> Body {
    let chunk = Bytes::from(vec![b'x'; bytes]);
    Body::from_stream(stream::unfold(0, move |sent| {
        let chunk = chunk.clone();
        async move {
            if sent == chunks {
                return None;
            }
            if !pause.is_zero() && sent > 0 {
                sleep(pause).await;
            }
            Some((Ok::<_, std::io::Error>(chunk), sent + 1))
        }
    }))
}

/// Says 100 bytes, sends 10, and breaks off.
fn half_body() -> Response {
    let parts = [Ok("0123456789"), Err("the guest was asked to break off")];
    let mut response = Response::new(Body::from_stream(stream::iter(parts)));
    let length = HeaderValue::from_static("100");
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    response
}

/// Says 100 bytes, sends 10, and ends as if that were all.
fn short_body() -> Response {
    let mut response = "0123456789".into_response();
    let length = HeaderValue::from_static("100");
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    response
}

fn ticks(count: usize, pause: Duration) -> Response {
    sse::response(stream::unfold(0, move |tick| async move {
        if tick == count {
            return None;
        }
        if tick > 0 {
            sleep(pause).await;
        }
        let event = sse::Event::data(tick.to_string()).with_event("tick");
        Some((event, tick + 1))
    }))
}

/// Reads the request's body a chunk a pause, and says how long it was when it has ended.
fn slow_read(request: Request, pause: Duration) -> Response {
    let body = request.into_body();
    let once = stream::once(async move {
        let mut body = body;
        let mut bytes = 0;
        while let Some(chunk) = body.chunk().await.transpose()? {
            bytes += chunk.len();
            sleep(pause).await;
        }
        Ok::<_, everwarm_sdk::BodyError>(format!("{bytes}\n"))
    });
    Response::new(Body::from_stream(once))
}
