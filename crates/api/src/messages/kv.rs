//! Key-value data of apps: entries, as they are read, written, exported and imported.
//!
//! Values are bytes: alone they travel as they are, among others as Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Keys of one batch.
pub const BATCH_MAX: usize = 100;
/// Bytes of the keys and values of one batch.
pub const BATCH_BYTES_MAX: usize = 8 << 20;

/// Bytes that are Base64 (RFC 4648, section 4, with padding) in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64(pub Bytes);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Decodes what the reader has: a copy of the text would be as large once more.
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Base64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes as Base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Base64, E> {
                let bytes = STANDARD.decode(text);
                bytes
                    .map(|bytes| Base64(bytes.into()))
                    .map_err(|error| E::custom(format_args!("a value isn't Base64: {error}")))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// What is kept under a key; a line of what `everwarm kv export` writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KvEntry {
    /// The key: 1 to 512 bytes of UTF-8 without a NUL.
    pub key: String,
    /// The value as Base64: 1 MiB at most before it is encoded.
    #[schema(value_type = String, format = Byte)]
    pub value: Base64,
    /// From when on it is gone, in milliseconds since 1970. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// Why an entry can't be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvEntryError {
    /// The key isn't one.
    Key,
    /// The value is too large.
    Value {
        /// Its bytes.
        bytes: usize,
    },
}

impl std::fmt::Display for KvEntryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key => write!(
                f,
                "a key has 1 to {KEY_BYTES_MAX} bytes of UTF-8 and no NUL"
            ),
            Self::Value { bytes } => write!(
                f,
                "the value has {bytes} bytes, and a value may have {VALUE_BYTES_MAX}: keep it in parts"
            ),
        }
    }
}

impl std::error::Error for KvEntryError {}

impl KvEntry {
    /// Bytes that it counts for in a batch and in a quota.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.0.len()
    }

    /// Whether a node could keep it.
    ///
    /// # Errors
    ///
    /// [`KvEntryError`] says why not.
    pub fn check(&self) -> Result<(), KvEntryError> {
        if !(1..=KEY_BYTES_MAX).contains(&self.key.len()) || self.key.contains('\0') {
            return Err(KvEntryError::Key);
        }
        let bytes = self.value.0.len();
        if bytes > VALUE_BYTES_MAX {
            return Err(KvEntryError::Value { bytes });
        }
        Ok(())
    }
}

/// One value, with what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvValue {
    /// The value.
    pub bytes: Bytes,
    /// Names this state of the entry.
    pub revision: u64,
    /// From when on it is gone, in milliseconds since 1970. Absent: never.
    pub expires_ms: Option<u64>,
}

/// What came of a value that was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KvPut {
    /// Names the entry's new state. Larger than that of all writes of the app before it.
    pub revision: u64,
    /// From when on it is gone, in milliseconds since 1970. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// Keys in the order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KvKeyPage {
    /// What is on this page. It may be less than was asked for, even nothing, on a page that isn't the last.
    pub items: Vec<String>,
    /// The value of `after` that asks for the next page. Absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Keys that are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KvKeys {
    /// 100 at most.
    pub keys: Vec<String>,
}

/// Entries: 100 at most, with 8 MiB of keys and values before they are encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KvEntries {
    /// All of them.
    pub items: Vec<KvEntry>,
}

/// How many entries were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KvRemoved {
    /// Of how many keys there was something.
    pub removed: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> Result<KvEntry, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn entry_with_any_bytes_reads_back_as_it_was_written() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        for (value, expires_ms) in [(bytes, None), (Vec::new(), Some(u64::MAX))] {
            let entry = KvEntry {
                key: "a \"b\"\n\u{1f980}".to_owned(),
                value: Base64(value.into()),
                expires_ms,
            };
            let json = serde_json::to_string(&entry).unwrap();
            assert_eq!(super::tests::entry(&json).unwrap(), entry, "{json}");
        }
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for json in [
            r#"{"key":"a","value":"AA"}"#,
            r#"{"key":"a","value":"A A="}"#,
            r#"{"key":"a","value":[0]}"#,
            r#"{"key":"a"}"#,
            r#"{"key":"a","value":"","expires":1}"#,
            r#"{"key":"a","value":"","expires_ms":-1}"#,
        ] {
            assert!(entry(json).is_err(), "{json}");
        }
    }

    #[test]
    fn entry_that_no_node_keeps_is_found() {
        let check = |key: &str, bytes: usize| {
            let entry = KvEntry {
                key: key.to_owned(),
                value: Base64(vec![0; bytes].into()),
                expires_ms: None,
            };
            entry.check()
        };
        assert_eq!(check(&"k".repeat(KEY_BYTES_MAX), VALUE_BYTES_MAX), Ok(()));
        for key in ["", "a\0b", &*"k".repeat(KEY_BYTES_MAX + 1)] {
            assert_eq!(check(key, 0), Err(KvEntryError::Key));
        }
        let bytes = VALUE_BYTES_MAX + 1;
        assert_eq!(check("k", bytes), Err(KvEntryError::Value { bytes }));
    }
}
