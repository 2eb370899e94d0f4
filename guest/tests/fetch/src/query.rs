//! What the query asks for.

use std::time::Duration;

use everwarm_sdk::http::Uri;

pub(crate) struct Query(String);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Self {
        Self(uri.query().unwrap_or_default().to_owned())
    }

    fn raw(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// A value, percent-decoded.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let mut bytes = Vec::new();
        let mut rest = self.raw(name)?.as_bytes();
        while let [first, behind @ ..] = rest {
            let escaped = (*first == b'%').then(|| behind.first_chunk()).flatten();
            if let Some(byte) = escaped.copied().and_then(hex) {
                bytes.push(byte);
                rest = &behind[2..];
            } else {
                bytes.push(*first);
                rest = behind;
            }
        }
        String::from_utf8(bytes).ok()
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.raw(name)?.parse().ok()
    }

    /// A number of milliseconds.
    pub(crate) fn time(&self, name: &str) -> Option<Duration> {
        self.number(name).map(Duration::from_millis)
    }
}

fn hex(digits: [u8; 2]) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let value = digit(digits[0])? * 16 + digit(digits[1])?;
    u8::try_from(value).ok()
}
