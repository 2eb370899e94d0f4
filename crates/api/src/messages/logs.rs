//! What functions printed, and their access lines.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// When it was written, in milliseconds since 1970.
    pub at_ms: u64,
    /// `stdout`, `stderr`, `log`: a message by `wasi:logging`, `node`: what the node says of the function, or `access`: a request that is over.
    pub source: String,
    /// The function.
    pub function: String,
    /// Its version.
    pub version: String,
    /// The request that a function wrote it for. Absent where an instance works on several; that of an access line is in its
    /// text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The trace that the request is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// How much a message matters: `trace`, `debug`, `info`, `warn`, `error` or `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// The context of a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The line; that of a request may have further lines on what its function failed with.
    pub text: String,
}

/// Lines, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// The lines.
    pub items: Vec<LogLine>,
    /// What to ask for `after` to read on. Absent: nothing was written yet.
    pub next: Option<String>,
    /// Lines after `after` that aren't kept any more.
    pub missed: u64,
}

/// Which lines are asked for. Without `after`, the newest.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// The `next` of the page before.
    pub after: Option<String>,
    /// How many at most.
    pub limit: Option<u32>,
    /// Of this version, or of those whose digest begins so.
    pub version: Option<String>,
    /// Of this function.
    pub function: Option<String>,
    /// From this time on, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Seconds to wait for a line where there is none.
    pub wait_s: Option<u64>,
}
