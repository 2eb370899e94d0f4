//! SQL databases: those of an app that a function is granted, whatever keeps them.
//!
//! Owns what a function may open, what values and failures are, and the bounds of one answer. What keeps the data is in
//! `postgres`; `convert` knows the interface.

mod convert;
mod postgres;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::notice::Notices;

/// Rows of one answer.
const ROWS_MAX: u32 = 1_000;
/// Statements of one batch.
const BATCH_MAX: usize = 100;
/// Bytes of the values of one answer, but for its first row.
const ROWS_BYTES_MAX: usize = 1 << 20;

/// A value, as the interface has them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Value {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Real(_) => 8,
        }
    }
}

/// A statement, with what stands for its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    text: String,
    parameters: Vec<Value>,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    name: String,
    /// What the database calls its type.
    kind: String,
}

/// Why a function's statement came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    NoSuchDatabase,
    AccessDenied,
    /// The server's name resolves to addresses that aren't public, and not listed; here is one of them.
    Prohibited(String),
    /// The database refuses the statement.
    Refused {
        code: String,
        message: String,
    },
    /// It can't be reached, or the connection broke off.
    Unavailable(String),
    Timeout(String),
    TooMuch(String),
    Other(String),
}

/// Tells a password when it is needed.
type Secret = Arc<dyn Fn() -> Result<SecretString, Failure> + Send + Sync>;

/// A connection that a function has opened.
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub enum Connection {
    Postgres(postgres::Session),
}

/// Rows that a function reads.
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub enum Rows {
    Postgres(postgres::Rows),
}

impl Connection {
    async fn query(
        &mut self,
        statement: Statement,
        time: Option<Duration>,
    ) -> Result<Rows, Failure> {
        match self {
            Self::Postgres(session) => session.query(statement, time).await.map(Rows::Postgres),
        }
    }

    async fn execute(
        &mut self,
        statement: Statement,
        time: Option<Duration>,
    ) -> Result<u64, Failure> {
        match self {
            Self::Postgres(session) => session.execute(statement, time).await,
        }
    }

    async fn execute_batch(
        &mut self,
        statements: Vec<Statement>,
        time: Option<Duration>,
    ) -> Result<Vec<u64>, Failure> {
        if statements.len() > BATCH_MAX {
            return Err(Failure::TooMuch(format!(
                "a batch has {BATCH_MAX} statements at most"
            )));
        }
        match self {
            Self::Postgres(session) => session.execute_batch(statements, time).await,
        }
    }

    async fn begin(&mut self, access: Access, time: Option<Duration>) -> Result<(), Failure> {
        match self {
            Self::Postgres(session) => session.begin(access, time).await,
        }
    }

    async fn commit(&mut self, time: Option<Duration>) -> Result<(), Failure> {
        match self {
            Self::Postgres(session) => session.commit(time).await,
        }
    }

    async fn rollback(&mut self, time: Option<Duration>) -> Result<(), Failure> {
        match self {
            Self::Postgres(session) => session.rollback(time).await,
        }
    }
}

impl Rows {
    fn columns(&self) -> &[Column] {
        match self {
            Self::Postgres(rows) => rows.columns(),
        }
    }

    async fn next(
        &mut self,
        count_max: u32,
        time: Option<Duration>,
    ) -> Result<Vec<Vec<Value>>, Failure> {
        match self {
            Self::Postgres(rows) => rows.next(count_max, time).await,
        }
    }
}

/// What one function may open.
struct Granted {
    databases: Vec<(String, Arc<postgres::Connections>)>,
    notices: Arc<Notices>,
}

impl Granted {
    fn open(&self, name: &str) -> Result<Connection, Failure> {
        let is_meant = |database: &&(String, Arc<postgres::Connections>)| database.0 == name;
        match self.databases.iter().find(is_meant) {
            Some((_, connections)) => Ok(Connection::Postgres(postgres::Session::new(Arc::clone(
                connections,
            )))),
            None => Err(Failure::AccessDenied),
        }
    }
}
