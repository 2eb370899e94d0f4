//! Folders of an app's files that a function reads: which folder, and at which path the function sees it.
//!
//! Owns the form of these paths. Reads no file: what is in a folder is for who builds the app to say.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::assets::{AssetPath, AssetPathError};

/// The most `[[function.mounts]]` of one function.
pub const MOUNTS_MAX: usize = 16;

/// One folder that a function reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The folder, relative to the manifest's.
    pub path: AssetPath,
    /// Where the function sees it.
    pub at: MountAt,
}

/// The path at which a function sees a folder: `/`, or names with `/` before each.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountAt(Box<str>);

/// Why a text is no path at which a function sees a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MountAtError {
    /// It doesn't begin with a slash.
    #[error("a function's path begins with `/`")]
    Relative,
    /// What comes after the first slash is no path.
    #[error(transparent)]
    Path(#[from] AssetPathError),
}

impl MountAt {
    /// Reads `/`, or names with `/` before each, with a slash at its end or without.
    ///
    /// # Errors
    /// [`MountAtError`].
    pub fn parse(text: &str) -> Result<Self, MountAtError> {
        let below = text.strip_prefix('/').ok_or(MountAtError::Relative)?;
        let below = below.strip_suffix('/').unwrap_or(below);
        if below.is_empty() && text.len() <= 1 {
            return Ok(Self("/".into()));
        }
        let path = AssetPath::new(below)?;
        Ok(Self(format!("/{path}").into()))
    }

    /// `/` and the path of the folder: where it is when the manifest doesn't say.
    pub fn of(folder: &AssetPath) -> Self {
        Self(format!("/{folder}").into())
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether one of the two is the other, or below it.
    pub fn overlaps(&self, other: &Self) -> bool {
        let is_below = |inner: &Self, outer: &Self| match &*outer.0 {
            "/" => true,
            outer => {
                let rest = inner.0.strip_prefix(outer);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        };
        is_below(self, other) || is_below(other, self)
    }
}

impl fmt::Display for MountAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for MountAt {
    type Err = MountAtError;

    fn from_str(text: &str) -> Result<Self, MountAtError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for MountAt {
    type Error = MountAtError;

    fn try_from(text: String) -> Result<Self, MountAtError> {
        Self::parse(&text)
    }
}

impl From<MountAt> for String {
    fn from(at: MountAt) -> String {
        at.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> MountAt {
        MountAt::parse(text).unwrap()
    }

    #[test]
    fn path_has_one_form() {
        for (text, form) in [
            ("/", "/"),
            ("/data", "/data"),
            ("/data/", "/data"),
            ("/a/b.c", "/a/b.c"),
        ] {
            assert_eq!(at(text).as_str(), form);
            assert_eq!(at(form), at(text));
        }
        assert_eq!(MountAt::of(&AssetPath::new("a/b").unwrap()), at("/a/b"));
    }

    #[test]
    fn what_is_no_path_or_could_be_read_in_two_ways_is_refused() {
        for text in [
            "", "data", "./data", "//", "//a", "/a//b", "/a/../b", "/.", "/a\0b", "/a\\b",
        ] {
            assert!(MountAt::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn paths_overlap_at_whole_names_only() {
        for (one, other) in [("/", "/a"), ("/a", "/a"), ("/a", "/a/b"), ("/a/b/c", "/a")] {
            assert!(at(one).overlaps(&at(other)), "{one} {other}");
            assert!(at(other).overlaps(&at(one)), "{one} {other}");
        }
        for (one, other) in [("/a", "/ab"), ("/a/b", "/a/c"), ("/a", "/b")] {
            assert!(!at(one).overlaps(&at(other)), "{one} {other}");
        }
    }
}
