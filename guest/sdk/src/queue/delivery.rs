//! What queues and schedules call a handler with: who calls, which delivery it is, and the messages of a batch.

use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Bytes, Error, FromRequest, IntoResponse as _, Json, LazyRequest, Response};

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// The queue of that name.
    Queue(String),
    /// The schedule of that name.
    Schedule(String),
}

impl Trigger {
    fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        match kind {
            "queue" => Some(Self::Queue(name.to_owned())),
            "schedule" => Some(Self::Schedule(name.to_owned())),
            _ => None,
        }
    }
}

/// One delivery of one message, as its request's headers say. The host removes such headers from every other request: who
/// has a `Delivery` was called by a queue or a schedule of the app.
///
/// As a handler's argument it refuses all other requests with 404.
///
/// ```
/// use everwarm_sdk::queue::Delivery;
///
/// #[everwarm_sdk::http]
/// async fn nightly(delivery: Delivery) -> String {
///     format!("{} for the {}. time", delivery.id, delivery.attempt)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Who calls.
    pub trigger: Trigger,
    /// Names the message, the same at each delivery: what was done under it already needn't be done again.
    pub id: String,
    /// The how manieth delivery this is, from 1 on.
    pub attempt: u32,
    /// When the message was sent.
    pub sent: SystemTime,
    /// The moment that a schedule's run is for.
    pub scheduled: Option<SystemTime>,
}

impl Delivery {
    /// The delivery that a request is, if it is one of a single message.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let time = |name: &str| text(name)?.parse().ok().map(moment);
        Some(Self {
            trigger: Trigger::parse(text("everwarm-trigger")?)?,
            id: text("everwarm-delivery-id")?.to_owned(),
            attempt: text("everwarm-attempt")?.parse().ok()?,
            sent: time("everwarm-sent-at")?,
            scheduled: time("everwarm-scheduled-at"),
        })
    }
}

fn moment(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

fn no_trigger() -> Error {
    Error::new(StatusCode::NOT_FOUND).with_detail("queues and schedules alone call this")
}

impl FromRequest for Delivery {
    async fn from_request(request: LazyRequest) -> Result<Self, Error> {
        Self::of(&request.headers()).ok_or_else(no_trigger)
    }
}

/// The messages of one call, where the queue's `batch` is more than 1.
///
/// As a handler's argument it refuses requests that no queue sent with 404.
///
/// ```
/// use everwarm_sdk::queue::Batch;
/// use everwarm_sdk::Response;
///
/// #[everwarm_sdk::http]
/// async fn mails(batch: Batch) -> Response {
///     let mut failed = Vec::new();
///     for message in &batch.messages {
///         if message.json::<String>().is_err() {
///             failed.push(message);
///         }
///     }
///     batch.answer(failed)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Who calls.
    pub trigger: Trigger,
    /// The messages, the longest due first.
    pub messages: Vec<BatchMessage>,
}

/// A message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchMessage {
    /// As [`Delivery::id`].
    pub id: String,
    /// As [`Delivery::attempt`].
    pub attempt: u32,
    /// As [`Delivery::sent`].
    pub sent: SystemTime,
    /// What the body is, if the sender said so.
    pub content_type: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl BatchMessage {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.body)
    }
}

impl Batch {
    /// The answer that acknowledges all messages but these, which are delivered again.
    pub fn answer<'m>(&self, failed: impl IntoIterator<Item = &'m BatchMessage>) -> Response {
        let failed: Vec<&str> = failed.into_iter().map(|message| &*message.id).collect();
        Json(serde_json::json!({ "failed": failed })).into_response()
    }
}

/// A message as the host writes it.
fn message(json: &Value) -> Option<BatchMessage> {
    let text = |key: &str| json.get(key).and_then(Value::as_str);
    let body = match (text("body"), text("body_base64")) {
        (Some(text), _) => Bytes::copy_from_slice(text.as_bytes()),
        (None, Some(text)) => BASE64_STANDARD.decode(text).ok()?.into(),
        (None, None) => Bytes::new(),
    };
    Some(BatchMessage {
        id: text("id")?.to_owned(),
        attempt: u32::try_from(json.get("attempt")?.as_u64()?).ok()?,
        sent: moment(json.get("sent_at")?.as_u64()?),
        content_type: text("content_type").map(str::to_owned),
        body,
    })
}

/// A batch as the host writes it.
fn batch(json: &Value) -> Option<Batch> {
    let messages = json.get("messages")?.as_array()?.iter().map(message);
    Some(Batch {
        trigger: Trigger::parse(json.get("trigger")?.as_str()?)?,
        messages: messages.collect::<Option<_>>()?,
    })
}

impl FromRequest for Batch {
    async fn from_request(request: LazyRequest) -> Result<Self, Error> {
        if !request.headers().contains_key("everwarm-trigger") {
            return Err(no_trigger());
        }
        let Json(json) = Json::<Value>::from_request(request).await?;
        batch(&json).ok_or_else(|| {
            Error::bad_request("this is one message alone: the queue's `batch` has to be 2 or more")
        })
    }
}
