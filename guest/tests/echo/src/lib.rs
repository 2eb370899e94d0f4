//! Answers with what was asked. `/head` lists the request's head, `/count` reads the body and says
//! how long it was, `/trailers` lists what came behind it, `/ignore` leaves it unread; any other path streams
//! the body back as it comes.

use everwarm_sdk::http::HeaderValue;
use everwarm_sdk::{IntoResponse, Request, Response, Result};
use http_body_util::BodyExt as _;

#[everwarm_sdk::http]
async fn echo(request: Request) -> Result {
    match request.uri().path() {
        "/head" => Ok(head(&request).into_response()),
        "/count" => count(request).await,
        "/trailers" => trailers(request).await,
        "/ignore" => Ok("ignored\n".into_response()),
        _ => Ok(stream(request)),
    }
}

/// A line for the method, the path and each header, in the order in which the host gave them.
fn head(request: &Request) -> String {
    let mut lines = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        lines.push_str(&[name.as_str(), ": ", &value, "\n"].concat());
    }
    lines
}

async fn count(request: Request) -> Result {
    let mut body = request.into_body();
    let (mut bytes, mut chunks) = (0, 0);
    while let Some(chunk) = body.chunk().await.transpose()? {
        bytes += chunk.len();
        chunks += 1;
    }
    let mut response = format!("{bytes}\n").into_response();
    response
        .headers_mut()
        .insert("x-chunks", HeaderValue::from(chunks));
    Ok(response)
}

async fn trailers(request: Request) -> Result {
    let body = request.into_body().collect().await?;
    let mut lines = String::new();
    for (name, value) in body.trailers().into_iter().flatten() {
        let value = String::from_utf8_lossy(value.as_bytes());
        lines.push_str(&[name.as_str(), ": ", &value, "\n"].concat());
    }
    lines.push_str(&String::from_utf8_lossy(&body.to_bytes()));
    Ok(lines.into_response())
}

fn stream(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = Response::new(body);
    // HTTP/1.1 passes no trailers on but those that the head names.
    for name in ["content-type", "trailer"] {
        if let Some(value) = parts.headers.get(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}
