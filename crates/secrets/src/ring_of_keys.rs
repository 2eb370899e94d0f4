//! Keys and rings of them: their text form, their names, and what each is used for.
//!
//! A ring is text, a key a line: `ewk_` and 64 hexadecimal digits. Empty lines and lines that begin with `#` say
//! nothing. The first key seals; all open.

use std::fmt;

use ring::hmac;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use zeroize::{Zeroize as _, Zeroizing};

/// How every key begins, for scanners that look for secrets in public places.
const PREFIX: &str = "ewk_";
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a key's name.
pub(crate) const ID_BYTES: usize = 8;
/// The most keys of a ring.
pub const KEYS_MAX: usize = 16;
/// More than any ring has, comments included.
pub const RING_BYTES_MAX: usize = 16 << 10;

/// The public name of a key, which is made of the key: it says which key sealed a value, and nothing of the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) [u8; ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A key.
pub struct Key {
    id: KeyId,
    bytes: SecretBox<[u8; KEY_BYTES]>,
}

impl Key {
    /// Makes a new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self::of(&bytes))
    }

    pub(crate) fn of(bytes: &[u8; KEY_BYTES]) -> Self {
        let bytes = SecretBox::new(Box::new(*bytes));
        let name = derive(bytes.expose_secret(), b"everwarm secrets: name of the key");
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&name.as_ref()[..ID_BYTES]);
        Self {
            id: KeyId(id),
            bytes,
        }
    }

    /// Its public name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key as a line of a ring.
    pub fn to_text(&self) -> SecretString {
        let mut digits = Zeroizing::new([0; 2 * KEY_BYTES]);
        hex::encode_to_slice(self.bytes.expose_secret(), &mut *digits)
            .expect("two digits a byte is what there is room for");
        // As long as it will be: a text that grows leaves copies behind.
        let mut text = String::with_capacity(PREFIX.len() + digits.len());
        text.push_str(PREFIX);
        text.extend(digits.iter().map(|digit| char::from(*digit)));
        text.into()
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(digits, &mut *bytes).ok()?;
        Some(Self::of(&bytes))
    }

    /// What values are sealed with: never the key itself, so that its name and what it seals say nothing of each
    /// other.
    pub(crate) fn sealing(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        let derived = derive(self.bytes.expose_secret(), b"everwarm secrets: seal");
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        bytes.copy_from_slice(derived.as_ref());
        bytes
    }
}

fn derive(key: &[u8; KEY_BYTES], purpose: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), purpose)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, [REDACTED])", self.id)
    }
}

/// Keys of which the first seals and all open.
#[derive(Debug)]
pub struct KeyRing {
    /// Never empty.
    keys: Vec<Key>,
}

/// Why a text is no ring. Nothing of the text is said: it may be a key with a letter missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A line is neither a key nor a comment.
    #[error("line {line} {fault}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: KeyFault,
    },
    /// It has no key.
    #[error("there is no key in it: a key is a line of `{PREFIX}` and 64 hexadecimal digits")]
    Empty,
    /// It has more than [`KEYS_MAX`].
    #[error("there are more than {KEYS_MAX} keys in it: take out those that seal nothing any more")]
    TooMany,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It isn't one.
    #[error("is no key: a key is `{PREFIX}` and 64 hexadecimal digits")]
    NoKey,
    /// It is there already.
    #[error("is a key that is there already")]
    Twice,
}

impl KeyRing {
    /// A ring of one key.
    pub fn new(key: Key) -> Self {
        Self { keys: vec![key] }
    }

    /// Reads a ring.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let text = line.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let fault = |fault| KeyError::Line {
                line: index + 1,
                fault,
            };
            let key = Key::parse(text).ok_or(fault(KeyFault::NoKey))?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(fault(KeyFault::Twice));
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(KeyError::Empty),
            1..=KEYS_MAX => Ok(Self { keys }),
            _ => Err(KeyError::TooMany),
        }
    }

    /// The ring as text, which [`KeyRing::parse`] reads back.
    pub fn to_text(&self) -> SecretString {
        let line_bytes = PREFIX.len() + 2 * KEY_BYTES + 1;
        let mut text = String::with_capacity(self.keys.len() * line_bytes);
        for key in &self.keys {
            text.push_str(key.to_text().expose_secret());
            text.push('\n');
        }
        let secret = SecretString::from(text.as_str());
        text.zeroize();
        secret
    }

    /// The key that seals.
    pub fn first(&self) -> &Key {
        &self.keys[0]
    }

    /// The names of all keys, that of the first one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|key| key.id)
    }

    pub(crate) fn get(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// Seals with this key from now on.
    ///
    /// # Errors
    /// [`KeyError::TooMany`] when there is no room for one more.
    pub fn with_first(mut self, key: Key) -> Result<Self, KeyError> {
        self.keys.retain(|other| other.id != key.id);
        self.keys.insert(0, key);
        if self.keys.len() > KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        Ok(self)
    }

    /// The ring without the keys that `is_needed` doesn't name. The first stays in any case.
    #[must_use]
    pub fn keeping(mut self, is_needed: impl Fn(KeyId) -> bool) -> Self {
        let first = self.first().id;
        self.keys.retain(|key| key.id == first || is_needed(key.id));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::of(&[byte; KEY_BYTES])
    }

    fn text(secret: &SecretString) -> String {
        secret.expose_secret().to_owned()
    }

    #[test]
    fn ring_reads_back_as_it_was_written() {
        let ring = KeyRing::new(key(1)).with_first(key(2)).unwrap();
        let written = text(&ring.to_text());
        let again = KeyRing::parse(&format!("# old ones last\n\n{written}")).unwrap();
        assert!(again.ids().eq([key(2).id(), key(1).id()]));
        assert_eq!(text(&again.to_text()), written);
    }

    #[test]
    fn what_is_no_ring_says_where_and_nothing_of_the_text() {
        let good = text(&key(1).to_text());
        let cut = &good[..good.len() - 1];
        for (ring, expected) in [
            (String::new(), "no key in it"),
            ("# nothing\n".to_owned(), "no key in it"),
            (format!("{good}\n{cut}\n"), "line 2 is no key"),
            (
                format!("{good}\n\n{good}\n"),
                "line 3 is a key that is there",
            ),
        ] {
            let error = KeyRing::parse(&ring).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains(&cut[10..]), "{error}");
        }
        let many: Vec<String> = (0..=16).map(|byte| text(&key(byte).to_text())).collect();
        assert_eq!(
            KeyRing::parse(&many.join("\n")).unwrap_err(),
            KeyError::TooMany
        );
    }

    #[test]
    fn key_shows_in_no_debug_output_and_its_name_is_its_own() {
        let ring = KeyRing::new(key(0x5a));
        let shown = format!("{ring:?}");
        assert!(shown.contains("REDACTED"), "{shown}");
        assert!(!shown.contains("5a5a"), "{shown}");
        assert_ne!(key(1).id(), key(2).id());
        let (one, two) = (Key::random().unwrap(), Key::random().unwrap());
        assert_ne!(one.id(), two.id());
    }

    #[test]
    fn keys_that_are_not_needed_go_and_the_first_stays() {
        let ring = KeyRing::new(key(1)).with_first(key(2)).unwrap();
        let ring = ring.with_first(key(3)).unwrap();
        let kept = ring.keeping(|id| id == key(1).id());
        assert!(kept.ids().eq([key(3).id(), key(1).id()]));
        // A key that is there already only moves.
        let moved = kept.with_first(key(1)).unwrap();
        assert!(moved.ids().eq([key(1).id(), key(3).id()]));
    }
}
