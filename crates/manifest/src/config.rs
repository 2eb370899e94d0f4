//! The names that a function asks for configuration by: values of its manifest, and secrets of its app. Knows their
//! shape and how to propose a valid name near an invalid one. Doesn't know what the names refer to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const CONFIG_NAME_BYTES_MAX: usize = 128;
/// The most values in `[function.config]`.
pub const CONFIG_MAX: usize = 256;

/// The name of a configuration value or of a secret: `[A-Za-z_][A-Za-z0-9_]{0,127}`, as environment variables are
/// named, so that one name does everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConfigName(Box<str>);

/// Why a text is no such name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigNameError {
    /// Nothing was given.
    #[error("a name can't be empty")]
    Empty,
    /// More than [`CONFIG_NAME_BYTES_MAX`] bytes.
    #[error("a name has at most {CONFIG_NAME_BYTES_MAX} characters")]
    TooLong,
    /// It begins with a digit.
    #[error("a name begins with a letter or an underscore")]
    BadStart,
    /// A character that names don't have.
    #[error(
        "a name has letters from A to Z in either case, digits and underscores, but no {found:?}"
    )]
    BadCharacter {
        /// The first such character.
        found: char,
    },
}

impl ConfigName {
    /// Checks a name and takes it.
    ///
    /// # Errors
    /// [`ConfigNameError`].
    pub fn new(name: &str) -> Result<Self, ConfigNameError> {
        let first = name.chars().next().ok_or(ConfigNameError::Empty)?;
        if let Some(found) = name.chars().find(|c| !is_of_a_name(*c)) {
            return Err(ConfigNameError::BadCharacter { found });
        }
        if first.is_ascii_digit() {
            return Err(ConfigNameError::BadStart);
        }
        if name.len() > CONFIG_NAME_BYTES_MAX {
            return Err(ConfigNameError::TooLong);
        }
        Ok(Self(name.into()))
    }

    /// A valid name that is near to a text: underscores for what isn't allowed. `None` when there is none.
    ///
    /// ```
    /// use everwarm_manifest::ConfigName;
    ///
    /// assert_eq!(ConfigName::nearest("stripe-key").as_deref(), Some("stripe_key"));
    /// assert_eq!(ConfigName::nearest("2FA").as_deref(), Some("_2FA"));
    /// ```
    pub fn nearest(text: &str) -> Option<String> {
        let mut name: String = text
            .chars()
            .map(|c| if is_of_a_name(c) { c } else { '_' })
            .collect();
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            name.insert(0, '_');
        }
        name.truncate(CONFIG_NAME_BYTES_MAX);
        Self::new(&name).is_ok().then_some(name)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl fmt::Display for ConfigName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is asked for by a text that may be no name: maps are keyed by names that were checked.
impl std::borrow::Borrow<str> for ConfigName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConfigName {
    type Err = ConfigNameError;

    fn from_str(name: &str) -> Result<Self, ConfigNameError> {
        Self::new(name)
    }
}

impl TryFrom<String> for ConfigName {
    type Error = ConfigNameError;

    fn try_from(name: String) -> Result<Self, ConfigNameError> {
        Self::new(&name)
    }
}

impl From<ConfigName> for String {
    fn from(name: ConfigName) -> String {
        name.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_environment_variables() {
        for name in ["A", "_", "STRIPE_KEY", "stripeKey2", &"a".repeat(128)] {
            assert_eq!(ConfigName::new(name).unwrap().as_str(), name);
        }
        let long = "a".repeat(129);
        for (name, reason) in [
            ("", ConfigNameError::Empty),
            ("2FA", ConfigNameError::BadStart),
            ("a-b", ConfigNameError::BadCharacter { found: '-' }),
            ("a b", ConfigNameError::BadCharacter { found: ' ' }),
            ("clé", ConfigNameError::BadCharacter { found: 'é' }),
            (&long, ConfigNameError::TooLong),
        ] {
            assert_eq!(ConfigName::new(name), Err(reason), "{name:?}");
        }
    }

    #[test]
    fn name_that_is_proposed_is_valid() {
        for text in ["a-b", "2FA", "clé", &"x-".repeat(100), "9"] {
            let name = ConfigName::nearest(text).unwrap();
            assert!(ConfigName::new(&name).is_ok(), "{text:?} -> {name:?}");
        }
        assert_eq!(ConfigName::nearest(""), None);
    }
}
