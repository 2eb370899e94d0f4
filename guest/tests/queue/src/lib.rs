//! Sends to queues what a test asks for, handles what queues and schedules bring, and writes each delivery down in the
//! key-value store `default`, under `<delivery id>/<attempt>`. What a message says is what becomes of it:
//!
//! - `fail`: 500 at each attempt; `fail-until-3`: 500 before the third
//! - `later`: 503 with `retry-after: 2`
//! - `trap`: the function panics
//! - `stall`: the function answers after ten seconds
//! - `send <queue> <text>`: sends the text to another queue
//! - all else: handled, after `STALL_MS` milliseconds if the environment says so
//!
//! `POST /send?<queue>` sends: a body of JSON is a list of `{"body", "content_type", "delay_ms", "bytes"}`. `GET /handled` lists
//! what was written down, as JSON: the key, and what was there. What the bench asks for is at `/fill`, `/count`, `/counted`,
//! `/tick` and `/late`.

use std::time::Duration;

use everwarm_sdk::http::{HeaderMap, Method, StatusCode};
use everwarm_sdk::kv::Store;
use everwarm_sdk::queue::{self, Batch, Delivery, Message, QueueError};
use everwarm_sdk::{
    Body, FromRequest as _, IntoResponse as _, Json, LazyRequest, Response, Result, sleep,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    body: String,
    /// The body has so many bytes besides.
    #[serde(default)]
    bytes: usize,
    content_type: Option<String>,
    #[serde(default)]
    delay_ms: u64,
}

impl From<Asked> for Message {
    fn from(asked: Asked) -> Self {
        let mut body = asked.body.into_bytes();
        body.resize(body.len() + asked.bytes, 0xff);
        let message = Message::new(body).after(Duration::from_millis(asked.delay_ms));
        match asked.content_type {
            Some(content_type) => message.content_type(content_type),
            None => message,
        }
    }
}

#[everwarm_sdk::http]
async fn handle(request: LazyRequest) -> Result {
    let path = request.path_and_query();
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    match (request.method(), path) {
        (Method::GET, "/hello") => Ok("Hello from Everwarm\n".into_response()),
        (Method::GET, "/handled") => handled().await,
        (Method::POST, "/send") => send(query, request).await,
        (Method::POST, "/batch") => batch(request).await,
        (Method::GET, "/fill") => fill().await,
        (Method::POST, "/count") => count(request).await,
        (Method::GET, "/counted") => counted("counted").await,
        (Method::POST, "/tick") => tick(request).await,
        (Method::GET, "/late") => counted("late").await,
        (Method::POST, _) => one(request).await,
        _ => Ok(StatusCode::NOT_FOUND.into_response()),
    }
}

async fn handled() -> Result {
    let store = Store::open("default")?;
    let mut all = serde_json::Map::new();
    let mut cursor = None;
    loop {
        let page = store.keys(cursor.as_deref()).await?;
        for key in page.keys {
            let said = store.get(&key).await?.unwrap_or_default();
            all.insert(key, String::from_utf8_lossy(&said).into());
        }
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(Json(all).into_response());
        }
    }
}

async fn send(queue: &str, request: LazyRequest) -> Result {
    let Json(asked) = Json::<Vec<Asked>>::from_request(request).await?;
    let messages: Vec<Message> = asked.into_iter().map(Message::from).collect();
    let answer = match queue::send_all(queue, &messages).await {
        Ok(ids) => json!({ "ids": ids }),
        Err(error) => {
            let kind = match error {
                QueueError::NoSuchQueue => "no-such-queue",
                QueueError::AccessDenied => "access-denied",
                QueueError::TooLarge(_) => "too-large",
                QueueError::Full(_) => "full",
                _ => "unavailable",
            };
            json!({ "error": kind, "said": error.to_string() })
        }
    };
    Ok(Json(answer).into_response())
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    let value = headers.get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or("-")
}

async fn one(request: LazyRequest) -> Result {
    let request = request.into_request();
    let headers = request.headers().clone();
    let path = request.uri().path().to_owned();
    let Some(delivery) = Delivery::of(&headers) else {
        return Ok(StatusCode::FORBIDDEN.into_response());
    };
    let text = request.into_body().bytes().await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let store = Store::open("default")?;
    let key = format!("{}/{}", delivery.id, delivery.attempt);
    let said = json!({
        "path": path,
        "body": text,
        "type": header(&headers, "content-type"),
        "scheduled": header(&headers, "everwarm-scheduled-at"),
        "trace": header(&headers, "traceparent"),
        "trigger": header(&headers, "everwarm-trigger"),
    });
    store.set_json(&key, &said).await?;
    // A schedule's runs have no text: their path says it.
    let words = match text.as_str() {
        "" => path.trim_start_matches('/'),
        text => text,
    };
    let mut words = words.split(' ');
    match words.next().unwrap_or_default() {
        "fail" => Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
        "fail-until-3" if delivery.attempt < 3 => Ok(StatusCode::BAD_GATEWAY.into_response()),
        "later" => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            let wait = everwarm_sdk::http::HeaderValue::from_static("2");
            response.headers_mut().insert("retry-after", wait);
            Ok(response)
        }
        "trap" => panic!("as asked"),
        "stall" => {
            sleep(Duration::from_secs(10)).await;
            Ok("late".into_response())
        }
        "send" => {
            let to = words.next().unwrap_or_default();
            let text = words.collect::<Vec<_>>().join(" ");
            queue::send(to, text).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => {
            let stall = std::env::var("STALL_MS").ok();
            if let Some(stall) = stall.and_then(|ms| ms.parse().ok()) {
                sleep(Duration::from_millis(stall)).await;
            }
            Ok(StatusCode::NO_CONTENT.into_response())
        }
    }
}

/// What the bench measures: a hundred messages of 100 bytes.
async fn fill() -> Result {
    let messages = vec![Message::new([b'x'; 100]); 100];
    queue::send_all("jobs", &messages).await?;
    Ok("Hello from Everwarm\n".into_response())
}

/// Counts the messages of a batch, and does nothing else.
async fn count(request: LazyRequest) -> Result {
    let batch = Batch::from_request(request).await?;
    let messages = i64::try_from(batch.messages.len()).unwrap_or(i64::MAX);
    Store::open("default")?
        .increment("counted", messages)
        .await?;
    Ok(batch.answer([]))
}

/// Writes down how late a run of a schedule is, in microseconds.
async fn tick(request: LazyRequest) -> Result {
    let delivery = Delivery::from_request(request).await?;
    let late = delivery.scheduled.and_then(|moment| moment.elapsed().ok());
    let late = late.unwrap_or_default().as_micros().to_string();
    let append = |list: Option<Vec<u8>>| {
        let mut list = list.unwrap_or_default();
        list.extend_from_slice(late.as_bytes());
        list.push(b'\n');
        list
    };
    Store::open("default")?.update("late", append).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn counted(key: &str) -> Result {
    let counted = Store::open("default")?.get(key).await?;
    Ok(counted.unwrap_or_default().into_response())
}

async fn batch(request: LazyRequest) -> Result {
    let batch = Batch::from_request(request).await?;
    let store = Store::open("default")?;
    let mut failed = Vec::new();
    for message in &batch.messages {
        let key = format!("{}/{}", message.id, message.attempt);
        let said = json!({
            "body": String::from_utf8_lossy(&message.body),
            "of": batch.messages.len(),
        });
        store.set_json(&key, &said).await?;
        if message.body.starts_with(b"fail") {
            failed.push(message);
        }
    }
    Ok(batch.answer(failed))
}
