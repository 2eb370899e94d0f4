//! What a request says of the content that it wants: which it has already, which part of it, of which kind (RFC 9110,
//! sections 12.5.1, 13.1 and 14). Pure.

use everwarm_cache::entry::strength_apart;
use http::{HeaderMap, HeaderValue, header};

/// Elements that are looked at of a list.
const ELEMENTS_MAX: usize = 64;

/// Which part of a content is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// All of it.
    Whole,
    /// From the first byte to the last, both included.
    Part(u64, u64),
    /// None: there are no such bytes.
    None,
}

/// Whether the client has the content already, by its tag; one who has any has one without a tag too.
pub(crate) fn has_already(headers: &HeaderMap, etag: Option<&HeaderValue>) -> bool {
    let etag = etag.map(|etag| strength_apart(etag.as_bytes()));
    let tags = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = tags
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .take(ELEMENTS_MAX)
        .map(str::trim);
    // The comparison is the weak one (section 13.1.2).
    tags.any(|tag| tag == "*" || etag == Some(strength_apart(tag.as_bytes())))
}

/// The part that is asked for of so many bytes. Several parts are answered with the whole, and so is what isn't
/// understood: a server may ignore the field (section 14.2). `etag` is a strong tag, if there is one.
pub fn range(headers: &HeaderMap, etag: Option<&HeaderValue>, length: u64) -> Range {
    let mut ranges = headers.get_all(header::RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return Range::Whole;
    };
    // A date is no validator here: it is a weak one at best. The comparison is the strong one (section 13.1.5).
    let is_other = |condition: &HeaderValue| etag.is_none_or(|etag| condition != etag);
    if headers.get(header::IF_RANGE).is_some_and(is_other) {
        return Range::Whole;
    }
    let part = range.to_str().ok().and_then(|range| {
        let (unit, spec) = range.split_once('=')?;
        unit.trim().eq_ignore_ascii_case("bytes").then_some(())?;
        spec.trim().split_once('-')
    });
    let Some((first, last)) = part else {
        return Range::Whole;
    };
    match (number(first), number(last)) {
        (Some(Number::None), Some(Number::Some(suffix))) => match suffix.min(length) {
            0 => Range::None,
            suffix => Range::Part(length - suffix, length - 1),
        },
        (Some(Number::Some(first)), Some(Number::None)) if first < length => {
            Range::Part(first, length - 1)
        }
        (Some(Number::Some(first)), Some(Number::Some(last))) if first <= last => {
            if first < length {
                Range::Part(first, last.min(length - 1))
            } else {
                Range::None
            }
        }
        (Some(Number::Some(_)), Some(Number::None)) => Range::None,
        _ => Range::Whole,
    }
}

enum Number {
    Some(u64),
    None,
}

/// A number, or none where nothing stands. What is too large is larger than any content.
fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Number::None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Number::Some(text.parse().unwrap_or(u64::MAX)))
}

/// Whether the client names HTML among what it takes: it wants a page, not data.
pub(crate) fn accepts_html(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter();
    let mut elements = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .take(ELEMENTS_MAX);
    elements.any(|element| {
        let mut parts = element.split(';').map(str::trim);
        let is_html = parts
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
        is_html && !parts.any(is_zero_weight)
    })
}

fn is_zero_weight(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let value = value.trim();
    name.trim().eq_ignore_ascii_case("q")
        && value.starts_with('0')
        && value.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ETAG: HeaderValue = HeaderValue::from_static("\"abc\"");

    fn headers(fields: &[(header::HeaderName, &str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (name.clone(), value)
        });
        fields.collect()
    }

    #[test]
    fn tag_that_the_client_has_is_found_in_its_list() {
        for (value, expected) in [
            ("\"abc\"", true),
            ("W/\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("*", true),
            ("\"ab\"", false),
            ("abc", false),
            ("", false),
        ] {
            let headers = headers(&[(header::IF_NONE_MATCH, value)]);
            assert_eq!(has_already(&headers, Some(&ETAG)), expected, "{value}");
            assert_eq!(has_already(&headers, None), value == "*", "{value}");
        }
    }

    #[test]
    fn one_range_is_a_part_and_all_else_the_whole() {
        for (value, expected) in [
            ("bytes=0-0", Range::Part(0, 0)),
            ("bytes=0-", Range::Part(0, 9)),
            ("bytes=3-5", Range::Part(3, 5)),
            ("Bytes = 3-5", Range::Part(3, 5)),
            ("bytes=3-99", Range::Part(3, 9)),
            ("bytes=-3", Range::Part(7, 9)),
            ("bytes=-99", Range::Part(0, 9)),
            ("bytes=9-99999999999999999999999", Range::Part(9, 9)),
            ("bytes=10-", Range::None),
            ("bytes=10-11", Range::None),
            ("bytes=-0", Range::None),
            ("bytes=99999999999999999999999-", Range::None),
            ("bytes=5-3", Range::Whole),
            ("bytes=0-0,2-3", Range::Whole),
            ("bytes=-", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("bytes=+1-2", Range::Whole),
            ("lines=0-1", Range::Whole),
            ("0-1", Range::Whole),
        ] {
            assert_eq!(
                range(&headers(&[(header::RANGE, value)]), Some(&ETAG), 10),
                expected,
                "{value}"
            );
        }
        assert_eq!(
            range(&headers(&[(header::RANGE, "bytes=0-")]), Some(&ETAG), 0),
            Range::None
        );
    }

    #[test]
    fn range_of_another_content_is_the_whole() {
        for (condition, expected) in [
            ("\"abc\"", Range::Part(0, 1)),
            ("W/\"abc\"", Range::Whole),
            ("\"x\"", Range::Whole),
            ("Sat, 29 Oct 1994 19:43:31 GMT", Range::Whole),
        ] {
            let headers = headers(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, condition)]);
            assert_eq!(range(&headers, Some(&ETAG), 10), expected, "{condition}");
        }
    }

    #[test]
    fn pages_are_asked_for_by_name() {
        for (value, expected) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("application/json, Text/HTML;q=0.1", true),
            ("*/*", false),
            ("application/json", false),
            ("text/html;q=0", false),
            ("text/html;q=0.000", false),
            ("text/htmlx", false),
        ] {
            assert_eq!(
                accepts_html(&headers(&[(header::ACCEPT, value)])),
                expected,
                "{value}"
            );
        }
        assert!(!accepts_html(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn part_is_always_within_the_content(value in "bytes=[0-9]{0,4}-[0-9]{0,4}", length in 0_u64..2_000) {
            if let Range::Part(first, last) = range(&headers(&[(header::RANGE, &value)]), Some(&ETAG), length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
