//! Databases that the node keeps: the store's port, as the interface has it. Converts, and knows nothing else.

use std::collections::VecDeque;

use everwarm_store::sql::{self, SqlError, SqlKind};

use super::{Access, Column, Failure, Statement, Value};

/// A connection that a function has opened.
pub(in crate::sql) struct Session(pub(super) Box<dyn sql::Connection>);

/// Rows that a function reads.
pub(in crate::sql) struct Rows {
    cursor: Box<dyn sql::Cursor>,
    columns: Vec<Column>,
    /// Those that came with others, and had no place in the answer before.
    read: VecDeque<Vec<Value>>,
}

impl From<Value> for sql::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            // SQLite has numbers for it.
            Value::Boolean(value) => Self::Integer(value.into()),
            Value::Integer(value) => Self::Integer(value),
            Value::Real(value) => Self::Real(value),
            Value::Text(value) => Self::Text(value),
            Value::Blob(value) => Self::Blob(value.into()),
        }
    }
}

impl From<sql::Value> for Value {
    fn from(value: sql::Value) -> Self {
        match value {
            sql::Value::Null => Self::Null,
            sql::Value::Integer(value) => Self::Integer(value),
            sql::Value::Real(value) => Self::Real(value),
            sql::Value::Text(value) => Self::Text(value),
            sql::Value::Blob(value) => Self::Blob(value.into()),
        }
    }
}

impl From<Statement> for sql::Statement {
    fn from(statement: Statement) -> Self {
        Self {
            sql: statement.text,
            parameters: statement.parameters.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Access> for sql::Access {
    fn from(access: Access) -> Self {
        match access {
            Access::Read => Self::Read,
            Access::Write => Self::Write,
        }
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        let message = error.to_string();
        match error.kind {
            SqlKind::Sql | SqlKind::Constraint | SqlKind::Denied => Self::Refused {
                code: code(&error),
                message,
            },
            SqlKind::Busy | SqlKind::TimeOut => Self::Timeout(message),
            SqlKind::TooLarge | SqlKind::Quota => Self::TooMuch(message),
            SqlKind::Ended | SqlKind::Misuse => Self::Other(message),
            SqlKind::Interrupted | SqlKind::DiskFull | SqlKind::Damaged | SqlKind::Failed => {
                Self::Unavailable(message)
            }
        }
    }
}

/// The name of SQLite's result code, <https://sqlite.org/rescode.html>.
fn code(error: &SqlError) -> String {
    let name = match error.code {
        None | Some(23) => "SQLITE_AUTH",
        Some(1) => "SQLITE_ERROR",
        Some(18) => "SQLITE_TOOBIG",
        Some(19) => "SQLITE_CONSTRAINT",
        Some(20) => "SQLITE_MISMATCH",
        Some(25) => "SQLITE_RANGE",
        Some(275) => "SQLITE_CONSTRAINT_CHECK",
        Some(787) => "SQLITE_CONSTRAINT_FOREIGNKEY",
        Some(1_299) => "SQLITE_CONSTRAINT_NOTNULL",
        Some(1_555) => "SQLITE_CONSTRAINT_PRIMARYKEY",
        Some(1_811) => "SQLITE_CONSTRAINT_TRIGGER",
        Some(2_067) => "SQLITE_CONSTRAINT_UNIQUE",
        Some(2_579) => "SQLITE_CONSTRAINT_ROWID",
        Some(3_091) => "SQLITE_CONSTRAINT_DATATYPE",
        Some(other) => return format!("SQLITE_{other}"),
    };
    name.to_owned()
}

impl Session {
    pub(super) async fn query(&mut self, statement: Statement) -> Result<Rows, Failure> {
        let cursor = self.0.query(statement.into()).await?;
        let columns = cursor.columns().iter().map(|name| Column {
            name: name.clone(),
            kind: String::new(),
        });
        Ok(Rows {
            columns: columns.collect(),
            cursor,
            read: VecDeque::new(),
        })
    }

    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64, Failure> {
        Ok(self.0.execute(statement.into()).await?.changes)
    }

    pub(super) async fn execute_batch(
        &mut self,
        statements: Vec<Statement>,
    ) -> Result<Vec<u64>, Failure> {
        let statements = statements.into_iter().map(Into::into).collect();
        let done = self.0.execute_batch(statements).await?;
        Ok(done.iter().map(|executed| executed.changes).collect())
    }

    pub(super) async fn begin(&mut self, access: Access) -> Result<(), Failure> {
        Ok(self.0.begin(access.into()).await?)
    }

    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        Ok(self.0.commit().await?)
    }

    pub(super) async fn rollback(&mut self) -> Result<(), Failure> {
        Ok(self.0.rollback().await?)
    }
}

impl Rows {
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(super) async fn next(&mut self, count_max: u32) -> Result<Vec<Vec<Value>>, Failure> {
        if self.read.is_empty() {
            let rows = self.cursor.rows().await?.unwrap_or_default();
            let row = |row: sql::Row| row.into_iter().map(Value::from).collect();
            self.read.extend(rows.into_iter().map(row));
        }
        let count = self.read.len().min(count_max.max(1) as usize);
        Ok(self.read.drain(..count).collect())
    }
}
