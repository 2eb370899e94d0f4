//! The form of a file: the content in pieces, then its head, then where that is. Every byte is under a digest, so that a file
//! that is torn or flipped is told from one that is whole. Pure.
//!
//! ```text
//! piece, piece, ..., the last one shorter
//! head: what it answers, the answer's fields and times, how long the content is, a digest of each piece
//! end: magic, length of the head, digest of the head
//! ```

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

use super::clock::Clock;
use crate::entry::Variant;
use crate::freshness::{Freshness, Parts};
use crate::key::{Id, Url, Values};

/// How much of a content is under one digest, and is read at once.
pub const PIECE_BYTES: usize = 64 << 10;
/// How long a file's end is.
pub(super) const END_BYTES: usize = 32;
/// The longest head that is read.
pub(super) const HEAD_BYTES_MAX: usize = 1 << 20;
/// Begins an end. Another form has another one.
const MAGIC: [u8; 8] = *b"EWKEPT01";

/// Names bytes.
pub(crate) type Digest = [u8; 16];

/// The first half of a SHA-256.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(bytes)[..16]);
    digest
}

/// What a file says of the answer whose content it has.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    pub(super) url: Url,
    pub(super) variant: Variant,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) freshness: Freshness,
    pub(super) tags: Box<[Box<str>]>,
    /// Whether clients get it in a coding.
    pub(super) is_coded: bool,
    /// How long its content is.
    pub(super) length: u64,
    pub(super) digests: Vec<Digest>,
}

/// Where a file's head is, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(super) head_length: u32,
    pub(super) digest: Digest,
}

impl End {
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        if head.len() > HEAD_BYTES_MAX {
            return None;
        }
        Some(Self {
            head_length: u32::try_from(head.len()).ok()?,
            digest: digest(head),
        })
    }

    pub(super) fn encode(&self) -> [u8; END_BYTES] {
        let mut bytes = [0; END_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.head_length.to_le_bytes());
        bytes[16..].copy_from_slice(&self.digest);
        bytes
    }

    /// `None` for what is none.
    pub(super) fn decode(bytes: &[u8; END_BYTES]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (nothing, digest) = rest.split_first_chunk::<4>()?;
        let head_length = u32::from_le_bytes(*length);
        let is_right =
            *magic == MAGIC && *nothing == [0; 4] && head_length as usize <= HEAD_BYTES_MAX;
        is_right.then_some(Self {
            head_length,
            digest: digest.try_into().ok()?,
        })
    }
}

impl Head {
    pub(super) fn encode(&self, clock: Clock) -> Vec<u8> {
        let mut out = Out(Vec::with_capacity(1_024));
        out.raw(&self.url.app().bytes());
        out.flag(self.url.is_https());
        out.bytes(self.url.borrowed().host.as_bytes());
        out.bytes(self.url.borrowed().target.as_bytes());
        out.raw(&self.variant.function.bytes());
        out.bytes(self.variant.values.as_bytes());
        out.number(u64::from(self.status.as_u16()));
        out.number(self.headers.len() as u64);
        for (name, value) in &self.headers {
            out.bytes(name.as_str().as_bytes());
            out.bytes(value.as_bytes());
        }
        let parts = self.freshness.parts();
        for time in [
            clock.to_machine(parts.asked),
            clock.to_machine(parts.received),
            parts.age_then,
            parts.lifetime,
            parts.while_revalidate,
            parts.if_error,
        ] {
            out.time(time);
        }
        out.flag(parts.always_ask);
        out.flag(parts.never_stale);
        out.number(self.tags.len() as u64);
        for tag in &self.tags {
            out.bytes(tag.as_bytes());
        }
        out.flag(self.is_coded);
        out.number(self.length);
        for digest in &self.digests {
            out.raw(digest);
        }
        out.0
    }

    /// `None` for what is none.
    pub(super) fn decode(bytes: &[u8], clock: Clock) -> Option<Self> {
        let mut from = In(bytes);
        let app = Id::from_bytes(from.raw()?);
        let https = from.flag()?;
        let (host, target) = (from.text()?, from.text()?);
        let url = Url::new(app, https, host, target);
        let variant = Variant {
            function: Id::from_bytes(from.raw()?),
            values: Values::from_bytes(from.bytes()?),
        };
        let status = StatusCode::from_u16(u16::try_from(from.number()?).ok()?).ok()?;
        let mut headers = HeaderMap::new();
        for _ in 0..from.number()? {
            let name = HeaderName::from_bytes(from.bytes()?).ok()?;
            let value = HeaderValue::from_bytes(from.bytes()?).ok()?;
            headers.try_append(name, value).ok()?;
        }
        let mut time = || from.time();
        let (asked, received) = (time()?, time()?);
        let (age_then, lifetime, while_revalidate, if_error) = (time()?, time()?, time()?, time()?);
        let freshness = Freshness::from_parts(Parts {
            asked: clock.time_of(asked)?,
            received: clock.time_of(received)?,
            age_then,
            lifetime,
            while_revalidate,
            if_error,
            always_ask: from.flag()?,
            never_stale: from.flag()?,
        });
        let mut tags = Vec::new();
        for _ in 0..from.number()? {
            tags.push(from.text()?.into());
        }
        let is_coded = from.flag()?;
        let length = from.number()?;
        let mut digests = Vec::new();
        while !from.0.is_empty() {
            digests.push(from.raw()?);
        }
        (digests.len() as u64 == length.div_ceil(PIECE_BYTES as u64)).then_some(Self {
            url,
            variant,
            status,
            headers,
            freshness,
            tags: tags.into(),
            is_coded,
            length,
            digests,
        })
    }
}

struct Out(Vec<u8>);

impl Out {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, number: u64) {
        self.raw(&number.to_le_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.raw(&[u8::from(flag)]);
    }

    fn time(&mut self, time: Duration) {
        self.number(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }
}

struct In<'b>(&'b [u8]);

impl<'b> In<'b> {
    fn raw<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (bytes, rest) = self.0.split_first_chunk::<LENGTH>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn number(&mut self) -> Option<u64> {
        self.raw().map(u64::from_le_bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        let [flag] = self.raw()?;
        (flag <= 1).then_some(flag == 1)
    }

    fn time(&mut self) -> Option<Duration> {
        self.number().map(Duration::from_nanos)
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'b str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::control::Directives;
    use crate::freshness::Times;

    fn head(target: &str, fields: &[(String, String)], length: u64, clock: Clock) -> Head {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let ago = |seconds| {
            let time = clock.instant().checked_sub(Duration::from_secs(seconds));
            time.expect("the machine runs longer")
        };
        let times = Times {
            asked: ago(2),
            received: ago(1),
            received_at: SystemTime::now(),
        };
        let said = Directives::of(&headers);
        let function = "f".parse().expect("a name");
        Head {
            url: Url::new(Id::of_function("app", &function), true, "a.example", target),
            variant: Variant {
                function: Id::of_function("v", &function),
                values: Values::from_bytes(target.as_bytes()),
            },
            status: StatusCode::OK,
            freshness: Freshness::of(&headers, &said, None, times),
            headers,
            tags: Box::new([target.into()]),
            is_coded: length > 5,
            length,
            digests: (0..length.div_ceil(PIECE_BYTES as u64))
                .map(|number| digest(&number.to_le_bytes()))
                .collect(),
        }
    }

    proptest! {
        #[test]
        fn heads_come_back_as_they_were(
            target in "/[a-z?=é]{0,20}",
            fields in prop::collection::vec(("(x-a|x-b|etag|cache-control)", "(max-age=60|no-cache|[ -~]{0,9})"), 0..6),
            length in 0_u64..300_000,
        ) {
            let clock = Clock::now();
            let head = head(&target, &fields, length, clock);
            let bytes = head.encode(clock);
            prop_assert_eq!(Head::decode(&bytes, clock), Some(head));
            let end = End::of(&bytes).expect("it isn't long");
            prop_assert_eq!(End::decode(&end.encode()), Some(end));
            // What is cut off is none.
            prop_assert_eq!(Head::decode(&bytes[..bytes.len() - 1], clock), None);
        }

        #[test]
        fn what_is_no_head_is_told(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let clock = Clock::now();
            if let Some(head) = Head::decode(&bytes, clock) {
                prop_assert!(head.digests.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn another_form_is_told_by_its_end() {
        let end = End::of(b"head").expect("it isn't long");
        for place in 0..16 {
            let mut bytes = end.encode();
            bytes[place] ^= 0x80;
            let decoded = End::decode(&bytes);
            // The length is checked by what is read with it.
            assert!(decoded.is_none() || (8..12).contains(&place), "{place}");
        }
        assert_eq!(End::of(&vec![0; HEAD_BYTES_MAX + 1]), None);
    }
}
