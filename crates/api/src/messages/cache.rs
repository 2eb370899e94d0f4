//! What is kept of answers in front of an app's functions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most URLs and the most tags of one purge.
pub const PURGED_AT_ONCE_MAX: usize = 100;

/// How much is kept of an app, on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CacheUsage {
    /// Answers that are kept in memory.
    pub entries: u64,
    /// Bytes of memory that they take, about.
    pub bytes: u64,
    /// Answers on the disk, some of which are in memory too.
    pub disk_entries: u64,
    /// Bytes of the disk that they count for.
    pub disk_bytes: u64,
    /// Requests that were answered with them, since the node started.
    pub hits: u64,
    /// Those of them that one was read from the disk for.
    pub disk_hits: u64,
    /// Requests that functions were asked for although they may have had an answer here.
    pub misses: u64,
}

/// What is purged: at least one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CachePurge {
    /// All answers of these URLs, `http` and `https`, of all versions; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// All answers that have one of these tags; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// All answers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// What was purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CachePurged {
    /// How many answers.
    pub purged: u64,
}
