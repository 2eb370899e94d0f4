//! `Cache-Control`, as requests and responses have it (RFC 9111, section 5.2; RFC 5861). Pure.
//!
//! What can't be read is taken as what keeps least: a time that is no number is none, and of two the shorter counts.

use std::time::Duration;

use http::{HeaderMap, header};

/// The longest time that counts: a year is for ever (RFC 9111, section 1.2.2 names 2^31 seconds; nothing is kept that
/// long).
pub const TIME_MAX: Duration = Duration::from_hours(365 * 24);

/// What a response says of being kept.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a directive, and any of them may stand beside any other"
)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directives {
    /// Nobody may keep it.
    pub no_store: bool,
    /// It may be kept, but not be used without asking.
    pub no_cache: bool,
    /// Only the client may keep it.
    pub private: bool,
    /// Anybody may.
    pub public: bool,
    /// It may not be used once it is stale (`must-revalidate`, `proxy-revalidate`).
    pub must_revalidate: bool,
    /// How long it is fresh.
    pub max_age: Option<Duration>,
    /// How long it is in caches that many share.
    pub s_maxage: Option<Duration>,
    /// How long it may be used once stale, while it is asked for anew.
    pub stale_while_revalidate: Option<Duration>,
    /// How long it may be used once stale, when there is an error instead of it.
    pub stale_if_error: Option<Duration>,
}

/// What a request asks of a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asks {
    /// Nothing of it may be kept.
    pub no_store: bool,
    /// What is kept may not be used without asking.
    pub no_cache: bool,
    /// What isn't kept isn't wanted.
    pub only_if_cached: bool,
    /// How old what is kept may be.
    pub max_age: Option<Duration>,
    /// How long it must be fresh yet.
    pub min_fresh: Option<Duration>,
    /// How long it may have been stale.
    pub max_stale: Option<Duration>,
    /// The same when there is an error instead of it.
    pub stale_if_error: Option<Duration>,
}

impl Directives {
    /// What a response's fields say.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        each(headers, |name, value| {
            let time = || time(value);
            match name {
                // With fields named they are about those alone, but what is kept is kept whole.
                b"no-store" => said.no_store = true,
                b"no-cache" => said.no_cache = true,
                b"private" => said.private = true,
                b"public" => said.public = true,
                b"must-revalidate" | b"proxy-revalidate" => said.must_revalidate = true,
                b"max-age" => shorter(&mut said.max_age, time()),
                b"s-maxage" => shorter(&mut said.s_maxage, time()),
                b"stale-while-revalidate" => shorter(&mut said.stale_while_revalidate, time()),
                b"stale-if-error" => shorter(&mut said.stale_if_error, time()),
                _ => {}
            }
        });
        said
    }
}

impl Asks {
    /// What a request's fields say.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut asks = Self::default();
        if !headers.contains_key(header::CACHE_CONTROL) {
            // What HTTP/1.0 has for it (RFC 9111, section 5.4).
            if let Some(pragma) = headers.get(header::PRAGMA) {
                asks.no_cache = pragma.as_bytes().eq_ignore_ascii_case(b"no-cache");
            }
            return asks;
        }
        each(headers, |name, value| {
            let time = || time(value);
            match name {
                b"no-store" => asks.no_store = true,
                b"no-cache" => asks.no_cache = true,
                b"only-if-cached" => asks.only_if_cached = true,
                b"max-age" => shorter(&mut asks.max_age, time()),
                b"min-fresh" => asks.min_fresh = asks.min_fresh.max(Some(time())),
                // Without a time it is any.
                b"max-stale" if value.is_none() => asks.max_stale = Some(TIME_MAX),
                b"max-stale" => shorter(&mut asks.max_stale, time()),
                b"stale-if-error" => shorter(&mut asks.stale_if_error, time()),
                _ => {}
            }
        });
        asks
    }
}

fn shorter(so_far: &mut Option<Duration>, time: Duration) {
    *so_far = Some(so_far.map_or(time, |so_far| so_far.min(time)));
}

/// Seconds, or none where it is no number. Longer times than all are the longest.
fn time(value: Option<&[u8]>) -> Duration {
    let digits = value.unwrap_or_default();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Duration::ZERO;
    }
    let mut seconds = 0_u64;
    for digit in digits {
        seconds = seconds
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'));
    }
    Duration::from_secs(seconds).min(TIME_MAX)
}

/// The longest name of a directive that is known here.
const NAME_BYTES_MAX: usize = 24;

/// Each directive, its name in lower case and its value without quotes.
fn each(headers: &HeaderMap, mut take: impl FnMut(&[u8], Option<&[u8]>)) {
    for field in headers.get_all(header::CACHE_CONTROL) {
        let mut rest = field.as_bytes();
        while !rest.is_empty() {
            let (element, after) = element(rest);
            rest = after;
            let (name, value) = match element.iter().position(|byte| *byte == b'=') {
                Some(at) => (&element[..at], Some(&element[at + 1..])),
                None => (element, None),
            };
            let name = name.trim_ascii();
            if name.len() > NAME_BYTES_MAX {
                continue;
            }
            let mut lower = [0; NAME_BYTES_MAX];
            let lower = &mut lower[..name.len()];
            lower.copy_from_slice(name);
            lower.make_ascii_lowercase();
            let value = value.map(|value| {
                let value = value.trim_ascii();
                let inner = value.strip_prefix(b"\"");
                inner
                    .and_then(|inner| inner.strip_suffix(b"\""))
                    .unwrap_or(value)
            });
            take(lower, value);
        }
    }
}

/// Up to the next comma that isn't in quotes, and what comes after it.
fn element(list: &[u8]) -> (&[u8], &[u8]) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in list.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return (&list[..at], &list[at + 1..]),
            _ => {}
        }
    }
    // Quotes that never end: what is behind them counts too, or a stray one would hide a `no-store`.
    if quoted && let Some(at) = list.iter().position(|byte| *byte == b',') {
        return (&list[..at], &list[at + 1..]);
    }
    (list, &[])
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn fields(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                header::CACHE_CONTROL,
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        headers
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "what it is compared with is an option"
    )]
    fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn directives_are_read_in_any_case_place_and_form() {
        let said = Directives::of(&fields(&[
            "Public, MAX-AGE=60 , s-maxage=\"120\"",
            "stale-while-revalidate=5,stale-if-error = 7,, unknown, ext=\"a, no-store\"",
        ]));
        let expected = Directives {
            public: true,
            max_age: secs(60),
            s_maxage: secs(120),
            stale_while_revalidate: secs(5),
            stale_if_error: secs(7),
            ..Directives::default()
        };
        assert_eq!(said, expected);
        assert_eq!(Directives::of(&HeaderMap::new()), Directives::default());
    }

    #[test]
    fn what_cannot_be_read_keeps_least() {
        for (value, expected) in [
            ("max-age=60, max-age=30", secs(30)),
            ("max-age=-1", secs(0)),
            ("max-age=1.5", secs(0)),
            ("max-age", secs(0)),
            ("max-age=", secs(0)),
            ("max-age=\"60", secs(0)),
            ("max-age=99999999999999999999999999", Some(TIME_MAX)),
        ] {
            assert_eq!(
                Directives::of(&fields(&[value])).max_age,
                expected,
                "{value}"
            );
        }
        for value in [
            "private=\"x-a, x-b\", max-age=1",
            "ext=\"open, private",
            "private=",
        ] {
            assert!(Directives::of(&fields(&[value])).private, "{value}");
        }
        let told = HeaderValue::from_bytes(b"\xff, no-store").expect("a value");
        let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, told)]);
        assert!(Directives::of(&headers).no_store);
    }

    #[test]
    fn requests_ask_for_what_they_want() {
        let asks = Asks::of(&fields(&[
            "max-stale, min-fresh=3, max-age=9, only-if-cached",
        ]));
        assert_eq!(asks.max_stale, Some(TIME_MAX));
        assert_eq!((asks.min_fresh, asks.max_age), (secs(3), secs(9)));
        assert!(asks.only_if_cached && !asks.no_cache);
        let pragma = HeaderMap::from_iter([(header::PRAGMA, HeaderValue::from_static("No-Cache"))]);
        assert!(Asks::of(&pragma).no_cache);
        let mut both = pragma;
        both.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=1"));
        assert!(!Asks::of(&both).no_cache);
    }

    proptest! {
        #[test]
        fn no_store_is_never_overlooked(before in "[ -~]{0,30}", after in "[ -~]{0,30}") {
            // However odd what is around it is, as long as it is no quoted text that has it inside.
            prop_assume!(!before.contains('"') && !before.contains('\\'));
            let value = format!("{before},no-store,{after}");
            prop_assert!(Directives::of(&fields(&[&value])).no_store);
        }

        #[test]
        fn times_are_never_longer_than_the_longest(value in "[0-9]{1,40}") {
            let said = Directives::of(&fields(&[&format!("max-age={value}")]));
            prop_assert!(said.max_age.is_some_and(|age| age <= TIME_MAX));
        }
    }
}
