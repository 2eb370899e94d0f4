//! What one function does on one connection: its statements, its transaction, the rows that it reads.
//!
//! Owns that nothing of it is left for whoever has the connection next. A connection is taken from the pool with the
//! first statement, and tidied up when the function is done with it; one that is in the middle of a statement then is
//! closed, and the server is told to stop.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use deadpool::managed::Object;
use everwarm_store::sql::{ROWS_BYTES_MAX, ROWS_MAX};
use futures_util::StreamExt as _;
use tokio_postgres::{Client, Row, RowStream};

use super::value::{Cell, Parameter};
use super::{ANSWER_BYTES_MAX, Connected, Connections, Opener, Server, TIDY_MAX};
use crate::network::Allowance;
use crate::patience::in_time;
use crate::sql::{Access, Column, Failure, Statement, Value};

/// Ends a transaction, and takes back what a session can set for itself. What `DISCARD ALL` does but for prepared
/// statements: the client keeps some of its own.
const TIDY: &str = "ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
                    SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";
/// Fails where a transaction has failed: a `COMMIT` alone would undo it, and say that all is well.
const COMMIT: &str = "SELECT 1; COMMIT";

/// See the module's documentation.
pub(in crate::sql) struct Session {
    connections: Arc<Connections>,
    taken: Option<Object<Opener>>,
    /// Whether a statement is on its way.
    is_running: bool,
    /// The rows of the last statement, as their reader has them.
    reading: Arc<Reading>,
    is_in_transaction: bool,
}

/// What a session has to know of rows that a function reads beside it.
#[derive(Default)]
struct Reading {
    /// Whether they are still being read.
    is_open: AtomicBool,
    /// Whether they didn't come in time: the server works on them still.
    is_given_up: AtomicBool,
}

/// The rows of one statement.
pub(in crate::sql) struct Rows {
    server: Arc<Server>,
    allowance: Allowance,
    columns: Vec<Column>,
    /// `None` when the last one has been read.
    stream: Option<Pin<Box<RowStream>>>,
    reading: Arc<Reading>,
    /// One that was read, and had no place in the answer before.
    next: Option<Vec<Value>>,
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.reading.is_open.store(false, Ordering::Relaxed);
    }
}

impl Session {
    pub(in crate::sql) fn new(connections: Arc<Connections>) -> Self {
        Self {
            connections,
            taken: None,
            is_running: false,
            reading: Arc::default(),
            is_in_transaction: false,
        }
    }

    pub(in crate::sql) async fn query(
        &mut self,
        statement: Statement,
        until: Option<Instant>,
    ) -> Result<Rows, Failure> {
        let (rows, allowance) = self.begin_statement(statement, until).await?;
        self.reading.is_open.store(true, Ordering::Relaxed);
        let mut rows = Rows {
            server: Arc::clone(&self.connections.server),
            allowance,
            columns: Vec::new(),
            stream: Some(Box::pin(rows)),
            reading: Arc::clone(&self.reading),
            next: None,
        };
        // The client tells the columns with the first row only.
        rows.next = rows.read(until).await?;
        Ok(rows)
    }

    pub(in crate::sql) async fn execute(
        &mut self,
        statement: Statement,
        until: Option<Instant>,
    ) -> Result<u64, Failure> {
        let (rows, _) = self.begin_statement(statement, until).await?;
        self.is_running = true;
        let mut rows = std::pin::pin!(rows);
        let done = in_time(until, async {
            while let Some(row) = rows.next().await {
                row?;
            }
            Ok(rows.rows_affected().unwrap_or(0))
        });
        let done = done.await;
        self.done(done)
    }

    pub(in crate::sql) async fn execute_batch(
        &mut self,
        statements: Vec<Statement>,
        until: Option<Instant>,
    ) -> Result<Vec<u64>, Failure> {
        let is_own = !self.is_in_transaction;
        if is_own {
            self.begin(Access::Write, until).await?;
        }
        let mut changed = Vec::with_capacity(statements.len());
        for statement in statements {
            match self.execute(statement, until).await {
                Ok(rows) => changed.push(rows),
                Err(failure) => {
                    if is_own && self.is_in_transaction {
                        self.rollback(until).await?;
                    }
                    return Err(failure);
                }
            }
        }
        if is_own {
            self.commit(until).await?;
        }
        Ok(changed)
    }

    pub(in crate::sql) async fn begin(
        &mut self,
        access: Access,
        until: Option<Instant>,
    ) -> Result<(), Failure> {
        if self.is_in_transaction {
            let text = "a transaction is open already: commit it, or roll it back, first";
            return Err(Failure::Other(text.to_owned()));
        }
        let begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            Access::Write => "BEGIN",
        };
        self.say(begin, until).await?;
        self.is_in_transaction = true;
        Ok(())
    }

    pub(in crate::sql) async fn commit(&mut self, until: Option<Instant>) -> Result<(), Failure> {
        self.in_transaction()?;
        let committed = self.say(COMMIT, until).await;
        self.is_in_transaction = false;
        if matches!(committed, Err(Failure::Refused { .. })) {
            self.say("ROLLBACK", until).await?;
        }
        committed
    }

    pub(in crate::sql) async fn rollback(&mut self, until: Option<Instant>) -> Result<(), Failure> {
        self.in_transaction()?;
        self.is_in_transaction = false;
        self.say("ROLLBACK", until).await
    }

    /// Says something of the session's own.
    async fn say(&mut self, text: &str, until: Option<Instant>) -> Result<(), Failure> {
        let connected = self.connected(until).await?;
        let done = in_time(until, connected.client.batch_execute(text)).await;
        self.done(done)
    }

    fn in_transaction(&self) -> Result<(), Failure> {
        if self.is_in_transaction {
            return Ok(());
        }
        Err(Failure::Other("no transaction is open".to_owned()))
    }

    async fn begin_statement(
        &mut self,
        statement: Statement,
        until: Option<Instant>,
    ) -> Result<(RowStream, Allowance), Failure> {
        statement.check()?;
        let texts = statement.parameters.iter().filter_map(|value| match value {
            Value::Text(text) => Some(text),
            _ => None,
        });
        if texts
            .chain([&statement.text])
            .any(|text| text.contains('\0'))
        {
            let text = "a text has no NUL in Postgres: send bytes, or leave it out";
            return Err(Failure::Other(text.to_owned()));
        }
        let parameters = statement.parameters.into_iter().map(|value| {
            let parameter = Parameter(value);
            let kind = parameter.kind();
            (parameter, kind)
        });
        let parameters: Vec<_> = parameters.collect();
        let connected = self.connected(until).await?;
        let allowance = connected.allowance.clone();
        let asked = connected
            .client
            .query_typed_raw(&statement.text, parameters);
        let asked = in_time(until, asked).await;
        Ok((self.done(asked)?, allowance))
    }

    /// The connection, with a statement under way from now on.
    async fn connected(&mut self, until: Option<Instant>) -> Result<&Connected, Failure> {
        if self.reading.is_open.load(Ordering::Relaxed) {
            let text = "rows of the statement before are still being read: read or drop them first";
            return Err(Failure::Other(text.to_owned()));
        }
        let is_closed = |taken: &Object<Opener>| taken.client.is_closed();
        let is_lost = if self.reading.is_given_up.load(Ordering::Relaxed) {
            self.stop();
            true
        } else if let Some(closed) = self.taken.take_if(|taken| is_closed(taken)) {
            drop(Object::take(closed));
            true
        } else {
            false
        };
        if is_lost && std::mem::take(&mut self.is_in_transaction) {
            let text = "has lost the connection, and undone the transaction that was open";
            return Err(self.connections.server.unavailable(text));
        }
        let taken = match self.taken.take() {
            Some(taken) => taken,
            None => self.fresh(until).await?,
        };
        let taken = self.taken.insert(taken);
        taken.allowance.renew(ANSWER_BYTES_MAX);
        self.is_running = true;
        Ok(taken)
    }

    /// A connection from the pool.
    async fn fresh(&self, until: Option<Instant>) -> Result<Object<Opener>, Failure> {
        let got = in_time(until, self.connections.get()).await;
        got.unwrap_or_else(|| {
            let url = &self.connections.server.url;
            let text = format!("no connection to {url} came about in time");
            Err(Failure::Timeout(text))
        })
    }

    /// A statement has come to its end, or has not in time.
    fn done<T>(&mut self, done: Option<Result<T, tokio_postgres::Error>>) -> Result<T, Failure> {
        let Some(done) = done else {
            // What runs on is stopped, with its connection.
            self.stop();
            self.is_in_transaction = false;
            return Err(Failure::Timeout(
                "the statement took too long, and is given up; its transaction is undone"
                    .to_owned(),
            ));
        };
        self.is_running = false;
        let allowance = self.taken.as_ref().map(|taken| &taken.allowance);
        done.map_err(|error| self.connections.server.failure(&error, allowance))
    }

    /// Closes the connection, and tells the server to stop what runs on it.
    fn stop(&mut self) {
        self.is_running = false;
        self.reading = Arc::default();
        let Some(taken) = self.taken.take() else {
            return;
        };
        let server = Arc::clone(&self.connections.server);
        let runtime = server.runtime.clone();
        runtime.spawn(async move {
            // It keeps its place among the connections until then.
            let stopping = server.cancel(&taken.client);
            if !matches!(tokio::time::timeout(TIDY_MAX, stopping).await, Ok(Ok(()))) {
                tracing::debug!("a statement that was given up couldn't be stopped");
            }
            drop(Object::take(taken));
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_running || self.reading.is_given_up.load(Ordering::Relaxed) {
            self.stop();
            return;
        }
        let Some(taken) = self.taken.take() else {
            return;
        };
        self.connections.server.runtime.spawn(async move {
            taken.allowance.renew(ANSWER_BYTES_MAX);
            let tidied = tokio::time::timeout(TIDY_MAX, taken.client.batch_execute(TIDY)).await;
            if matches!(tidied, Ok(Ok(()))) {
                // Back to the pool.
                drop(taken);
            } else {
                drop(Object::take(taken));
            }
        });
    }
}

impl Server {
    /// Tells the server to stop what runs on a connection.
    async fn cancel(&self, client: &Client) -> Result<(), Failure> {
        let allowance = Allowance::of(ANSWER_BYTES_MAX);
        let stream = self.stream(&allowance).await?;
        let token = client.cancel_token();
        let cancelled = if self.url.tls() {
            token.cancel_query_raw(stream, self.handshake()?).await
        } else {
            token.cancel_query_raw(stream, tokio_postgres::NoTls).await
        };
        cancelled.map_err(|error| self.failure(&error, Some(&allowance)))
    }
}

impl Rows {
    pub(in crate::sql) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(in crate::sql) async fn next(
        &mut self,
        count_max: u32,
        until: Option<Instant>,
    ) -> Result<Vec<Vec<Value>>, Failure> {
        let count_max = (count_max as usize).clamp(1, ROWS_MAX);
        let mut answer = Vec::new();
        let mut bytes = 0;
        while answer.len() < count_max {
            let row = match self.next.take() {
                Some(row) => row,
                None => match self.read(until).await? {
                    Some(row) => row,
                    None => break,
                },
            };
            let size: usize = row.iter().map(Value::bytes).sum();
            // One is answered in any case: there is no smaller step.
            if !answer.is_empty() && bytes + size > ROWS_BYTES_MAX {
                self.next = Some(row);
                break;
            }
            bytes += size;
            answer.push(row);
        }
        Ok(answer)
    }

    async fn read(&mut self, until: Option<Instant>) -> Result<Option<Vec<Value>>, Failure> {
        let Some(rows) = &mut self.stream else {
            return Ok(None);
        };
        let read = in_time(until, async { rows.next().await.transpose() }).await;
        let row = match read {
            Some(Ok(Some(row))) => {
                if self.columns.is_empty() {
                    self.columns = row.columns().iter().map(column).collect();
                }
                values(&row)
            }
            Some(Ok(None)) => {
                self.end();
                return Ok(None);
            }
            Some(Err(error)) => Err(self.server.failure(&error, Some(&self.allowance))),
            None => {
                self.reading.is_given_up.store(true, Ordering::Relaxed);
                Err(Failure::Timeout("no row came in time".to_owned()))
            }
        };
        if row.is_err() {
            self.end();
        }
        row.map(Some)
    }

    fn end(&mut self) {
        self.stream = None;
        self.reading.is_open.store(false, Ordering::Relaxed);
    }
}

fn column(column: &tokio_postgres::Column) -> Column {
    Column {
        name: column.name().to_owned(),
        kind: column.type_().name().to_owned(),
    }
}

fn values(row: &Row) -> Result<Vec<Value>, Failure> {
    let cells = (0..row.len()).map(|index| match row.try_get::<_, Cell>(index) {
        Ok(Cell(value)) => Ok(value),
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            Err(Failure::Other(source.unwrap_or_else(|| error.to_string())))
        }
    });
    cells.collect()
}
