//! Why a command wasn't done, or isn't known to be.

use std::fmt;

use super::Value;

/// Why a command wasn't done, or isn't known to be.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RedisError {
    /// There is no server of that name.
    NoSuchServer,
    /// The function's manifest doesn't grant the server.
    AccessDenied,
    /// The server refuses the command: a code such as `WRONGTYPE`, and a text.
    Refused(String),
    /// The command changes or holds a connection, which others have next.
    NotAllowed(String),
    /// The server can't be reached, or the connection broke off. The command may have been done or not.
    Unavailable(String),
    /// It took too long, and is given up. The command may have been done or not.
    Timeout(String),
    /// A bound is reached.
    TooMuch(String),
    /// The answer is of another kind than was asked for.
    Unexpected(Value),
}

impl fmt::Display for RedisError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchServer => formatter.write_str("there is no Redis server of that name"),
            Self::AccessDenied => formatter.write_str(
                "the function's manifest doesn't grant the Redis server: add its name to `redis` in [function.grants]",
            ),
            Self::Refused(text)
            | Self::NotAllowed(text)
            | Self::Unavailable(text)
            | Self::Timeout(text)
            | Self::TooMuch(text) => formatter.write_str(text),
            Self::Unexpected(_) => {
                formatter.write_str("the answer is of another kind than was asked for")
            }
        }
    }
}

impl std::error::Error for RedisError {}
