//! W3C Trace Context: names of traces and of spans, and how `traceparent` says them. Pure.
//!
//! Owns what is accepted of a field that came from anywhere, and how names are made: out of the request's number, so
//! that they cost nothing while nobody looks at them. Who decides what is recorded is the edge's business.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU64;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The field that names a request's trace and its sender's span.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The field in which tracing systems keep what is theirs.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of a `traceparent` of version 00.
const LEN: usize = 55;
/// Bytes of a `traceparent` of a later version that are looked at: more is none.
const LEN_MAX: usize = 256;
/// Bytes of a `tracestate` that is passed on. Every system has to take 512 (section 3.3.1.5).
const STATE_BYTES_MAX: usize = 512;
/// Members of a `tracestate`, by the same section.
const STATE_MEMBERS_MAX: usize = 32;
const SAMPLED: u8 = 1;

/// Names a trace: 16 bytes that aren't all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId {
    high: u64,
    low: u64,
}

/// Names a span within its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

/// A span as others are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// Its trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether it is recorded.
    pub sampled: bool,
}

/// Mixed into the names that this process makes, so that two processes that count alike name their traces differently.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0u8));

impl TraceId {
    /// The name of the trace that the request with that number begins.
    pub(crate) fn begun_by(number: u64) -> Self {
        Self {
            high: mixed(number ^ *SEED),
            low: mixed(number.wrapping_add(*SEED)) | 1,
        }
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.high.to_be_bytes());
        bytes[8..].copy_from_slice(&self.low.to_be_bytes());
        bytes
    }

    /// Its 32 digits.
    pub fn digits(self) -> [u8; 32] {
        let mut digits = [0; 32];
        write_digits(&mut digits, &self.to_bytes());
        digits
    }
}

impl SpanId {
    pub(crate) fn of_request(number: u64) -> Self {
        Self(not_zero(mixed(
            number.rotate_left(32) ^ SEED.rotate_left(17),
        )))
    }

    /// The span that is the `nth` below this one.
    pub(crate) fn child(self, nth: u32) -> Self {
        let step = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(u64::from(nth) + 1);
        Self(not_zero(mixed(self.0.get().wrapping_add(step))))
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

impl std::fmt::Display for SpanId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Context {
    /// What a `traceparent` says (section 3.2). One that isn't well formed says nothing.
    pub fn parse(value: &[u8]) -> Option<Self> {
        if value.len() < LEN || value.len() > LEN_MAX {
            return None;
        }
        let (known, more) = value.split_at(LEN);
        let [b'-', b'-', b'-'] = [known[2], known[35], known[52]] else {
            return None;
        };
        let version = number(&known[..2])?;
        // Later versions may say more, behind another dash; 255 is none.
        let ends_well = match version {
            0 => more.is_empty(),
            255 => false,
            _ => more.is_empty() || more[0] == b'-',
        };
        if !ends_well {
            return None;
        }
        let (high, low) = (number(&known[3..19])?, number(&known[19..35])?);
        if (high, low) == (0, 0) {
            return None;
        }
        Some(Self {
            trace: TraceId { high, low },
            span: SpanId(NonZeroU64::new(number(&known[36..52])?)?),
            sampled: number(&known[53..])? & u64::from(SAMPLED) != 0,
        })
    }

    /// What these fields say. A field that is there twice says nothing.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(&TRACEPARENT).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.as_bytes()),
            _ => None,
        }
    }

    /// As a field's value.
    pub fn field(&self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_digits(&mut text[3..35], &self.trace.to_bytes());
        write_digits(&mut text[36..52], &self.span.to_bytes());
        write_digits(&mut text[53..], &[u8::from(self.sampled) * SAMPLED]);
        HeaderValue::from_bytes(&text).expect("digits and dashes are a value")
    }
}

/// The `tracestate` of these fields, as one value, if it may be passed on (section 3.3): systems that find it too long
/// may leave it out as a whole.
pub fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(&TRACESTATE).iter();
    let first = values.next()?;
    let joined = match values.next() {
        // A copy: the value is a part of the whole head, which would be kept as long as it.
        None if first.len() > STATE_BYTES_MAX => return None,
        None => first.as_bytes().to_vec(),
        Some(second) => {
            let all = [first, second].into_iter().chain(values);
            let mut joined = Vec::new();
            for value in all {
                if !joined.is_empty() {
                    joined.push(b',');
                }
                joined.extend_from_slice(value.as_bytes());
                if joined.len() > STATE_BYTES_MAX {
                    return None;
                }
            }
            joined
        }
    };
    let members = joined.split(|byte| *byte == b',').count();
    let is_plain = joined
        .iter()
        .all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let fits = (1..=STATE_BYTES_MAX).contains(&joined.len()) && members <= STATE_MEMBERS_MAX;
    if is_plain && fits {
        HeaderValue::from_maybe_shared(Bytes::from(joined)).ok()
    } else {
        None
    }
}

/// Whether something that is recorded once in so many is this time: `share` is out of `u32::MAX`.
pub fn drawn(number: u64, share: u32) -> bool {
    // All, and not all but one in four thousand millions.
    share == u32::MAX || (mixed(number ^ SEED.rotate_left(29)) >> 32) < u64::from(share)
}

/// A number whose bits all depend on all of this one's, and that is no other one's (the last part of splitmix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn not_zero(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN)
}

/// The number that these digits are. Only lower case ones are.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number: u64, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

/// By hand, since formatting costs ten times as much.
/// By hand: this is on every request.
pub(crate) fn write_digits(text: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(text: &str) -> Option<Context> {
        Context::parse(text.as_bytes())
    }

    #[test]
    fn what_was_said_is_said_again() {
        let context = parse(GOOD).unwrap();
        assert!(context.sampled);
        assert_eq!(context.field(), GOOD);
        assert_eq!(context.trace.to_string(), GOOD[3..35]);
        assert_eq!(&context.trace.digits()[..], &GOOD.as_bytes()[3..35]);
        assert_eq!(context.span.to_string(), GOOD[36..52]);
        let other = GOOD.replace("-01", "-fe");
        assert_eq!(parse(&other).unwrap().field(), GOOD.replace("-01", "-00"));
    }

    #[test]
    fn what_is_not_well_formed_says_nothing() {
        for wrong in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replace("4bf9", "4bfg"),
            &GOOD.replace("00-4", "ff-4"),
            &GOOD.replace("-01", "-1"),
            &format!("{GOOD}-"),
            &format!("{GOOD}-more"),
            &format!("{GOOD} "),
            &format!("01{}x", &GOOD[2..]),
            &format!("01{}-{}", &GOOD[2..], "x".repeat(LEN_MAX)),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
        // A later version may have more behind what is known.
        let later = format!("cc{}-what-the-future-will-be-like", &GOOD[2..]);
        assert_eq!(parse(&later).unwrap().field(), GOOD);
    }

    #[test]
    fn field_that_is_there_twice_says_nothing() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert!(Context::of(&headers).is_some());
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert!(Context::of(&headers).is_none());
    }

    #[test]
    fn state_is_passed_on_whole_or_not_at_all() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(TRACESTATE, value);
            }
            state(&headers).map(|state| state.to_str().unwrap().to_owned())
        };
        assert_eq!(of(&["a=1,b=2"]).as_deref(), Some("a=1,b=2"));
        assert_eq!(of(&["a=1", "b=2", "c=3"]).as_deref(), Some("a=1,b=2,c=3"));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[""]), None);
        assert_eq!(of(&["a=\u{e9}"]), None);
        assert_eq!(of(&[&"a".repeat(STATE_BYTES_MAX + 1)]), None);
        assert_eq!(of(&["a"; STATE_BYTES_MAX]), None);
        assert_eq!(of(&[&"a,".repeat(STATE_MEMBERS_MAX)]), None);
    }

    #[test]
    fn as_many_are_drawn_as_were_asked_for() {
        let drawn_of = |share| (0..10_000).filter(|number| drawn(*number, share)).count();
        assert_eq!(drawn_of(0), 0);
        assert_eq!(drawn_of(u32::MAX), 10_000);
        let half = drawn_of(u32::MAX / 2);
        assert!((4_000..6_000).contains(&half), "{half}");
    }
}
