//! What a call of a handler looks like: one message as the body of a request, or a batch as JSON. And the port behind which
//! functions are called. Pure but for that.

use std::pin::Pin;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use everwarm_manifest::triggers::CallPath;
use everwarm_manifest::{AppName, FunctionName, TenantId};
use everwarm_store::triggers::{DeliveryId, Leased, Trigger, TriggerId};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

/// Says which trigger calls: `queue/<name>` or `schedule/<name>`. As all of `everwarm-*`, it never comes in from outside.
pub const TRIGGER: HeaderName = HeaderName::from_static("everwarm-trigger");
/// Names the message, the same at each of its deliveries.
pub const DELIVERY_ID: HeaderName = HeaderName::from_static("everwarm-delivery-id");
/// The how manieth delivery it is, from 1 on.
pub const ATTEMPT: HeaderName = HeaderName::from_static("everwarm-attempt");
/// When the message was sent, in milliseconds since 1970 UTC.
pub const SENT_AT: HeaderName = HeaderName::from_static("everwarm-sent-at");
/// The moment that a schedule's run is for, in milliseconds since 1970 UTC.
pub const SCHEDULED_AT: HeaderName = HeaderName::from_static("everwarm-scheduled-at");
/// The trace that the message is a part of (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What a body is where the sender didn't say.
const CONTENT_TYPE_DEFAULT: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// What a batch is.
const CONTENT_TYPE_BATCH: HeaderValue = HeaderValue::from_static("application/json");

/// A call of a function.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whose app.
    pub tenant: TenantId,
    /// The app.
    pub app: AppName,
    /// Which of its functions.
    pub function: FunctionName,
    /// The path that is asked for, with POST.
    pub path: CallPath,
    /// Fields of the request. Those of `everwarm-*` are the node's own words.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: Bytes,
    /// When an answer is of no use any more.
    pub deadline: Instant,
}

/// What a function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// When it wants to be asked again, as in `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The body, if it is JSON and not too large.
    pub json: Option<Bytes>,
}

/// Why a function didn't answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// It wasn't asked: it, its tenant or the node has as much to do as it may. It may be asked soon.
    NotNow,
    /// It is the version's no more, or its answer broke off.
    Failed(String),
}

/// What comes of a call.
pub type CallFuture = Pin<Box<dyn Future<Output = Result<Answer, CallError>> + Send>>;

/// Calls functions of the version that serves.
pub trait Caller: Send + Sync {
    /// Calls one. Dropping the future gives the call up, and its function with it.
    fn call(&self, call: Call) -> CallFuture;
}

/// `queue/<name>` or `schedule/<name>`.
fn told(trigger: &Trigger) -> String {
    format!("{}/{}", trigger.kind(), trigger.name())
}

/// The fields and the body of the call that delivers a message.
pub fn single(of: &TriggerId, message: &Leased) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    let mut say = |name: HeaderName, value: String| {
        // Names and numbers have no character that a field can't have.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    say(TRIGGER, told(&of.trigger));
    say(DELIVERY_ID, DeliveryId(&of.trigger, message.id).to_string());
    say(ATTEMPT, message.attempt.to_string());
    say(SENT_AT, message.sent.0.to_string());
    let content = &message.content;
    if let Some(scheduled) = content.scheduled {
        say(SCHEDULED_AT, scheduled.0.to_string());
    }
    if let Some(trace) = &content.trace {
        say(TRACEPARENT, trace.clone());
    }
    let content_type = content.content_type.as_deref().map(HeaderValue::from_str);
    match content_type {
        Some(Ok(content_type)) => drop(headers.insert(header::CONTENT_TYPE, content_type)),
        _ if content.body.is_empty() => {}
        _ => drop(headers.insert(header::CONTENT_TYPE, CONTENT_TYPE_DEFAULT)),
    }
    (headers, content.body.clone())
}

/// The fields and the body of the call that delivers several messages.
pub fn batch(of: &TriggerId, messages: &[Leased]) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    let trigger = told(&of.trigger);
    if let Ok(value) = HeaderValue::try_from(&trigger) {
        headers.insert(TRIGGER, value);
    }
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE_BATCH);
    let batch = BatchJson {
        trigger: &trigger,
        messages: messages
            .iter()
            .map(|message| MessageJson::of(of, message))
            .collect(),
    };
    // Text, numbers and lists: there is nothing in it that JSON can't say.
    let body = serde_json::to_vec(&batch).unwrap_or_default();
    (headers, body.into())
}

#[derive(Serialize)]
struct BatchJson<'m> {
    trigger: &'m str,
    messages: Vec<MessageJson<'m>>,
}

#[derive(Serialize)]
struct MessageJson<'m> {
    id: String,
    attempt: u32,
    sent_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'m str>,
    /// What is text stays text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl<'m> MessageJson<'m> {
    fn of(of: &TriggerId, message: &'m Leased) -> Self {
        let content = &message.content;
        let text = std::str::from_utf8(&content.body).ok();
        Self {
            id: DeliveryId(&of.trigger, message.id).to_string(),
            attempt: message.attempt,
            sent_at: message.sent.0,
            content_type: content.content_type.as_deref(),
            traceparent: content.trace.as_deref(),
            body: text,
            body_base64: text
                .is_none()
                .then(|| BASE64_STANDARD.encode(&content.body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use everwarm_store::catalog::UnixMillis;
    use everwarm_store::triggers::{Content, MessageId, Receipt};

    use super::*;

    fn queue() -> TriggerId {
        TriggerId {
            tenant: TenantId::default_tenant(),
            app: "shop".parse().unwrap(),
            trigger: Trigger::Queue("mails".parse().unwrap()),
        }
    }

    fn message(id: u64, body: &'static [u8]) -> Leased {
        Leased {
            id: MessageId(id),
            receipt: Receipt(9),
            content: Content {
                body: body.into(),
                ..Content::default()
            },
            sent: UnixMillis(7),
            attempt: 2,
        }
    }

    fn shown(headers: &HeaderMap) -> Vec<String> {
        let shown = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut shown: Vec<String> = shown.collect();
        shown.sort();
        shown
    }

    #[test]
    fn single_message_is_the_body_of_the_call() {
        let mut message = message(0x2a, b"hello");
        let (headers, body) = single(&queue(), &message);
        assert_eq!(body, "hello");
        assert_eq!(
            shown(&headers),
            [
                "content-type: application/octet-stream",
                "everwarm-attempt: 2",
                "everwarm-delivery-id: mails-000000000000002a",
                "everwarm-sent-at: 7",
                "everwarm-trigger: queue/mails",
            ]
        );
        message.content.content_type = Some("text/plain".into());
        message.content.trace =
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
        message.content.scheduled = Some(UnixMillis(6));
        let headers = shown(&single(&queue(), &message).0);
        assert!(headers.contains(&"content-type: text/plain".to_owned()));
        assert!(headers.contains(&"everwarm-scheduled-at: 6".to_owned()));
        assert!(
            headers
                .iter()
                .any(|field| field.starts_with("traceparent: 00-"))
        );
    }

    #[test]
    fn content_type_that_is_no_field_is_not_said() {
        let mut message = message(1, b"x");
        message.content.content_type = Some("a\r\neverwarm-trigger: schedule/x".into());
        let (headers, _) = single(&queue(), &message);
        assert_eq!(headers[header::CONTENT_TYPE], "application/octet-stream");
        assert_eq!(headers[TRIGGER], "queue/mails");
    }

    #[test]
    fn batch_is_json_with_text_as_text_and_bytes_as_base64() {
        let (headers, body) = batch(&queue(), &[message(1, b"a \"b\""), message(2, b"\xff\x00")]);
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            r#"{"trigger":"queue/mails","messages":[{"id":"mails-0000000000000001","attempt":2,"sent_at":7,"body":"a \"b\""},{"id":"mails-0000000000000002","attempt":2,"sent_at":7,"body_base64":"/wA="}]}"#
        );
    }
}
