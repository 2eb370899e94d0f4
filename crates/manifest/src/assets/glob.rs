//! Globs over paths: `*` and `?` within a name, `**` for any number of folders. Takes time in proportion to the
//! product of the two lengths, whatever they are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest glob, in bytes.
pub const GLOB_BYTES_MAX: usize = 256;

/// A pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(Box<str>);

/// Why a text is no glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Nothing, or more than [`GLOB_BYTES_MAX`] bytes.
    #[error("a glob has from 1 to {GLOB_BYTES_MAX} bytes")]
    Length,
    /// It begins with a slash, or a name in it is empty, `.` or `..`.
    #[error("a glob is a relative path: it doesn't begin with `/`, and has no `.` or `..` in it")]
    NoPath,
    /// `**` is only a part of a name.
    #[error("`**` stands alone between two slashes; within a name there is `*`")]
    Stars,
    /// It has a character that other globs give a meaning.
    #[error("a glob has `*`, `**` and `?`, but no `[`, `{{`, `!` or backslash")]
    Character,
}

const FOLDERS: &str = "**";

impl Glob {
    /// Checks `text` and takes it.
    ///
    /// # Errors
    /// [`GlobError`].
    pub fn new(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() || text.len() > GLOB_BYTES_MAX {
            return Err(GlobError::Length);
        }
        if text.contains(['[', ']', '{', '}', '!', '\\']) || text.contains(char::is_control) {
            return Err(GlobError::Character);
        }
        for name in text.split('/') {
            if matches!(name, "" | "." | "..") {
                return Err(GlobError::NoPath);
            }
            if name.contains(FOLDERS) && name != FOLDERS {
                return Err(GlobError::Stars);
            }
        }
        Ok(Self(text.into()))
    }

    /// Whether a path matches as a whole.
    pub fn matches(&self, path: &str) -> bool {
        // `reached[n]`: the names of the glob so far match the first n names of the path.
        let names: Vec<&str> = path.split('/').collect();
        let mut reached = vec![false; names.len() + 1];
        reached[0] = true;
        for pattern in self.0.split('/') {
            let mut next = vec![false; names.len() + 1];
            if pattern == FOLDERS {
                let first = reached.iter().position(|reached| *reached);
                if let Some(first) = first {
                    next[first..].fill(true);
                }
            } else {
                for (index, name) in names.iter().enumerate() {
                    next[index + 1] = reached[index] && name_matches(pattern, name);
                }
            }
            reached = next;
        }
        reached[names.len()]
    }
}

fn name_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut in_name) = (0, 0);
    // The last star, and how much of the name it stood for when it was last tried.
    let mut star = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else {
                    return false;
                };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                in_name = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Glob {
    type Error = GlobError;

    fn try_from(text: String) -> Result<Self, GlobError> {
        Self::new(&text)
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> String {
        glob.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_within_names_and_double_ones_across() {
        for (glob, path, expected) in [
            ("assets/**", "assets/a.js", true),
            ("assets/**", "assets/a/b.js", true),
            ("assets/**", "assets", true),
            ("assets/**", "xassets/a", false),
            ("**", "a/b/c", true),
            ("**/*.js", "a.js", true),
            ("**/*.js", "a/b/c.js", true),
            ("**/*.js", "a/b/c.css", false),
            ("*.js", "a/b.js", false),
            ("*.js", "b.js", true),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/b/c", false),
            ("a/**/c", "a/c", true),
            ("a/**/b/**/c", "a/x/b/y/b/z/c", true),
            ("app.????????.js", "app.0123abcd.js", true),
            ("app.?.js", "app.01.js", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("caf?", "caf\u{e9}", true),
            ("*", "", true),
        ] {
            assert_eq!(
                Glob::new(glob).unwrap().matches(path),
                expected,
                "{glob} {path}"
            );
        }
    }

    #[test]
    fn what_has_a_meaning_elsewhere_is_refused() {
        for text in [
            "", "/a", "a//b", "a/", "../a", "a/./b", "a**", "[ab]", "{a,b}", "!a", "a\\b",
        ] {
            assert!(Glob::new(text).is_err(), "{text}");
        }
        assert_eq!(Glob::new(&"a".repeat(257)), Err(GlobError::Length));
    }
}
