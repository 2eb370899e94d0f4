//! What a function says of the cache in front of it. Owns the names of request fields that answers may depend on. Knows
//! nothing of how responses are kept.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::Bounds;
use crate::quantity::Millis;

/// The most fields in `vary`.
pub const VARY_MAX: usize = 16;
/// The longest name of a field, in bytes.
pub const FIELD_NAME_BYTES_MAX: usize = 64;
/// How long answers are fresh that say nothing of it.
pub const DEFAULT_TTL: Bounds<Millis> = Bounds {
    default: Millis::new(0),
    min: Millis::new(0),
    max: Millis::from_secs(365 * 24 * 3_600),
};

/// The cache in front of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// How long an answer is fresh that doesn't say.
    pub default_ttl: Millis,
    /// The fields of a request that the function sees, and that its answers are kept apart by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vary: Vec<FieldName>,
    /// Whether requests with `Authorization` use the cache: each caller has answers of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub authorization: bool,
    /// Whether requests with `Cookie` use the cache: as if they had none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_cookies: bool,
    /// Whether answers with `Set-Cookie` are kept, for all who ask.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub set_cookie: bool,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            default_ttl: DEFAULT_TTL.default,
            vary: Vec::new(),
            authorization: false,
            ignore_cookies: false,
            set_cookie: false,
        }
    }
}

/// The name of a request's field, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldName(Box<str>);

/// Why a text names no field that answers may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldNameError {
    /// It is no field's name.
    #[error(
        "the name of a field has 1 to {FIELD_NAME_BYTES_MAX} letters, digits, hyphens and underscores"
    )]
    BadForm,
    /// The cache itself goes by it, or the host says it.
    #[error("{0}")]
    Taken(&'static str),
}

/// Fields that can't be in `vary`, and why.
const TAKEN: [(&[&str], &str); 5] = [
    (
        &["host"],
        "the host is always a part of what answers are kept apart by",
    ),
    (
        &["authorization"],
        "`authorization = true` is how requests with it use the cache",
    ),
    (
        &["cache-control", "pragma", "range", "expect"],
        "the cache itself goes by this field, and the function doesn't see it",
    ),
    (
        &[
            "connection",
            "content-length",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ],
        "this field is about the connection, and answers can't depend on it",
    ),
    (
        &["forwarded", "x-real-ip", "x-request-id"],
        "the host says this field, of each request another",
    ),
];

impl FieldName {
    /// Checks a name and takes it, in lower case.
    ///
    /// # Errors
    /// [`FieldNameError`].
    pub fn new(name: &str) -> Result<Self, FieldNameError> {
        let is_name = (1..=FIELD_NAME_BYTES_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !is_name {
            return Err(FieldNameError::BadForm);
        }
        let name = name.to_ascii_lowercase();
        if let Some((_, why)) = TAKEN.iter().find(|(names, _)| names.contains(&&*name)) {
            return Err(FieldNameError::Taken(why));
        }
        if name.starts_with("if-") {
            return Err(FieldNameError::Taken(TAKEN[2].1));
        }
        if name.starts_with("x-forwarded-") || name.starts_with("everwarm-") {
            return Err(FieldNameError::Taken(TAKEN[4].1));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for FieldName {
    type Error = FieldNameError;

    fn try_from(text: String) -> Result<Self, FieldNameError> {
        Self::new(&text)
    }
}

impl From<FieldName> for String {
    fn from(name: FieldName) -> Self {
        name.0.into()
    }
}
