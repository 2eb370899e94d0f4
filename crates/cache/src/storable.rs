//! Which answers are kept (RFC 9111, section 3), for a cache that many share. Pure.

use everwarm_manifest::Cache;
use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::control::Directives;
use crate::freshness::{Freshness, Times, says_how_long};

/// What answers are called by besides their URL. The cache alone reads it.
pub const TAGS: HeaderName = HeaderName::from_static("cache-tag");
/// The most tags of an answer.
pub const TAGS_MAX: usize = 64;
/// The longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 128;

/// Why an answer isn't kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKept {
    /// It says so.
    NoStore,
    /// It is for one client.
    Private,
    /// It is an answer to `Authorization`, and doesn't say that it may be kept.
    Authorization,
    /// It sets a cookie, and the manifest doesn't allow that.
    SetCookie,
    /// It depends on what the function didn't see.
    Vary,
    /// Answers of its status aren't kept.
    Status,
    /// It doesn't say for how long, and neither does the manifest.
    Unsaid,
    /// It has tags that are none, or too many.
    Tags,
    /// It is larger than what is kept.
    TooLarge,
    /// It broke off, or had trailers.
    NotWhole,
    /// What it answers was purged meanwhile.
    Purged,
}

impl NotKept {
    /// The word for it in `Cache-Status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::Status => "status",
            Self::Unsaid => "no-ttl",
            Self::Tags => "tags",
            Self::TooLarge => "too-large",
            Self::NotWhole => "not-whole",
            Self::Purged => "purged",
        }
    }
}

/// What makes an answer worth keeping without a word of its own (RFC 9110, section 15.1).
fn is_kept_by_default(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// How long the answer to a GET may be used.
///
/// # Errors
/// Why it isn't kept.
pub fn freshness(
    rules: &Cache,
    for_authorization: bool,
    status: StatusCode,
    headers: &HeaderMap,
    times: Times,
) -> Result<Freshness, NotKept> {
    let said = Directives::of(headers);
    if said.no_store {
        return Err(NotKept::NoStore);
    }
    if said.private {
        return Err(NotKept::Private);
    }
    // RFC 9111, section 3.5.
    let is_for_all = said.public || said.s_maxage.is_some() || said.must_revalidate;
    if for_authorization && !is_for_all {
        return Err(NotKept::Authorization);
    }
    if headers.contains_key(header::SET_COOKIE) && !rules.set_cookie {
        return Err(NotKept::SetCookie);
    }
    let is_part = matches!(
        status,
        StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
    );
    if is_part || status.is_informational() || headers.contains_key(header::CONTENT_RANGE) {
        return Err(NotKept::Status);
    }
    if !varies_by_what_is_listed(rules, headers) {
        return Err(NotKept::Vary);
    }
    let default = rules.default_ttl.duration();
    let default = (!default.is_zero() && is_kept_by_default(status)).then_some(default);
    if !says_how_long(headers, &said) && !said.no_cache && default.is_none() {
        return Err(NotKept::Unsaid);
    }
    let freshness = Freshness::of(headers, &said, default, times);
    // What can neither be used nor asked after is kept for nothing.
    let can_be_asked_after =
        headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
    if !freshness.is_of_use() && !can_be_asked_after {
        return Err(NotKept::Unsaid);
    }
    Ok(freshness)
}

/// Whether all that an answer says it depends on is a part of what it is kept by.
fn varies_by_what_is_listed(rules: &Cache, headers: &HeaderMap) -> bool {
    headers.get_all(header::VARY).iter().all(|value| {
        let Ok(value) = value.to_str() else {
            return false;
        };
        let mut names = value.split(',').map(str::trim);
        names.all(|name| {
            let is_listed = rules
                .vary
                .iter()
                .any(|listed| listed.as_str().eq_ignore_ascii_case(name));
            let is_keyed = name.eq_ignore_ascii_case("host")
                || (rules.authorization && name.eq_ignore_ascii_case("authorization"));
            name.is_empty() || is_listed || is_keyed
        })
    })
}

/// The tags of an answer, which it has no more then.
///
/// # Errors
/// [`NotKept::Tags`] for what is no tag, and when there are too many: an answer that can't be purged by all of its tags isn't
/// kept.
pub fn take_tags(headers: &mut HeaderMap) -> Result<Box<[Box<str>]>, NotKept> {
    if !headers.contains_key(&TAGS) {
        return Ok(Box::default());
    }
    let mut tags: Vec<Box<str>> = Vec::new();
    let mut is_right = true;
    for value in headers.get_all(&TAGS) {
        let Ok(value) = value.to_str() else {
            is_right = false;
            break;
        };
        for tag in value.split([',', ' ']).filter(|tag| !tag.is_empty()) {
            is_right &= is_tag(tag) && tags.len() < TAGS_MAX;
            if is_right && !tags.iter().any(|known| **known == *tag) {
                tags.push(tag.into());
            }
        }
    }
    headers.remove(&TAGS);
    if is_right {
        Ok(tags.into())
    } else {
        Err(NotKept::Tags)
    }
}

/// Whether a text is a tag: visible ASCII characters but the comma, not too many.
pub fn is_tag(text: &str) -> bool {
    (1..=TAG_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// Whether an answer to this is an error that what is stale may stand in for (RFC 5861, section 4).
pub fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use everwarm_manifest::Millis;
    use everwarm_manifest::cache::FieldName;
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn outcome(
        rules: &Cache,
        authorization: bool,
        status: u16,
        fields: &[(&'static str, &str)],
    ) -> Option<NotKept> {
        let now = Instant::now();
        let times = Times {
            asked: now,
            received: now,
            received_at: SystemTime::now(),
        };
        let status = StatusCode::from_u16(status).expect("a status");
        freshness(rules, authorization, status, &headers(fields), times).err()
    }

    const FRESH: (&str, &str) = ("cache-control", "max-age=60");

    #[test]
    fn what_says_for_how_long_is_kept_and_what_forbids_it_is_not() {
        let rules = Cache::default();
        for (fields, expected) in [
            (vec![FRESH], None),
            (vec![], Some(NotKept::Unsaid)),
            (
                vec![FRESH, ("cache-control", "no-store")],
                Some(NotKept::NoStore),
            ),
            (
                vec![FRESH, ("cache-control", "private=\"x\"")],
                Some(NotKept::Private),
            ),
            (vec![FRESH, ("set-cookie", "a=b")], Some(NotKept::SetCookie)),
            (vec![FRESH, ("vary", "*")], Some(NotKept::Vary)),
            (vec![FRESH, ("vary", "user-agent")], Some(NotKept::Vary)),
            (vec![FRESH, ("vary", "host")], None),
            (vec![FRESH, ("vary", "")], None),
            (vec![("cache-control", "no-cache")], Some(NotKept::Unsaid)),
            (vec![("cache-control", "no-cache"), ("etag", "\"a\"")], None),
            (vec![("cache-control", "max-age=0")], Some(NotKept::Unsaid)),
            (
                vec![("cache-control", "max-age=0, stale-while-revalidate=9")],
                None,
            ),
            (
                vec![FRESH, ("content-range", "bytes 0-1/9")],
                Some(NotKept::Status),
            ),
        ] {
            assert_eq!(outcome(&rules, false, 200, &fields), expected, "{fields:?}");
        }
        for (status, expected) in [
            (206, Some(NotKept::Status)),
            (304, Some(NotKept::Status)),
            (302, None),
            (404, None),
            (500, None),
        ] {
            assert_eq!(
                outcome(&rules, false, status, &[FRESH]),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn manifest_allows_what_is_not_kept_otherwise() {
        let rules = Cache {
            default_ttl: Millis::from_secs(5),
            vary: vec![FieldName::new("Accept-Language").expect("a name")],
            set_cookie: true,
            ..Cache::default()
        };
        assert_eq!(outcome(&rules, false, 200, &[]), None);
        // What isn't worth keeping by itself needs a word of its own.
        assert_eq!(outcome(&rules, false, 500, &[]), Some(NotKept::Unsaid));
        assert_eq!(outcome(&rules, false, 302, &[]), Some(NotKept::Unsaid));
        assert_eq!(outcome(&rules, false, 200, &[("set-cookie", "a=b")]), None);
        let vary = |value| outcome(&rules, false, 200, &[("vary", value)]);
        assert_eq!(vary("accept-LANGUAGE"), None);
        assert_eq!(vary("accept-language, accept"), Some(NotKept::Vary));
    }

    #[test]
    fn answers_to_authorization_say_that_they_may_be_kept() {
        let rules = Cache {
            authorization: true,
            ..Cache::default()
        };
        for (control, expected) in [
            ("max-age=60", Some(NotKept::Authorization)),
            ("max-age=60, public", None),
            ("s-maxage=60", None),
            ("max-age=60, must-revalidate", None),
        ] {
            let fields = [("cache-control", control), ("vary", "Authorization")];
            assert_eq!(outcome(&rules, true, 200, &fields), expected, "{control}");
            // Whoever sends none has an answer of his own too.
            assert_eq!(outcome(&rules, false, 200, &fields), None, "{control}");
        }
        let fields = [FRESH, ("vary", "Authorization")];
        let unkeyed = outcome(&Cache::default(), false, 200, &fields);
        assert_eq!(unkeyed, Some(NotKept::Vary));
    }

    #[test]
    fn tags_are_taken_out_and_wrong_ones_are_told() {
        let mut tagged = headers(&[("cache-tag", "a, b a"), ("cache-tag", "c-1")]);
        let tags = take_tags(&mut tagged).expect("they are right");
        assert_eq!(*tags, ["a".into(), "b".into(), "c-1".into()]);
        assert!(tagged.is_empty());
        let long = "x".repeat(TAG_BYTES_MAX + 1);
        let many: Vec<String> = (0..=TAGS_MAX).map(|tag| tag.to_string()).collect();
        for wrong in [long.as_str(), &many.join(",")] {
            let mut tagged = headers(&[("cache-tag", wrong)]);
            assert_eq!(take_tags(&mut tagged), Err(NotKept::Tags));
            assert!(tagged.is_empty());
        }
    }

    proptest! {
        #[test]
        fn nothing_is_kept_that_forbids_it(
            forbids in prop::sample::select(vec!["no-store", "private", "PRIVATE", "no-store=\"x\""]),
            others in prop::collection::vec("(public|max-age=[0-9]{1,4}|s-maxage=60|immutable|x=\"[a-z,]{0,5}\")", 0..4),
            place in 0_usize..4,
            authorization in any::<bool>(),
        ) {
            let mut all: Vec<&str> = others.iter().map(String::as_str).collect();
            all.insert(place.min(all.len()), forbids);
            let rules = Cache { default_ttl: Millis::from_secs(9), ..Cache::default() };
            let value = all.join(", ");
            prop_assert!(outcome(&rules, authorization, 200, &[("cache-control", &value)]).is_some());
        }
    }
}
