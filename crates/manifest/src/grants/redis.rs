//! Where a Redis server is, and as whom it is used. Owns the text form. Connects to nothing, and has no password: that is a
//! secret's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::authority;
use super::target::{TargetError, TargetHost, is_internal};

/// The port of servers whose URL names none.
const PORT: u16 = 6379;
/// Bytes of a user's name.
const NAME_BYTES_MAX: usize = 63;
/// The largest number of a database.
const DATABASE_MAX: u16 = 9_999;

/// `rediss://[user@]host[:port][/database]`, or `redis://` for a server that speaks no TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedisUrl {
    host: TargetHost,
    port: u16,
    user: Option<Box<str>>,
    database: u16,
    tls: bool,
}

/// Why a text is no [`RedisUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisUrlError {
    /// It begins with something else.
    #[error(
        "a server's URL is `rediss://[user@]host[:port][/database]`, or `redis://` without TLS"
    )]
    Scheme,
    /// There is a password in it.
    #[error("a password has no place in a manifest: name a secret that has it, in `password`")]
    Password,
    /// The user's name is none.
    #[error("the user's name isn't plain: letters, digits, `_`, `-` and `.`")]
    User,
    /// The host is none.
    #[error(transparent)]
    Host(#[from] TargetError),
    /// The host is a name of the node's own.
    #[error("names in `internal` are never looked up outside the node")]
    Internal,
    /// The database is no number.
    #[error("the database is a number from 0 to {DATABASE_MAX}")]
    Database,
}

impl RedisUrl {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`RedisUrlError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, RedisUrlError> {
        let (rest, tls) = match text.split_once("://") {
            Some(("rediss", rest)) => (rest, true),
            Some(("redis", rest)) => (rest, false),
            _ => return Err(RedisUrlError::Scheme),
        };
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, authority) = match authority.split_once('@') {
            None => (None, authority),
            Some((user, _)) if user.contains(':') => return Err(RedisUrlError::Password),
            Some((user, authority)) => (Some(plain(user).ok_or(RedisUrlError::User)?), authority),
        };
        let (host, port) = authority::split(authority)?;
        let host = match authority::host(host)? {
            TargetHost::Address(address) => TargetHost::Address(address.to_canonical()),
            TargetHost::Name(name) if is_internal(&name) => return Err(RedisUrlError::Internal),
            name @ TargetHost::Name(_) => name,
        };
        let is_number = !database.starts_with('+');
        let database = match database {
            "" => Some(0),
            number => number
                .parse()
                .ok()
                .filter(|number| *number <= DATABASE_MAX && is_number),
        };
        Ok(Self {
            host,
            port: port.unwrap_or(PORT),
            user,
            database: database.ok_or(RedisUrlError::Database)?,
            tls,
        })
    }

    /// The server.
    pub fn host(&self) -> &TargetHost {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As whom; `None` for the server's default user.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Which of its databases.
    pub fn database(&self) -> u16 {
        self.database
    }

    /// Whether TLS is spoken. The server's certificate must be one that is trusted, and its own.
    pub fn tls(&self) -> bool {
        self.tls
    }
}

fn plain(name: &str) -> Option<Box<str>> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    (fits && name.bytes().all(is_plain)).then(|| name.into())
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "rediss://" } else { "redis://" })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        write!(f, "{}", self.host)?;
        if self.port != PORT {
            write!(f, ":{}", self.port)?;
        }
        if self.database != 0 {
            write!(f, "/{}", self.database)?;
        }
        Ok(())
    }
}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for RedisUrl {
    type Error = RedisUrlError;

    fn try_from(text: String) -> Result<Self, RedisUrlError> {
        Self::parse(&text)
    }
}

impl From<RedisUrl> for String {
    fn from(url: RedisUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{RedisUrl, RedisUrlError};

    #[test]
    fn url_is_shown_in_its_normal_form() {
        for (text, shown) in [
            ("rediss://DB.example.com.", "rediss://db.example.com"),
            ("redis://app@10.0.0.7:6379/0", "redis://app@10.0.0.7"),
            ("rediss://[::1]:7000/3", "rediss://[::1]:7000/3"),
        ] {
            let url = RedisUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(RedisUrl::parse(shown), Ok(url));
        }
    }

    #[test]
    fn what_is_no_url_says_why() {
        for (text, error) in [
            ("db.example.com", RedisUrlError::Scheme),
            ("http://db.example.com", RedisUrlError::Scheme),
            ("redis://app:secret@db.example.com", RedisUrlError::Password),
            ("redis://:secret@db.example.com", RedisUrlError::Password),
            ("redis://a b@db.example.com", RedisUrlError::User),
            ("redis://@db.example.com", RedisUrlError::User),
            ("redis://x.everwarm.internal", RedisUrlError::Internal),
            ("redis://db.example.com/one", RedisUrlError::Database),
            ("redis://db.example.com/-1", RedisUrlError::Database),
            ("redis://db.example.com/+1", RedisUrlError::Database),
            ("redis://db.example.com/10000", RedisUrlError::Database),
        ] {
            assert_eq!(RedisUrl::parse(text), Err(error), "{text}");
        }
        for text in ["redis://", "redis://0177.0.0.1", "redis://db.example.com:0"] {
            assert!(
                matches!(RedisUrl::parse(text), Err(RedisUrlError::Host(_))),
                "{text}"
            );
        }
    }
}
