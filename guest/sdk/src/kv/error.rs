//! Why a key-value store didn't do what it was asked.

use std::fmt;

/// Why a key-value store didn't do what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum KvError {
    /// There is no store of that name.
    NoSuchStore,
    /// The function's manifest doesn't grant the store.
    AccessDenied,
    /// Others wrote the entry again and again.
    Contended,
    /// A value isn't the JSON that it should be.
    Json(serde_json::Error),
    /// Something else, in the host's words.
    Other(String),
}

impl fmt::Display for KvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchStore => formatter.write_str("there is no key-value store of that name"),
            Self::AccessDenied => formatter.write_str(
                "the function's manifest doesn't grant the key-value store: add its name to `kv` in [function.grants]",
            ),
            Self::Contended => formatter.write_str("others write the entry all the time"),
            Self::Json(_) => formatter.write_str("the value isn't the JSON that it should be"),
            Self::Other(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for KvError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}
