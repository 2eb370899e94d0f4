//! The path of a file or folder that is served, in one form: relative, with slashes, nothing in it that a file system
//! or a reader could take for something else. Knows no disk.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 1_024;
/// The longest name of a file or folder, in bytes: as file systems have it.
const NAME_BYTES_MAX: usize = 255;

/// A relative path: names with `/` between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetPath(Box<str>);

/// Why a text is no path of a file that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssetPathError {
    /// Nothing was given.
    #[error("a path can't be empty")]
    Empty,
    /// More than [`PATH_BYTES_MAX`] bytes.
    #[error("a path has at most {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// A name has more than 255 bytes.
    #[error("a name in a path has at most {NAME_BYTES_MAX} bytes")]
    LongName,
    /// It begins with a slash.
    #[error("a path is relative: it doesn't begin with `/`")]
    Absolute,
    /// Two slashes in a row, or one at the end.
    #[error("a name in a path can't be empty")]
    EmptyName,
    /// A name is `.` or `..`.
    #[error("a path has no `.` and no `..` in it")]
    Dots,
    /// It has a backslash, which some systems take for a separator.
    #[error("a path has no backslash in it: folders are separated by `/`")]
    Backslash,
    /// It has a control character.
    #[error("a path has no control characters in it")]
    Control,
}

impl AssetPath {
    /// Checks `text` and takes it.
    ///
    /// # Errors
    /// [`AssetPathError`].
    pub fn new(text: &str) -> Result<Self, AssetPathError> {
        let error = match text {
            "" => Some(AssetPathError::Empty),
            _ if text.len() > PATH_BYTES_MAX => Some(AssetPathError::TooLong),
            _ if text.starts_with('/') => Some(AssetPathError::Absolute),
            _ if text.contains('\\') => Some(AssetPathError::Backslash),
            _ if text.contains(char::is_control) => Some(AssetPathError::Control),
            _ => text.split('/').find_map(|name| match name {
                "" => Some(AssetPathError::EmptyName),
                "." | ".." => Some(AssetPathError::Dots),
                _ if name.len() > NAME_BYTES_MAX => Some(AssetPathError::LongName),
                _ => None,
            }),
        };
        error.map_or_else(|| Ok(Self(text.into())), Err)
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path below a folder.
    pub fn strip_folder(&self, folder: &Self) -> Option<&str> {
        self.0.strip_prefix(&*folder.0)?.strip_prefix('/')
    }
}

impl fmt::Display for AssetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for AssetPath {
    type Err = AssetPathError;

    fn from_str(text: &str) -> Result<Self, AssetPathError> {
        Self::new(text)
    }
}

impl TryFrom<String> for AssetPath {
    type Error = AssetPathError;

    fn try_from(text: String) -> Result<Self, AssetPathError> {
        Self::new(&text)
    }
}

impl From<AssetPath> for String {
    fn from(path: AssetPath) -> String {
        path.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_could_be_read_in_two_ways_are_refused() {
        for (text, error) in [
            ("", AssetPathError::Empty),
            ("/etc/passwd", AssetPathError::Absolute),
            ("a/../b", AssetPathError::Dots),
            ("..", AssetPathError::Dots),
            (".", AssetPathError::Dots),
            ("a/./b", AssetPathError::Dots),
            ("a//b", AssetPathError::EmptyName),
            ("a/", AssetPathError::EmptyName),
            ("a\\b", AssetPathError::Backslash),
            ("a\0b", AssetPathError::Control),
            ("a\nb", AssetPathError::Control),
        ] {
            assert_eq!(AssetPath::new(text), Err(error), "{text}");
        }
        let long = "a".repeat(256);
        assert_eq!(AssetPath::new(&long), Err(AssetPathError::LongName));
        let deep = "a/".repeat(600);
        assert_eq!(AssetPath::new(&deep), Err(AssetPathError::TooLong));
        for text in [
            "a",
            "a/b.c",
            "..a",
            "a..",
            ".well-known/x",
            "caf\u{e9}",
            "a b",
        ] {
            assert_eq!(AssetPath::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn folder_is_stripped_at_a_slash_only() {
        let path = |text| AssetPath::new(text).unwrap();
        assert_eq!(
            path("public/a/b").strip_folder(&path("public")),
            Some("a/b")
        );
        assert_eq!(path("publication").strip_folder(&path("public")), None);
        assert_eq!(path("public").strip_folder(&path("public")), None);
    }
}
