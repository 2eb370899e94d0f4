//! `Cache-Status` (RFC 9211): what the cache did with a request, in the words of the field. Pure.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::field::FieldText;
use crate::storable::NotKept;

/// The field.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a function was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The request is none that the cache answers.
    Bypass(&'static str),
    /// Its method is none that the cache answers.
    Method,
    /// Nothing is kept of it.
    Miss,
    /// The request asks for what is newer.
    Request,
    /// What is kept is stale.
    Stale,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The answer is kept, or will be when it is whole.
    Stored,
    /// It isn't.
    Not(NotKept),
    /// Nobody thought of it.
    Unasked,
}

/// How an answer that is kept came to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// The error that it stands in for.
    pub instead_of: Option<StatusCode>,
    /// It was waited for.
    pub collapsed: bool,
    /// It was read from the disk.
    pub read: bool,
}

/// Says that an answer was kept, in the place of what was said of it before, for how long it is fresh yet, and how it came to
/// be used.
pub fn hit(headers: &mut HeaderMap, ttl: i64, used: Used) {
    let mut text = FieldText::default();
    text.push(if used.collapsed {
        "everwarm; fwd=uri-miss; collapsed; ttl="
    } else {
        "everwarm; hit; ttl="
    });
    text.number(ttl);
    if let Some(status) = used.instead_of {
        text.push("; fwd-status=");
        text.push(status.as_str());
    }
    if used.read {
        text.push("; detail=disk");
    }
    headers.insert(CACHE_STATUS, text.value());
}

/// `Age` (RFC 9111, section 5.1).
pub fn age(age: Duration) -> HeaderValue {
    let mut text = FieldText::default();
    text.number(age.as_secs());
    text.value()
}

/// Says that a function was asked, and what it answered where that isn't what the client gets.
pub fn forwarded(headers: &mut HeaderMap, why: Forward, answered: Option<StatusCode>, kept: Kept) {
    let (word, detail) = match why {
        Forward::Bypass(detail) => ("bypass", Some(detail)),
        Forward::Method => ("method", None),
        Forward::Miss => ("uri-miss", None),
        Forward::Request => ("request", None),
        Forward::Stale => ("stale", None),
    };
    let mut text = String::with_capacity(64);
    text.push_str("everwarm; fwd=");
    text.push_str(word);
    if let Some(status) = answered {
        text.push_str("; fwd-status=");
        text.push_str(status.as_str());
    }
    let detail = match kept {
        Kept::Stored => {
            text.push_str("; stored");
            detail
        }
        Kept::Not(reason) => Some(reason.as_str()),
        Kept::Unasked => detail,
    };
    if let Some(detail) = detail {
        text.push_str("; detail=");
        text.push_str(detail);
    }
    append(headers, text);
}

fn append(headers: &mut HeaderMap, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.append(CACHE_STATUS, value);
    }
}
