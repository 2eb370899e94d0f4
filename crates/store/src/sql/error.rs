//! Why a statement wasn't done. Owns the kinds that callers act on. Knows no engine.

use std::fmt;

/// Why a statement wasn't done, which its author may see: it has their own SQL and names in it, and no paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// What kind of failure it is.
    pub kind: SqlKind,
    /// SQLite's extended result code, where SQLite said so: <https://sqlite.org/rescode.html>.
    pub code: Option<i32>,
    /// What happened, and what to do.
    pub message: String,
    /// Which statement of a batch it was, from 0.
    pub statement: Option<usize>,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SqlKind {
    /// The statement has a mistake: its syntax, a name that isn't there, a wrong number of parameters.
    Sql,
    /// It would break a constraint: a unique or foreign key, `NOT NULL`, `CHECK`, the type of a strict table.
    Constraint,
    /// It waited too long for others: try again.
    Busy,
    /// It ran too long.
    TimeOut,
    /// A text, value, row or answer is too large, or it takes too much room while it runs.
    TooLarge,
    /// The database would have more bytes than it may.
    Quota,
    /// It isn't allowed.
    Denied,
    /// Its transaction was rolled back, or its cursor closed, before.
    Ended,
    /// A transaction is open where there may be none, or none where there should be.
    Misuse,
    /// Its caller has left.
    Interrupted,
    /// Nothing more fits on the disk.
    DiskFull,
    /// What is kept can't be what was written.
    Damaged,
    /// The engine failed, or was let go.
    Failed,
}

impl SqlKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Constraint => "constraint",
            Self::Busy => "busy",
            Self::TimeOut => "time-out",
            Self::TooLarge => "too-large",
            Self::Quota => "quota",
            Self::Denied => "denied",
            Self::Ended => "ended",
            Self::Misuse => "misuse",
            Self::Interrupted => "interrupted",
            Self::DiskFull => "disk-full",
            Self::Damaged => "damaged",
            Self::Failed => "failed",
        }
    }
}

impl SqlError {
    /// One that SQLite didn't say.
    pub fn new(kind: SqlKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: None,
            message: message.into(),
            statement: None,
        }
    }

    /// The same, with the place of the statement in its batch.
    #[must_use]
    pub(crate) fn at_statement(mut self, place: usize) -> Self {
        self.statement = Some(place);
        self
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.statement {
            write!(f, "statement {}: ", place + 1)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for SqlError {}
