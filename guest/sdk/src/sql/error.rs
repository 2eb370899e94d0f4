//! Why a statement came to nothing.

use std::fmt;

/// Why a statement came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqlError {
    /// There is no database of that name.
    NoSuchDatabase,
    /// The function's manifest doesn't grant the database.
    AccessDenied,
    /// The database refuses the statement. Nothing of it is done.
    Refused {
        /// Stable: an SQLSTATE of Postgres (`23505`), a result code of SQLite (`SQLITE_CONSTRAINT_UNIQUE`).
        code: String,
        /// What it says.
        message: String,
    },
    /// It can't be reached, or the connection broke off. What was asked for last may have been done or not.
    Unavailable(String),
    /// It took too long, and is given up.
    Timeout(String),
    /// A bound is reached: of rows, bytes, connections, or a quota.
    TooMuch(String),
    /// A value isn't of the type that was asked for, or there is no such column.
    Value(String),
    /// Something else, in the host's words.
    Other(String),
}

impl fmt::Display for SqlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchDatabase => formatter.write_str("there is no database of that name"),
            Self::AccessDenied => formatter.write_str(
                "the function's manifest doesn't grant the database: add its name to `sql` in [function.grants]",
            ),
            Self::Refused { code, message } => write!(formatter, "{message} ({code})"),
            Self::Unavailable(text)
            | Self::Timeout(text)
            | Self::TooMuch(text)
            | Self::Value(text)
            | Self::Other(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for SqlError {}
