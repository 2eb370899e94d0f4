//! How an operation says that it failed: problem details (RFC 9457) with a stable code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the pages on error codes are.
pub const ERROR_PAGES: &str = "https://everwarm.dev/errors/";

/// The media type of a [`Problem`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The page on this kind of error.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of error, in a few words.
    pub title: String,
    /// The status, as in the response's head.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What happened, where, and what to do.
    pub detail: String,
    /// The stable code: `EW` and four digits.
    pub code: String,
    /// Names the request in the node's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Of a deploy: the stage that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// What else a newer node may say.
    #[serde(flatten)]
    #[schema(ignore)]
    pub more: BTreeMap<String, serde_json::Value>,
}

impl Problem {
    /// A problem with a code of its own page.
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{ERROR_PAGES}{code}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            request_id: None,
            stage: None,
            more: BTreeMap::new(),
        }
    }
}
