//! Where a Postgres server is, and as whom its database is used. Owns the text form. Connects to nothing, and has no
//! password: that is a secret's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::authority;
use super::target::{TargetError, TargetHost, is_internal};

/// The port of servers whose URL names none.
const PORT: u16 = 5432;
/// Bytes of a user's or a database's name (`NAMEDATALEN` of Postgres, less its NUL).
const NAME_BYTES_MAX: usize = 63;

/// `postgres://user@host[:port]/database[?sslmode=disable]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PostgresUrl {
    host: TargetHost,
    port: u16,
    user: Box<str>,
    database: Box<str>,
    tls: bool,
}

/// Why a text is no [`PostgresUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    /// It begins with something else.
    #[error("a server's URL is `postgres://user@host[:port]/database`")]
    Scheme,
    /// There is a password in it.
    #[error("a password has no place in a manifest: name a secret that has it, in `password`")]
    Password,
    /// There is no user, or a name that is none.
    #[error("the user is missing, or its name isn't plain: letters, digits, `_`, `-` and `.`")]
    User,
    /// The host is none.
    #[error(transparent)]
    Host(#[from] TargetError),
    /// The host is a name of the node's own.
    #[error("names in `internal` are never looked up outside the node")]
    Internal,
    /// There is no database, or a name that is none.
    #[error("the database is missing, or its name isn't plain: letters, digits, `_`, `-` and `.`")]
    Database,
    /// There is an option that isn't known.
    #[error("the only option is `sslmode`, which is `require` or `disable`")]
    Option,
}

impl PostgresUrl {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`PostgresUrlError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, PostgresUrlError> {
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or(PostgresUrlError::Scheme)?;
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').ok_or(PostgresUrlError::Database)?;
        let (user, authority) = authority.split_once('@').ok_or(PostgresUrlError::User)?;
        if user.contains(':') {
            return Err(PostgresUrlError::Password);
        }
        let user = plain(user).ok_or(PostgresUrlError::User)?;
        let database = plain(database).ok_or(PostgresUrlError::Database)?;
        let (host, port) = authority::split(authority)?;
        let host = match authority::host(host)? {
            TargetHost::Address(address) => TargetHost::Address(address.to_canonical()),
            TargetHost::Name(name) if is_internal(&name) => return Err(PostgresUrlError::Internal),
            name @ TargetHost::Name(_) => name,
        };
        let tls = match options {
            "" | "sslmode=require" => true,
            "sslmode=disable" => false,
            _ => return Err(PostgresUrlError::Option),
        };
        Ok(Self {
            host,
            port: port.unwrap_or(PORT),
            user,
            database,
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

    /// As whom.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Which of its databases.
    pub fn database(&self) -> &str {
        &self.database
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

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@{}", self.user, self.host)?;
        if self.port != PORT {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{}", self.database)?;
        if self.tls {
            return Ok(());
        }
        f.write_str("?sslmode=disable")
    }
}

impl FromStr for PostgresUrl {
    type Err = PostgresUrlError;

    fn from_str(text: &str) -> Result<Self, PostgresUrlError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for PostgresUrl {
    type Error = PostgresUrlError;

    fn try_from(text: String) -> Result<Self, PostgresUrlError> {
        Self::parse(&text)
    }
}

impl From<PostgresUrl> for String {
    fn from(url: PostgresUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{PostgresUrl, PostgresUrlError};

    #[test]
    fn url_is_shown_in_its_normal_form() {
        for (text, shown) in [
            (
                "postgres://app@DB.example.com./shop",
                "postgres://app@db.example.com/shop",
            ),
            (
                "postgresql://app@10.0.0.7:5432/shop?sslmode=require",
                "postgres://app@10.0.0.7/shop",
            ),
            (
                "postgres://a-1@[fd00::7]:6432/b_2?sslmode=disable",
                "postgres://a-1@[fd00::7]:6432/b_2?sslmode=disable",
            ),
        ] {
            let url = PostgresUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(PostgresUrl::parse(shown).unwrap(), url);
        }
    }

    #[test]
    fn what_is_no_url_says_why() {
        for (text, error) in [
            ("mysql://app@db/shop", PostgresUrlError::Scheme),
            ("postgres://app:hunter2@db/shop", PostgresUrlError::Password),
            ("postgres://db/shop", PostgresUrlError::User),
            ("postgres://a%40b@db/shop", PostgresUrlError::User),
            ("postgres://app@db", PostgresUrlError::Database),
            ("postgres://app@db/", PostgresUrlError::Database),
            ("postgres://app@db/a/b", PostgresUrlError::Database),
            (
                "postgres://app@db.internal/shop",
                PostgresUrlError::Internal,
            ),
            (
                "postgres://app@db/shop?sslmode=prefer",
                PostgresUrlError::Option,
            ),
            (
                "postgres://app@db/shop?options=-c",
                PostgresUrlError::Option,
            ),
        ] {
            assert_eq!(PostgresUrl::parse(text), Err(error), "{text}");
        }
        for host in ["", "127.1", "0x7f.1", "db:0", "a b", "[::1"] {
            let text = format!("postgres://app@{host}/shop");
            assert!(
                matches!(PostgresUrl::parse(&text), Err(PostgresUrlError::Host(_))),
                "{text}"
            );
        }
    }
}
