//! From an answer that is kept to the response to one request: the whole, a part, or that the client has it (RFC 9111,
//! section 4.3.2). Pure.

use std::ops::Range as Bytes;
use std::time::Instant;

use everwarm_cache::entry::Entry;
use everwarm_cache::freshness;
use everwarm_cache::status;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::assets::{Range, has_already, range};

/// A response without its books.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Which bytes of the content it has.
    pub(crate) bytes: Bytes<u64>,
    /// Whether it is the content as it is, and no part.
    pub(crate) is_whole: bool,
}

/// Fields about the content, of which a 304 has none.
static OF_THE_CONTENT: [HeaderName; 4] = [
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
];

/// What a request of this method and with these fields gets of an answer whose content is so long.
pub(crate) fn reply(
    entry: &Entry,
    length: u64,
    (method, asked): (&Method, &HeaderMap),
    now: Instant,
) -> Reply {
    let mut headers = entry.headers.clone();
    headers.insert(header::AGE, status::age(entry.freshness.age(now)));
    let is_head = *method == Method::HEAD;
    if entry.status == StatusCode::OK {
        if not_modified(asked, &entry.headers) {
            for name in &OF_THE_CONTENT {
                headers.remove(name);
            }
            return Reply {
                status: StatusCode::NOT_MODIFIED,
                headers,
                bytes: 0..0,
                is_whole: false,
            };
        }
        if !is_head && asked.contains_key(header::RANGE) {
            return part(entry, length, asked, headers);
        }
    }
    if is_head && length > 0 {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Reply {
        status: entry.status,
        headers,
        bytes: if is_head { 0..0 } else { 0..length },
        is_whole: !is_head,
    }
}

fn part(entry: &Entry, length: u64, asked: &HeaderMap, mut headers: HeaderMap) -> Reply {
    let etag = entry.headers.get(header::ETAG);
    let strong = etag.filter(|etag| etag.as_bytes().starts_with(b"\""));
    let (status, bytes, told) = match range(asked, strong, length) {
        Range::Whole => (StatusCode::OK, 0..length, None),
        Range::Part(first, last) => {
            let bytes = first..last.saturating_add(1).min(length);
            let told = format!("bytes {first}-{last}/{length}");
            (StatusCode::PARTIAL_CONTENT, bytes, Some(told))
        }
        Range::None => {
            let told = format!("bytes */{length}");
            (StatusCode::RANGE_NOT_SATISFIABLE, 0..0, Some(told))
        }
    };
    if let Some(told) = told.and_then(|told| HeaderValue::try_from(told).ok()) {
        headers.insert(header::CONTENT_RANGE, told);
        headers.insert(header::CONTENT_LENGTH, (bytes.end - bytes.start).into());
    }
    Reply {
        is_whole: status == StatusCode::OK,
        status,
        headers,
        bytes,
    }
}

/// Whether the client has it (RFC 9110, section 13.2.2).
fn not_modified(asked: &HeaderMap, kept: &HeaderMap) -> bool {
    if asked.contains_key(header::IF_NONE_MATCH) {
        return has_already(asked, kept.get(header::ETAG));
    }
    // Dates are read only where one was sent.
    let Some(since) = freshness::date(asked.get(header::IF_MODIFIED_SINCE)) else {
        return false;
    };
    let modified = freshness::date(kept.get(header::LAST_MODIFIED));
    modified.is_some_and(|modified| modified <= since)
}
