//! One answer that is kept, and those of one URL. Pure.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use parking_lot::Mutex;

use crate::freshness::Freshness;
use crate::key::{Id, Values};
use crate::status::CACHE_STATUS;

/// Answers of one URL: one more, and the oldest goes.
pub const VARIANTS_MAX: usize = 64;
/// What an answer takes besides what it has, about.
const OVERHEAD_BYTES: usize = 512;
/// What a field takes besides its name and its value: its places in a map, which has some to spare.
const FIELD_BYTES: usize = 160;
/// What a tag takes besides its text.
const TAG_OVERHEAD_BYTES: usize = 32;

/// Fields that are about one connection or one answer, and aren't kept (RFC 9111, section 3.1).
static OF_ONE_TIME: [HeaderName; 10] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::AGE,
    HeaderName::from_static("keep-alive"),
    SERVER_TIMING,
    CACHE_STATUS,
];

/// What each response that an answer is used for says of itself.
static OF_EACH_RESPONSE: [HeaderName; 3] = [
    header::AGE,
    CACHE_STATUS,
    HeaderName::from_static("x-request-id"),
];

/// The same of an answer of a function whose responses say it.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What a 304 says nothing new of (RFC 9111, section 3.2).
static OF_THE_CONTENT: [HeaderName; 4] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_RANGE,
];

/// Whose answer to what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The function of a version.
    pub function: Id,
    /// What the request had of the listed fields.
    pub values: Values,
}

/// An answer that is kept.
#[derive(Debug)]
pub struct Entry {
    /// Whose, and to what.
    pub variant: Variant,
    /// Its status.
    pub status: StatusCode,
    /// Its fields, with a date, and with empty ones for what each response says of itself.
    pub headers: HeaderMap,
    /// Its content.
    pub body: Bytes,
    /// How long it may be used.
    pub freshness: Freshness,
    /// What it is called by.
    pub tags: Box<[Box<str>]>,
    /// Its content for clients that take a coding.
    pub coded: Coded,
    /// The number of the file that it was read from.
    pub filed: Option<u64>,
}

/// Room for no coding, of a content that clients get in one all the same.
pub const NO_ROOM: usize = 1;

/// What was made of a content for clients that take a coding, so that it is made once. All of it together takes no more
/// than the room that was counted for it.
#[derive(Debug, Default)]
pub struct Coded {
    room: usize,
    made: Mutex<Vec<(&'static str, Bytes)>>,
}

impl Coded {
    /// With room for so many bytes.
    pub fn with_room(room: usize) -> Self {
        Self {
            room,
            made: Mutex::default(),
        }
    }

    /// Whether clients may get it in a coding.
    pub fn has_room(&self) -> bool {
        self.room > 0
    }

    /// What was made with this coding.
    pub fn get(&self, coding: &str) -> Option<Bytes> {
        let made = self.made.lock();
        let found = made.iter().find(|(name, _)| *name == coding);
        found.map(|(_, bytes)| bytes.clone())
    }

    /// Keeps what was made, if there is room.
    pub fn keep(&self, coding: &'static str, bytes: &Bytes) {
        // A copy: what was made may have room of its own behind it.
        let bytes = Bytes::copy_from_slice(bytes);
        let mut made = self.made.lock();
        let taken: usize = made.iter().map(|(_, bytes)| bytes.len()).sum();
        let is_new = made.iter().all(|(name, _)| *name != coding);
        if is_new && taken + bytes.len() <= self.room {
            made.push((coding, bytes));
        }
    }
}

impl Entry {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let fields: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES)
            .sum();
        let tags = self.tags.iter().map(|tag| tag.len() + TAG_OVERHEAD_BYTES);
        let tags: usize = tags.sum();
        OVERHEAD_BYTES
            + self.body.len()
            + self.coded.room
            + fields
            + tags
            + self.variant.values.len()
    }

    /// The fields of a request that asks whether it has changed. Empty when that can't be asked.
    pub fn conditions(&self) -> HeaderMap {
        let mut conditions = HeaderMap::new();
        if let Some(tag) = self.headers.get(header::ETAG) {
            conditions.insert(header::IF_NONE_MATCH, tag.clone());
        }
        if let Some(date) = self.headers.get(header::LAST_MODIFIED) {
            conditions.insert(header::IF_MODIFIED_SINCE, date.clone());
        }
        conditions
    }

    /// The fields that it has after a 304 with those (RFC 9111, section 3.2). `None` when the 304 is about another answer.
    pub fn updated(&self, not_modified: &HeaderMap) -> Option<HeaderMap> {
        if let Some(tag) = not_modified.get(header::ETAG)
            && let Some(own) = self.headers.get(header::ETAG)
            && strength_apart(tag.as_bytes()) != strength_apart(own.as_bytes())
        {
            return None;
        }
        let mut headers = self.headers.clone();
        for name in not_modified.keys() {
            if OF_THE_CONTENT.contains(name) {
                continue;
            }
            headers.remove(name);
            for value in not_modified.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        Some(headers)
    }
}

/// A tag without what says that it is weak.
pub fn strength_apart(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The fields of an answer that are kept of it, with a date if it has none (RFC 9110, section 6.6.1). Copies: a field may be
/// a part of a whole head.
pub fn prepare(headers: &HeaderMap, received_at: SystemTime, tells_timing: bool) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let is_kept = |name: &HeaderName| !OF_ONE_TIME.contains(name) && !named.contains(name);
    let more = OF_EACH_RESPONSE.len() + 2;
    let mut kept = HeaderMap::with_capacity(headers.len() + more);
    for (name, value) in headers.iter().filter(|(name, _)| is_kept(name)) {
        kept.append(own_name(name), own_value(value));
    }
    if !kept.contains_key(header::DATE)
        && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(received_at))
    {
        kept.insert(header::DATE, date);
    }
    // Places for what each response says of itself: to replace is quicker than to add.
    for name in OF_EACH_RESPONSE
        .iter()
        .chain(tells_timing.then_some(&SERVER_TIMING))
    {
        kept.insert(name, HeaderValue::from_static(""));
    }
    kept
}

/// Gives fields that an earlier process kept the places that responses have now.
pub fn fit(headers: &mut HeaderMap, tells_timing: bool) {
    if tells_timing {
        headers.insert(SERVER_TIMING, HeaderValue::from_static(""));
    } else {
        headers.remove(SERVER_TIMING);
    }
}

fn own_name(name: &HeaderName) -> HeaderName {
    // What was a name is one.
    HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone())
}

fn own_value(value: &HeaderValue) -> HeaderValue {
    let mut own = HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
    own.set_sensitive(value.is_sensitive());
    own
}

/// What is kept of one URL.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The one that was kept last is the last.
    entries: Vec<Arc<Entry>>,
}

impl Group {
    pub(crate) fn find(&self, function: Id, values: &Values) -> Option<&Arc<Entry>> {
        self.entries
            .iter()
            .find(|entry| entry.variant.function == function && entry.variant.values == *values)
    }

    /// Puts one in, unless there is one that was asked for later. The one that is there then.
    pub(crate) fn put(&mut self, entry: Arc<Entry>) -> Arc<Entry> {
        let Variant { function, values } = &entry.variant;
        if let Some(there) = self.find(*function, values)
            && there.freshness.is_later_than(&entry.freshness)
        {
            return Arc::clone(there);
        }
        self.remove(&entry.variant);
        if self.entries.len() >= VARIANTS_MAX {
            self.entries.remove(0);
        }
        self.entries.push(Arc::clone(&entry));
        entry
    }

    pub(crate) fn remove(&mut self, variant: &Variant) {
        self.entries.retain(|entry| entry.variant != *variant);
    }

    /// Takes some out. The files that they were read from.
    pub(crate) fn take(&mut self, mut is_it: impl FnMut(&Entry) -> bool) -> Vec<u64> {
        let mut filed = Vec::new();
        self.entries.retain(|entry| {
            let goes = is_it(entry);
            if goes {
                filed.extend(entry.filed);
            }
            !goes
        });
        filed
    }

    pub(crate) fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::control::Directives;
    use crate::freshness::Times;

    fn entry(fields: &[(&'static str, &'static str)]) -> Entry {
        let now = Instant::now();
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let times = Times {
            asked: now,
            received: now,
            received_at: SystemTime::UNIX_EPOCH,
        };
        Entry {
            variant: Variant {
                function: Id::of_function("v", &"f".parse().expect("a name")),
                values: Values::default(),
            },
            status: StatusCode::OK,
            freshness: Freshness::of(&headers, &Directives::default(), None, times),
            headers,
            body: Bytes::new(),
            tags: Box::default(),
            coded: Coded::default(),
            filed: None,
        }
    }

    #[test]
    fn fields_of_a_304_replace_those_that_are_not_about_the_content() {
        let kept = entry(&[
            ("etag", "\"a\""),
            ("content-type", "text/plain"),
            ("x-a", "old"),
            ("x-a", "older"),
            ("x-b", "stays"),
        ]);
        let mut told = HeaderMap::new();
        for (name, value) in [
            ("etag", "W/\"a\""),
            ("x-a", "new"),
            ("content-type", "text/html"),
        ] {
            told.insert(name, HeaderValue::from_static(value));
        }
        let updated = kept.updated(&told).expect("it is about the same");
        let all: Vec<_> = updated.get_all("x-a").iter().collect();
        assert_eq!(all, ["new"]);
        assert_eq!(updated["content-type"], "text/plain");
        assert_eq!(updated["x-b"], "stays");
        told.insert("etag", HeaderValue::from_static("\"b\""));
        assert!(kept.updated(&told).is_none());
    }

    #[test]
    fn codings_are_kept_once_and_within_their_room() {
        let coded = Coded::with_room(10);
        let (one, two) = (
            Bytes::from_static(b"123456"),
            Bytes::from_static(b"1234567"),
        );
        coded.keep("gzip", &one);
        coded.keep("gzip", &two);
        coded.keep("br", &two);
        assert_eq!((coded.get("gzip"), coded.get("br")), (Some(one), None));
    }

    #[test]
    fn what_is_kept_has_a_date_and_nothing_of_its_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("age", "3"),
            ("keep-alive", "1"),
            ("x-stays", "1"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let received_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let kept = prepare(&headers, received_at, false);
        assert_eq!(kept["date"], "Thu, 01 Jan 1970 00:00:01 GMT");
        assert!(kept.contains_key("x-stays"));
        assert_eq!(kept.len(), 2 + OF_EACH_RESPONSE.len());
        let timed = prepare(&headers, received_at, true);
        assert_eq!(timed[SERVER_TIMING], "");
    }
}
