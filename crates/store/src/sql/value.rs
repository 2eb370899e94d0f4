//! What goes into statements and comes out of them. Owns how large each counts. Knows no SQLite.

use bytes::Bytes;

use super::{
    BATCH_BYTES_MAX, BATCH_MAX, PARAMETERS_MAX, SQL_BYTES_MAX, STATEMENT_BYTES_MAX, SqlError,
    SqlKind, VALUE_BYTES_MAX,
};

/// Bytes that a value counts beside those of a text or blob.
const VALUE_BYTES: usize = 16;

/// A value, of one of SQLite's five types.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number. SQLite has no NaN: it makes `Null` of it.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Bytes),
}

impl Value {
    /// What it counts, in bytes.
    pub fn bytes(&self) -> usize {
        VALUE_BYTES + self.content_bytes()
    }

    fn content_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Integer(_) | Self::Real(_) => 0,
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
        }
    }
}

/// One row of an answer: a value for each column.
pub type Row = Vec<Value>;

/// One statement, and the values of its parameters (`?1`, `?`, `:name`) in the order of their numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its text.
    pub sql: String,
    /// As many as it has parameters.
    pub parameters: Vec<Value>,
}

impl Statement {
    /// A statement without parameters.
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            parameters: Vec::new(),
        }
    }

    /// The statement with one more value.
    #[must_use]
    pub fn bind(mut self, value: Value) -> Self {
        self.parameters.push(value);
        self
    }

    /// Its bytes, if it isn't too large.
    ///
    /// # Errors
    ///
    /// [`SqlKind::TooLarge`].
    pub fn checked_bytes(&self) -> Result<usize, SqlError> {
        let refuse = |what: String| Err(SqlError::new(SqlKind::TooLarge, what));
        if self.sql.len() > SQL_BYTES_MAX {
            return refuse(format!(
                "the statement has {} bytes of text, and may have {SQL_BYTES_MAX}: bind values instead of writing them",
                self.sql.len()
            ));
        }
        if self.parameters.len() > PARAMETERS_MAX {
            return refuse(format!(
                "the statement has {} parameters, and may have {PARAMETERS_MAX}: make several of it",
                self.parameters.len()
            ));
        }
        let largest = self.parameters.iter().map(Value::content_bytes).max();
        if let Some(bytes) = largest.filter(|bytes| *bytes > VALUE_BYTES_MAX) {
            return refuse(format!(
                "a value has {bytes} bytes, and may have {VALUE_BYTES_MAX}: keep it in parts"
            ));
        }
        let bytes = self.sql.len() + self.parameters.iter().map(Value::bytes).sum::<usize>();
        if bytes > STATEMENT_BYTES_MAX {
            return refuse(format!(
                "the statement and its values have {bytes} bytes, and may have {STATEMENT_BYTES_MAX}: make several of it"
            ));
        }
        Ok(bytes)
    }
}

/// The bytes of a batch, if it isn't too large.
pub(crate) fn checked_batch(statements: &[Statement]) -> Result<usize, SqlError> {
    if statements.len() > BATCH_MAX {
        let what = format!(
            "the batch has {} statements, and may have {BATCH_MAX}: use a transaction",
            statements.len()
        );
        return Err(SqlError::new(SqlKind::TooLarge, what));
    }
    let mut bytes = 0;
    for (place, statement) in statements.iter().enumerate() {
        bytes += statement
            .checked_bytes()
            .map_err(|error| error.at_statement(place))?;
    }
    if bytes > BATCH_BYTES_MAX {
        let what = format!(
            "the batch has {bytes} bytes, and may have {BATCH_BYTES_MAX}: make several of it"
        );
        return Err(SqlError::new(SqlKind::TooLarge, what));
    }
    Ok(bytes)
}

/// What a statement has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Executed {
    /// Rows that it inserted, updated or deleted itself; those of triggers don't count.
    pub changes: u64,
    /// The row id of the last insert that this connection has made into a table with row ids; 0 before the first.
    pub last_insert_id: i64,
}
