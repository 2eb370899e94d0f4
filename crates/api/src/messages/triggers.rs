//! Queues and schedules of apps: how they stand, and their messages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Base64;

/// Bytes of a message's body.
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Messages that can be named at once.
pub const MESSAGES_MAX: usize = 100;

/// What a trigger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TriggerKind {
    /// Messages that functions send.
    Queue,
    /// A cron line.
    Schedule,
}

impl TriggerKind {
    /// The word for it in paths and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Schedule => "schedule",
        }
    }
}

/// A queue or a schedule, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriggerInfo {
    /// What it is.
    pub kind: TriggerKind,
    /// Its name.
    pub name: String,
    /// The function that it calls; empty when it isn't declared.
    pub function: String,
    /// The path that it calls; empty when it isn't declared.
    pub path: String,
    /// Whether what serves of the app doesn't declare it any more: nobody takes what it keeps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undeclared: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// Messages that are due.
    pub due: u64,
    /// Messages that aren't due yet.
    pub delayed: u64,
    /// Messages that are being delivered.
    pub leased: u64,
    /// Messages that failed too often.
    pub dead: u64,
    /// Bytes of all messages' bodies.
    pub bytes: u64,
    /// When the oldest message was sent that waits or is being delivered, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<u64>,
    /// A schedule's cron line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The time zone of the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// When a schedule is due next, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<u64>,
}

/// Queues, then schedules, each in the manifest's order; then those that keep messages and aren't in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriggerPage {
    /// All of them.
    pub items: Vec<TriggerInfo>,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// It waits until `until_ms`.
    Waits,
    /// It is being delivered, until `until_ms` at most.
    Leased,
    /// It failed too often, at `until_ms`.
    Dead,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Its delivery id.
    pub id: String,
    /// Where it is.
    pub state: MessageState,
    /// Until when, or since when, in milliseconds since 1970.
    pub until_ms: u64,
    /// How often it was delivered.
    pub attempts: u32,
    /// When it was sent, in milliseconds since 1970.
    pub sent_ms: u64,
    /// The moment that a schedule's run is for, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_ms: Option<u64>,
    /// Why the last delivery failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the body is, if the sender said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body as Base64.
    #[schema(value_type = String, format = Byte)]
    pub body: Base64,
}

/// Messages in the order of sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessagePage {
    /// What is on this page.
    pub items: Vec<Message>,
    /// The value of `after` that asks for the next page. Absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SentMessage {
    /// Its delivery id.
    pub id: String,
}

/// Which dead messages are tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Their delivery ids, 100 at most. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
}

/// What was done to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// How many there were.
    pub messages: u64,
}
