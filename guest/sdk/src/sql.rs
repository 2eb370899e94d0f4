//! SQL databases of the app. Here is the API; how the host is asked is `sys`.

mod error;
mod value;

use std::collections::VecDeque;
use std::sync::Arc;

pub use self::error::SqlError;
pub use self::value::{FromValue, Row, Value};
use crate::sys::sql as host;

/// Rows that are asked for at a time.
const ROWS_AT_ONCE: u32 = 1_000;

/// The parameters of a statement: `params![7, "text", None::<i64>]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        [$($crate::sql::Value::from($value)),*]
    };
}

/// A database of the app.
///
/// ```
/// use everwarm_sdk::sql::Connection;
/// use everwarm_sdk::{Result, params};
///
/// #[everwarm_sdk::http]
/// async fn names() -> Result<String> {
///     let database = Connection::open("default")?;
///     let sql = "SELECT name FROM person WHERE age >= ?1 ORDER BY name";
///     let mut names = String::new();
///     for row in database.query(sql, params![18]).await?.all().await? {
///         names += &row.get::<String>("name")?;
///         names += "\n";
///     }
///     Ok(names)
/// }
/// ```
#[derive(Debug)]
pub struct Connection(host::Connection);

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// All its statements see one moment, and change nothing.
    Read,
    /// It may change something.
    Write,
}

#[expect(
    clippy::unused_async,
    reason = "the host answers at once today; WASI's interfaces are becoming async"
)]
impl Connection {
    /// Opens a database, which the function's manifest has to grant.
    ///
    /// # Errors
    /// [`SqlError::AccessDenied`] without a grant, [`SqlError::NoSuchDatabase`] when the app has none of that name.
    pub fn open(name: &str) -> Result<Self, SqlError> {
        host::Connection::open(name).map(Self)
    }

    /// Runs a statement for its rows. They are read, or dropped, before the next statement.
    ///
    /// # Errors
    /// When the database refuses it, or can't be asked.
    pub async fn query(
        &self,
        statement: &str,
        parameters: impl IntoIterator<Item = Value>,
    ) -> Result<Rows<'_>, SqlError> {
        let parameters: Vec<_> = parameters.into_iter().collect();
        let rows = self.0.query(statement, &parameters)?;
        let names: Vec<String> = rows.columns().into_iter().map(|(name, _)| name).collect();
        Ok(Rows {
            columns: names.into(),
            read: VecDeque::new(),
            source: Some(rows),
            connection: self,
        })
    }

    /// Runs a statement for what it changes. Returns how many rows that were.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn execute(
        &self,
        statement: &str,
        parameters: impl IntoIterator<Item = Value>,
    ) -> Result<u64, SqlError> {
        let parameters: Vec<_> = parameters.into_iter().collect();
        self.0.execute(statement, &parameters)
    }

    /// Runs statements one behind the other, at most 100: all of them or none.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn execute_batch(
        &self,
        statements: &[(&str, &[Value])],
    ) -> Result<Vec<u64>, SqlError> {
        self.0.execute_batch(statements)
    }

    /// Begins a transaction, in which statements are until it is committed. One that is dropped is undone.
    ///
    /// ```
    /// use everwarm_sdk::params;
    /// use everwarm_sdk::sql::{Access, Connection, SqlError};
    ///
    /// async fn pay(database: &Connection, from: i64, to: i64, amount: i64) -> Result<(), SqlError> {
    ///     let transaction = database.begin(Access::Write).await?;
    ///     let take = "UPDATE account SET balance = balance - ?2 WHERE id = ?1 AND balance >= ?2";
    ///     if transaction.execute(take, params![from, amount]).await? == 1 {
    ///         let give = "UPDATE account SET balance = balance + ?2 WHERE id = ?1";
    ///         transaction.execute(give, params![to, amount]).await?;
    ///         transaction.commit().await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Connection::query`], and when one is open already.
    pub async fn begin(&self, access: Access) -> Result<Transaction<'_>, SqlError> {
        self.0.begin(access)?;
        Ok(Transaction {
            connection: self,
            is_open: true,
        })
    }
}

/// A transaction. Statements go to it as to its connection.
#[derive(Debug)]
pub struct Transaction<'a> {
    connection: &'a Connection,
    is_open: bool,
}

#[expect(clippy::unused_async, reason = "as above")]
impl Transaction<'_> {
    /// Keeps what it has done.
    ///
    /// # Errors
    /// When nothing of it is kept, or, with [`SqlError::Unavailable`], when that isn't known.
    pub async fn commit(mut self) -> Result<(), SqlError> {
        self.is_open = false;
        self.connection.0.commit()
    }

    /// Undoes what it has done.
    ///
    /// # Errors
    /// When the connection is broken; then it is undone too.
    pub async fn rollback(mut self) -> Result<(), SqlError> {
        self.is_open = false;
        self.connection.0.rollback()
    }
}

impl std::ops::Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // One that can't be told ends with its connection.
            let _ = self.connection.0.rollback();
        }
    }
}

/// The rows of one statement, in order.
#[derive(Debug)]
pub struct Rows<'a> {
    columns: Arc<[String]>,
    read: VecDeque<Vec<Value>>,
    /// `None` after the last one was read.
    source: Option<host::Rows>,
    #[expect(dead_code, reason = "it keeps the connection, whose rows these are")]
    connection: &'a Connection,
}

#[expect(clippy::unused_async, reason = "as above")]
impl Rows<'_> {
    /// The columns' names. Of an answer without rows they may not be known: then there are none.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The next one; `None` after the last.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn next(&mut self) -> Result<Option<Row>, SqlError> {
        if self.read.is_empty() {
            self.fetch()?;
        }
        Ok(self.read.pop_front().map(|values| self.row(values)))
    }

    /// All that are left.
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn all(mut self) -> Result<Vec<Row>, SqlError> {
        while self.source.is_some() {
            self.fetch()?;
        }
        let read = std::mem::take(&mut self.read).into_iter();
        Ok(read.map(|values| self.row(values)).collect())
    }

    fn row(&self, values: Vec<Value>) -> Row {
        Row {
            columns: Arc::clone(&self.columns),
            values,
        }
    }

    fn fetch(&mut self) -> Result<(), SqlError> {
        let Some(rows) = &self.source else {
            return Ok(());
        };
        let more = rows.next(ROWS_AT_ONCE)?;
        if more.is_empty() {
            self.source = None;
        }
        self.read.extend(more);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
