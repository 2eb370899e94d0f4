//! How old what is kept is, and whether it may be used (RFC 9111, section 4.2; RFC 5861). Pure: what time it is, is told.
//!
//! Nothing is guessed: an answer that says nothing of its age is fresh for as long as the manifest says, which is not at all
//! unless it says so.

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue, header};

use crate::control::{Asks, Directives, TIME_MAX};

/// When a function was asked, and when its answer came.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When it was asked.
    pub asked: Instant,
    /// When the head of its answer came.
    pub received: Instant,
    /// The same on the clock that dates are by.
    pub received_at: SystemTime,
}

/// How long an answer may be used for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness(Parts);

/// What it is made of, for those who write it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) asked: Instant,
    pub(crate) received: Instant,
    pub(crate) age_then: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) while_revalidate: Duration,
    pub(crate) if_error: Duration,
    /// It is never used without asking.
    pub(crate) always_ask: bool,
    /// It is never used once it is stale.
    pub(crate) never_stale: bool,
}

/// Whether what is kept may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Use,
    /// It may, and somebody asks anew meanwhile.
    UseAndRevalidate,
    /// Not without asking.
    Revalidate,
}

impl Freshness {
    /// By an answer's fields. `default` holds where they don't say how long it is fresh.
    pub fn of(
        headers: &HeaderMap,
        said: &Directives,
        default: Option<Duration>,
        times: Times,
    ) -> Self {
        let Times {
            asked,
            received,
            received_at,
        } = times;
        let date = date(headers.get(header::DATE)).unwrap_or(received_at);
        let lifetime = said
            .s_maxage
            .or(said.max_age)
            .or_else(|| expires_after(headers, date))
            .or(default)
            .unwrap_or_default()
            .min(TIME_MAX);
        let apparent = received_at.duration_since(date).unwrap_or_default();
        let told = age(headers) + received.saturating_duration_since(asked);
        Self(Parts {
            asked,
            received,
            age_then: apparent.max(told),
            lifetime,
            while_revalidate: said.stale_while_revalidate.unwrap_or_default(),
            if_error: said.stale_if_error.unwrap_or_default(),
            always_ask: said.no_cache,
            never_stale: said.must_revalidate,
        })
    }

    /// Whether it was asked for later than another.
    pub fn is_later_than(&self, other: &Self) -> bool {
        self.0.asked > other.0.asked
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0
    }

    pub(crate) fn from_parts(parts: Parts) -> Self {
        Self(parts)
    }

    /// How old it is.
    pub fn age(&self, now: Instant) -> Duration {
        self.0.age_then + now.saturating_duration_since(self.0.received)
    }

    /// Seconds for which it is fresh yet; below zero, for which it has been stale.
    pub fn ttl(&self, now: Instant) -> i64 {
        let whole = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let age = self.age(now);
        match self.0.lifetime.checked_sub(age) {
            Some(left) => whole(left),
            None => -whole(age.saturating_sub(self.0.lifetime)),
        }
    }

    /// Whether it is of use without asking, now or ever.
    pub fn is_of_use(&self) -> bool {
        !self.0.always_ask
            && (self.0.lifetime > self.0.age_then
                || (!self.0.never_stale
                    && (!self.0.while_revalidate.is_zero() || !self.0.if_error.is_zero())))
    }

    /// Whether a request may be answered with it.
    pub fn judge(&self, asks: &Asks, now: Instant) -> Verdict {
        let age = self.age(now);
        let too_old = asks.max_age.is_some_and(|max| age > max);
        if self.0.always_ask || asks.no_cache || too_old {
            return Verdict::Revalidate;
        }
        if let Some(left) = self
            .0
            .lifetime
            .checked_sub(age)
            .filter(|left| !left.is_zero())
        {
            return match asks.min_fresh {
                Some(wanted) if left < wanted => Verdict::Revalidate,
                _ => Verdict::Use,
            };
        }
        let stale_for = age.saturating_sub(self.0.lifetime);
        if self.0.never_stale || asks.min_fresh.is_some() {
            Verdict::Revalidate
        } else if asks.max_stale.is_some_and(|max| stale_for <= max) {
            Verdict::Use
        } else if stale_for < self.0.while_revalidate {
            Verdict::UseAndRevalidate
        } else {
            Verdict::Revalidate
        }
    }

    /// Whether it may be used when there was an error instead of it.
    pub fn stands_in_for_an_error(&self, asks: &Asks, now: Instant) -> bool {
        if self.0.always_ask || self.0.never_stale || asks.no_cache {
            return false;
        }
        let stale_for = self.age(now).saturating_sub(self.0.lifetime);
        let window = self.0.if_error.max(asks.stale_if_error.unwrap_or_default());
        stale_for < window
    }
}

/// Whether fields say how long an answer is fresh.
pub fn says_how_long(headers: &HeaderMap, said: &Directives) -> bool {
    said.s_maxage.is_some() || said.max_age.is_some() || headers.contains_key(header::EXPIRES)
}

/// A date in a field, in any of the forms of HTTP (RFC 9110, section 5.6.7).
pub fn date(value: Option<&HeaderValue>) -> Option<SystemTime> {
    httpdate::parse_http_date(value?.to_str().ok()?).ok()
}

/// `None` without the field; what is no date has expired (RFC 9111, section 5.3).
fn expires_after(headers: &HeaderMap, date_of_answer: SystemTime) -> Option<Duration> {
    let mut values = headers.get_all(header::EXPIRES).iter();
    let first = values.next()?;
    let expires = date(Some(first).filter(|_| values.next().is_none()));
    Some(
        expires
            .and_then(|expires| expires.duration_since(date_of_answer).ok())
            .unwrap_or_default(),
    )
}

/// What `Age` says; what is no number of seconds is as old as can be.
fn age(headers: &HeaderMap) -> Duration {
    let Some(value) = headers.get(header::AGE) else {
        return Duration::ZERO;
    };
    let seconds = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    seconds.map_or(TIME_MAX, |seconds| {
        Duration::from_secs(seconds).min(TIME_MAX)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).expect("a value");
            (name.clone(), value)
        });
        fields.collect()
    }

    fn kept(fields: &[(HeaderName, &str)], default: Option<Duration>) -> (Freshness, Instant) {
        let headers = headers(fields);
        let received = Instant::now();
        let times = Times {
            asked: received,
            received,
            received_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000),
        };
        let said = Directives::of(&headers);
        (Freshness::of(&headers, &said, default, times), received)
    }

    fn control(value: &str) -> (Freshness, Instant) {
        kept(&[(header::CACHE_CONTROL, value)], None)
    }

    fn asks(value: &str) -> Asks {
        Asks::of(&headers(&[(header::CACHE_CONTROL, value)]))
    }

    fn verdict(kept: (Freshness, Instant), seconds: u64) -> Verdict {
        let (freshness, received) = kept;
        freshness.judge(&Asks::default(), received + Duration::from_secs(seconds))
    }

    #[test]
    fn answers_are_fresh_for_as_long_as_they_say() {
        let date = (header::DATE, "Sun, 09 Sep 2001 01:46:40 GMT");
        for (fields, lifetime) in [
            (vec![(header::CACHE_CONTROL, "max-age=10")], 10),
            (vec![(header::CACHE_CONTROL, "max-age=10, s-maxage=20")], 20),
            (vec![(header::CACHE_CONTROL, "s-maxage=5, max-age=10")], 5),
            (
                vec![
                    (header::EXPIRES, "Sun, 09 Sep 2001 01:47:10 GMT"),
                    date.clone(),
                ],
                30,
            ),
            (
                vec![
                    (header::EXPIRES, "Sun, 09 Sep 2001 01:47:10 GMT"),
                    (header::CACHE_CONTROL, "max-age=10"),
                ],
                10,
            ),
        ] {
            let kept = kept(&fields, Some(SECOND));
            assert_eq!(verdict(kept, lifetime - 1), Verdict::Use, "{fields:?}");
            assert_eq!(verdict(kept, lifetime), Verdict::Revalidate, "{fields:?}");
        }
        // What says nothing is fresh for as long as the manifest says, or not at all.
        assert_eq!(verdict(kept(&[], Some(SECOND)), 0), Verdict::Use);
        assert_eq!(verdict(kept(&[], None), 0), Verdict::Revalidate);
        for expires in ["0", "tomorrow", ""] {
            let kept = kept(&[(header::EXPIRES, expires)], Some(SECOND));
            assert_eq!(verdict(kept, 0), Verdict::Revalidate, "{expires:?}");
        }
    }

    #[test]
    fn age_counts_what_was_before() {
        let control = (header::CACHE_CONTROL, "max-age=10");
        let (old, received) = kept(&[control.clone(), (header::AGE, "4")], None);
        assert_eq!(old.age(received + 2 * SECOND), 6 * SECOND);
        assert_eq!(old.ttl(received + 2 * SECOND), 4);
        assert_eq!(old.ttl(received + 9 * SECOND), -3);
        let dated = (header::DATE, "Sun, 09 Sep 2001 01:46:35 GMT");
        let (dated, received) = kept(&[control.clone(), dated], None);
        assert_eq!(dated.age(received), 5 * SECOND);
        let (odd, received) = kept(&[control, (header::AGE, "long ago")], None);
        assert_eq!(odd.judge(&Asks::default(), received), Verdict::Revalidate);
    }

    #[test]
    fn requests_say_how_old_and_how_stale_it_may_be() {
        let (fresh, received) = control("max-age=10");
        let at = |seconds| received + Duration::from_secs(seconds);
        for (asked, seconds, expected) in [
            ("max-age=5", 5, Verdict::Use),
            ("max-age=5", 6, Verdict::Revalidate),
            ("max-age=0", 1, Verdict::Revalidate),
            ("no-cache", 0, Verdict::Revalidate),
            ("min-fresh=5", 5, Verdict::Use),
            ("min-fresh=5", 6, Verdict::Revalidate),
            ("max-stale=3", 13, Verdict::Use),
            ("max-stale=3", 14, Verdict::Revalidate),
            ("max-stale", 1_000, Verdict::Use),
            ("max-stale, max-age=11", 12, Verdict::Revalidate),
            ("no-cache, max-stale", 0, Verdict::Revalidate),
        ] {
            assert_eq!(fresh.judge(&asks(asked), at(seconds)), expected, "{asked}");
        }
        for strict in ["must-revalidate", "proxy-revalidate", "no-cache"] {
            let (strict, received) = control(&format!("max-age=10, {strict}"));
            let late = received + 11 * SECOND;
            assert_eq!(strict.judge(&asks("max-stale"), late), Verdict::Revalidate);
        }
    }

    #[test]
    fn stale_answers_are_used_within_their_windows_alone() {
        let windows = control("s-maxage=1, stale-while-revalidate=4, stale-if-error=6");
        assert_eq!(verdict(windows, 0), Verdict::Use);
        assert_eq!(verdict(windows, 1), Verdict::UseAndRevalidate);
        assert_eq!(verdict(windows, 4), Verdict::UseAndRevalidate);
        assert_eq!(verdict(windows, 5), Verdict::Revalidate);
        let (freshness, received) = windows;
        let stands_in = |freshness: Freshness, seconds, asked: &str| {
            let now = received + Duration::from_secs(seconds);
            freshness.stands_in_for_an_error(&asks(asked), now)
        };
        assert!(stands_in(freshness, 6, ""));
        assert!(!stands_in(freshness, 7, ""));
        assert!(stands_in(freshness, 7, "stale-if-error=60"));
        assert!(!stands_in(freshness, 2, "no-cache"));
        let (strict, _) =
            control("max-age=1, must-revalidate, stale-while-revalidate=60, stale-if-error=60");
        assert!(!stands_in(strict, 2, ""));
        assert_eq!(verdict((strict, received), 2), Verdict::Revalidate);
    }

    proptest! {
        #[test]
        fn nothing_is_used_beyond_what_was_said(
            lifetime in 0_u64..100,
            window in 0_u64..100,
            age in 0_u64..300,
            before in 0_u64..100,
        ) {
            let value = format!("max-age={lifetime}, stale-while-revalidate={window}");
            let fields = [
                (header::CACHE_CONTROL, value.as_str()),
                (header::AGE, &before.to_string()),
            ];
            let (freshness, received) = kept(&fields, Some(Duration::from_secs(1_000)));
            let now = received + Duration::from_secs(age);
            let expected = match before + age {
                age if age < lifetime => Verdict::Use,
                age if age < lifetime + window => Verdict::UseAndRevalidate,
                _ => Verdict::Revalidate,
            };
            prop_assert_eq!(freshness.judge(&Asks::default(), now), expected);
            // No request gets what is older than it asks for.
            let max = Asks { max_age: Some(Duration::from_secs(50)), ..Asks::default() };
            if freshness.judge(&max, now) != Verdict::Revalidate {
                prop_assert!(freshness.age(now) <= Duration::from_secs(50));
            }
        }
    }
}
