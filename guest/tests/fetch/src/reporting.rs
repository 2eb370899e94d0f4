//! Requests of which is said what came of them.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_sdk::http::{HeaderMap, HeaderValue, Uri, header};
use everwarm_sdk::{
    Body, BodyError, IntoResponse as _, Request, Response, Result, SendError, SendOptions, send,
    send_with, sleep,
};
use futures_util::future::join_all;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use crate::query::Query;

/// How long a request is on its way before something happens to it, where the test says nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// The report of a send that failed.
pub(crate) fn failure(error: &SendError) -> String {
    format!("{:?}\n{error}\n", error.kind())
}

/// The report of a send whose body nobody reads.
fn head(sent: Result<Response, SendError>) -> Response {
    let report = match sent {
        Ok(response) => format!("ok {}\n", response.status().as_u16()),
        Err(error) => failure(&error),
    };
    report.into_response()
}

/// The report of a send whose body is read.
async fn whole(sent: Result<Response, SendError>) -> String {
    let response = match sent {
        Ok(response) => response,
        Err(error) => return failure(&error),
    };
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(chunk) = body.chunk().await {
        match chunk {
            Ok(chunk) => bytes += chunk.len(),
            Err(error) => return broken(&error, bytes),
        }
    }
    format!("ok {status} {bytes}\n")
}

fn broken(error: &BodyError, bytes: usize) -> String {
    let report = match error.send_error() {
        Some(error) => failure(error),
        None => format!("none\n{error}\n"),
    };
    format!("{report}after {bytes} bytes\n")
}

/// This many at once, a report for each.
pub(crate) async fn many(url: Uri, n: u64) -> Result {
    let requests: Vec<Request<()>> = (0..n)
        .map(|_| Request::get(url.clone()).body(()))
        .collect::<Result<_, _>>()?;
    let sends = requests
        .into_iter()
        .map(|request| async { whole(send(request).await).await });
    Ok(join_all(sends).await.concat().into_response())
}

/// The response's body, and by this guest's clock how long it took to have it.
pub(crate) async fn timed(url: Uri) -> Result {
    let began = Instant::now();
    let mut body = send(Request::get(url).body(())?).await?.into_body();
    let mut read = Vec::new();
    while let Some(chunk) = body.chunk().await {
        read.extend_from_slice(&chunk?);
    }
    let took = began.elapsed();
    let mut response = read.into_response();
    let took = HeaderValue::from_str(&took.as_nanos().to_string())?;
    response.headers_mut().insert("x-took-ns", took);
    Ok(response)
}

pub(crate) async fn error(url: Uri) -> Result {
    Ok(head(send(Request::get(url).body(())?).await))
}

pub(crate) async fn timeouts(url: Uri, query: &Query) -> Result {
    let mut options = SendOptions::new();
    if let Some(time) = query.time("connect_ms") {
        options = options.with_connect_timeout(time);
    }
    if let Some(time) = query.time("first_byte_ms") {
        options = options.with_first_byte_timeout(time);
    }
    if let Some(time) = query.time("between_bytes_ms") {
        options = options.with_between_bytes_timeout(time);
    }
    let sent = send_with(Request::get(url).body(())?, options).await;
    Ok(whole(sent).await.into_response())
}

/// Gives a request up that was sent a while ago. `ms=0` gives it up at once.
pub(crate) async fn dropped(url: Uri, time: Option<Duration>) -> Result {
    let request = Request::get(url).body(())?;
    let sent = {
        let mut sending = pin!(send(request));
        let mut pause = pin!(sleep(time.unwrap_or(PAUSE)));
        let at_once = time.is_some_and(|time| time.is_zero());
        poll_fn(|context| {
            if let Poll::Ready(sent) = sending.as_mut().poll(context) {
                return Poll::Ready(Some(sent));
            }
            if at_once {
                return Poll::Ready(None);
            }
            pause.as_mut().poll(context).map(|()| None)
        })
        .await
    };
    Ok(sent.map_or_else(|| "dropped\n".into_response(), head))
}

/// Sends half a body, and then its source fails.
pub(crate) async fn body_error(url: Uri, time: Option<Duration>) -> Result {
    let pause = time.unwrap_or(PAUSE);
    let parts = stream::unfold(0, move |part| async move {
        match part {
            0 => Some((Ok("half of it"), 1)),
            1 => {
                sleep(pause).await;
                Some((Err("the guest was asked to break off"), 2))
            }
            _ => None,
        }
    });
    let request = Request::post(url).body(Body::from_stream(parts))?;
    Ok(head(send(request).await))
}

/// Sends trailers, and lists those that come back. The body that came with them follows.
pub(crate) async fn trailers(url: Uri) -> Result {
    let mut after = HeaderMap::new();
    after.insert("x-pieces", HeaderValue::from_static("2"));
    let frames = [
        Frame::data("one".into()),
        Frame::data("two".into()),
        Frame::trailers(after),
    ];
    let frames = stream::iter(frames.map(Ok::<Frame<Bytes>, std::io::Error>));
    let request = Request::post(url)
        .header(header::TRAILER, "x-pieces")
        .header(header::CONTENT_TYPE, "text/plain")
        .body(Body::new(StreamBody::new(frames)))?;
    let body = match send(request).await {
        Ok(response) => response.into_body().collect().await?,
        Err(error) => return Ok(failure(&error).into_response()),
    };
    let mut lines = String::new();
    for (name, value) in body.trailers().into_iter().flatten() {
        let value = String::from_utf8_lossy(value.as_bytes());
        lines.push_str(&[name.as_str(), ": ", &value, "\n"].concat());
    }
    lines.push_str(&String::from_utf8_lossy(&body.to_bytes()));
    Ok(lines.into_response())
}
