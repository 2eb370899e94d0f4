//! The operations on what is kept of answers.

use http::Method;

use super::{APP, Body, Operation, Way, json, operation};
use crate::messages::{CachePurge, CachePurged, CacheUsage, Scope};

/// How much is kept?
pub const GET_CACHE: Operation = operation(
    "getCache",
    Way(&Method::GET, "/v1/apps/{app}/cache", Scope::Read),
    "Tells how much is kept of an app's answers on this node, and how often they were used",
    &[APP],
    Body::Nothing,
    json::<CacheUsage>(),
);

/// Purge.
pub const PURGE_CACHE: Operation = operation(
    "purgeCache",
    Way(&Method::POST, "/v1/apps/{app}/cache/purge", Scope::Deploy),
    "Forgets answers of an app: those of URLs, those with tags, or all. None that was asked for before is kept after it",
    &[APP],
    json::<CachePurge>(),
    json::<CachePurged>(),
);
