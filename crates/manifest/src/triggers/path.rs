//! The path that a queue or a schedule calls. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of a path.
pub const CALL_PATH_BYTES_MAX: usize = 256;

/// A path as it stands in a request: `/`, then what RFC 3986 section 3.3 allows, percent-encoded where it must be. No
/// query.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallPath(Box<str>);

/// Text that is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallPathError {
    /// It begins with something else.
    #[error("a path begins with `/`")]
    NoSlash,
    /// It is too long.
    #[error("a path has at most {CALL_PATH_BYTES_MAX} bytes")]
    TooLong,
    /// It has a character that no path has.
    #[error(
        "a path has letters, digits, `-._~!$&'()*+,;=:@/` and percent-encoded bytes, but no {0:?}"
    )]
    BadCharacter(char),
}

impl CallPath {
    /// Checks the form.
    ///
    /// # Errors
    ///
    /// [`CallPathError`].
    pub fn new(text: &str) -> Result<Self, CallPathError> {
        if !text.starts_with('/') {
            return Err(CallPathError::NoSlash);
        }
        if text.len() > CALL_PATH_BYTES_MAX {
            return Err(CallPathError::TooLong);
        }
        for (at, c) in text.char_indices() {
            let is_encoded = || {
                let digits = text.as_bytes().get(at + 1..at + 3);
                digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            };
            let is_fine = c.is_ascii_alphanumeric()
                || "-._~!$&'()*+,;=:@/".contains(c)
                || (c == '%' && is_encoded());
            if !is_fine {
                return Err(CallPathError::BadCharacter(c));
            }
        }
        Ok(Self(text.into()))
    }

    /// A folder, and a name that is a DNS label.
    pub(super) fn of_name(folder: &'static str, name: &str) -> Self {
        Self(format!("{folder}{name}").into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for CallPath {
    type Error = CallPathError;

    fn try_from(text: String) -> Result<Self, CallPathError> {
        Self::new(&text)
    }
}

impl From<CallPath> for String {
    fn from(path: CallPath) -> String {
        path.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_requests() {
        for path in ["/", "/queues/mails", "/a%20b/~x", "/a:b@c"] {
            assert_eq!(CallPath::new(path).unwrap().as_str(), path);
        }
        for (path, error) in [
            ("", CallPathError::NoSlash),
            ("jobs", CallPathError::NoSlash),
            ("/a b", CallPathError::BadCharacter(' ')),
            ("/a?b", CallPathError::BadCharacter('?')),
            ("/a#b", CallPathError::BadCharacter('#')),
            ("/%", CallPathError::BadCharacter('%')),
            ("/%2", CallPathError::BadCharacter('%')),
            ("/%zz", CallPathError::BadCharacter('%')),
            ("/\u{e9}", CallPathError::BadCharacter('\u{e9}')),
            ("/\r\nhost: x", CallPathError::BadCharacter('\r')),
        ] {
            assert_eq!(CallPath::new(path), Err(error), "{path:?}");
        }
        let long = format!("/{}", "a".repeat(CALL_PATH_BYTES_MAX));
        assert_eq!(CallPath::new(&long), Err(CallPathError::TooLong));
    }
}
