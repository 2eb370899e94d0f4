//! From an answer that is kept to the response to one request: the whole, a part, or that the client has it (RFC 9111,
//! section 4.3.2). Pure.

use std::time::Instant;

use bytes::Bytes;
use everwarm_cache::entry::Entry;
use everwarm_cache::freshness;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::Wanted;
use crate::assets::{Range, has_already, range};

/// A response without its books.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Fields about the content, of which a 304 has none.
static OF_THE_CONTENT: [HeaderName; 4] = [
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
];

pub(crate) fn reply(entry: &Entry, wanted: &Wanted, now: Instant) -> Reply {
    let mut headers = entry.headers.clone();
    headers.insert(header::AGE, entry.freshness.age(now).as_secs().into());
    let is_head = wanted.method == Method::HEAD;
    if entry.status == StatusCode::OK {
        if not_modified(&wanted.headers, &entry.headers) {
            for name in &OF_THE_CONTENT {
                headers.remove(name);
            }
            return Reply {
                status: StatusCode::NOT_MODIFIED,
                headers,
                body: Bytes::new(),
            };
        }
        if !is_head && wanted.headers.contains_key(header::RANGE) {
            return part(entry, wanted, headers);
        }
    }
    let body = if is_head {
        if !entry.body.is_empty() {
            headers.insert(header::CONTENT_LENGTH, entry.body.len().into());
        }
        Bytes::new()
    } else {
        entry.body.clone()
    };
    Reply {
        status: entry.status,
        headers,
        body,
    }
}

fn part(entry: &Entry, wanted: &Wanted, mut headers: HeaderMap) -> Reply {
    let length = entry.body.len();
    let etag = entry.headers.get(header::ETAG);
    let strong = etag.filter(|etag| etag.as_bytes().starts_with(b"\""));
    let (status, body, told) = match range(&wanted.headers, strong, length as u64) {
        Range::Whole => (StatusCode::OK, entry.body.clone(), None),
        Range::Part(first, last) => {
            // Neither is larger than what is in memory.
            let at = |byte: u64| usize::try_from(byte).unwrap_or(0).min(length);
            let body = entry.body.slice(at(first)..at(last.saturating_add(1)));
            let told = format!("bytes {first}-{last}/{length}");
            (StatusCode::PARTIAL_CONTENT, body, Some(told))
        }
        Range::None => {
            let told = format!("bytes */{length}");
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            (status, Bytes::new(), Some(told))
        }
    };
    if let Some(told) = told.and_then(|told| HeaderValue::try_from(told).ok()) {
        headers.insert(header::CONTENT_RANGE, told);
        headers.insert(header::CONTENT_LENGTH, body.len().into());
    }
    Reply {
        status,
        headers,
        body,
    }
}

/// Whether the client has it (RFC 9110, section 13.2.2).
fn not_modified(asked: &HeaderMap, kept: &HeaderMap) -> bool {
    if asked.contains_key(header::IF_NONE_MATCH) {
        return has_already(asked, kept.get(header::ETAG));
    }
    let since = freshness::date(asked.get(header::IF_MODIFIED_SINCE));
    let modified = freshness::date(kept.get(header::LAST_MODIFIED));
    since
        .zip(modified)
        .is_some_and(|(since, modified)| modified <= since)
}
