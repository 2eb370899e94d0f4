//! The names that people give: apps, functions, databases, containers of blobs, servers, queues, schedules and tenants. Knows
//! their shape and how to propose a valid name near an invalid one. Doesn't know what the names refer to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: a DNS label (RFC 1035 section 2.3.4), because an app's name is the
/// first label of its host.
pub const NAME_BYTES_MAX: usize = 63;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name can't be empty")]
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    #[error("a name has at most {NAME_BYTES_MAX} characters, this one has {length}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The first character isn't a letter from a to z.
    #[error("a name starts with a letter from a to z")]
    BadStart,
    /// The last character is a hyphen.
    #[error("a name can't end with a hyphen")]
    BadEnd,
    /// A character that names don't have.
    #[error("a name has letters from a to z, digits and hyphens, but no {found:?}")]
    BadCharacter {
        /// The first such character.
        found: char,
    },
}

/// Checks the shape that every name has: `[a-z]([a-z0-9-]{0,61}[a-z0-9])?`.
fn check(name: &str) -> Result<(), NameError> {
    let first = name.chars().next().ok_or(NameError::Empty)?;
    let bad = |c: &char| !matches!(c, 'a'..='z' | '0'..='9' | '-');
    if let Some(found) = name.chars().find(bad) {
        return Err(NameError::BadCharacter { found });
    }
    if !first.is_ascii_lowercase() {
        return Err(NameError::BadStart);
    }
    if name.ends_with('-') {
        return Err(NameError::BadEnd);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { length: name.len() });
    }
    Ok(())
}

/// A valid name that is near to `text`: lower case, hyphens for what isn't allowed. `None` when
/// nothing of the text is left.
///
/// ```
/// assert_eq!(everwarm_manifest::names::nearest_name("My_App 2").as_deref(), Some("my-app-2"));
/// assert_eq!(everwarm_manifest::names::nearest_name("42"), None);
/// ```
pub fn nearest_name(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' => name.push(c),
            '0'..='9' if !name.is_empty() => name.push(c),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
        if name.len() == NAME_BYTES_MAX {
            break;
        }
    }
    name.truncate(name.trim_end_matches('-').len());
    (!name.is_empty()).then_some(name)
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks `name` and takes it.
            ///
            /// # Errors
            /// [`NameError`] when `name` is no DNS label of lower-case letters, digits and hyphens.
            pub fn new(name: &str) -> Result<Self, NameError> {
                check(name).map(|()| Self(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(&name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }
    };
}

name_type! {
    /// The name of an app. It is also the first label of the app's own host (`hello.localhost`).
    AppName
}

name_type! {
    /// The name of a function, unique in its app.
    FunctionName
}

name_type! {
    /// The name of a container of blobs, unique in its app.
    ContainerName
}

name_type! {
    /// The name of an SQL database, unique in its app. Also the name of its file.
    DatabaseName
}

name_type! {
    /// The name of a Redis server, unique in its app.
    RedisName
}

name_type! {
    /// The name of a queue, unique in its app.
    QueueName
}

name_type! {
    /// The name of a schedule, unique in its app.
    ScheduleName
}

name_type! {
    /// Who owns apps, hosts, tokens and quotas. Every stored row belongs to one tenant.
    TenantId
}

impl TenantId {
    /// The tenant of a node that has only one.
    pub fn default_tenant() -> Self {
        Self("default".into())
    }
}

impl From<&AppName> for FunctionName {
    /// An app's only function may go without a name of its own: it has the app's.
    fn from(app: &AppName) -> Self {
        Self(app.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_labels_are_names() {
        for name in ["a", "hello", "a-1", "x--y", &"a".repeat(63)] {
            assert_eq!(AppName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        let long = "a".repeat(64);
        for (name, reason) in [
            ("", NameError::Empty),
            ("1a", NameError::BadStart),
            ("-a", NameError::BadStart),
            ("a-", NameError::BadEnd),
            ("Hello", NameError::BadCharacter { found: 'H' }),
            ("a_b", NameError::BadCharacter { found: '_' }),
            ("a.b", NameError::BadCharacter { found: '.' }),
            ("café", NameError::BadCharacter { found: 'é' }),
            (&long, NameError::TooLong { length: 64 }),
        ] {
            assert_eq!(AppName::new(name), Err(reason), "{name:?}");
        }
    }

    #[test]
    fn the_proposed_name_is_always_valid() {
        for text in ["My_App", "9 lives", "__x__", "a-", &"Z_".repeat(80), "ünï"] {
            let name = nearest_name(text).unwrap();
            assert!(AppName::new(&name).is_ok(), "{text:?} -> {name:?}");
        }
        assert_eq!(nearest_name("9 lives").as_deref(), Some("lives"));
        assert_eq!(nearest_name(""), None);
    }

    #[test]
    fn the_default_tenant_has_a_valid_name() {
        let tenant = TenantId::default_tenant();
        assert_eq!(TenantId::new(tenant.as_str()), Ok(tenant));
    }

    #[test]
    fn json_holds_a_checked_string() {
        let name: FunctionName = serde_json::from_str("\"api\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"api\"");
        assert!(serde_json::from_str::<FunctionName>("\"A\"").is_err());
    }
}
