//! What one function does on one connection: its statements, its transaction, the rows that it reads.
//!
//! Owns that nothing of it is left for whoever has the connection next. A connection is taken from the pool with the
//! first statement, and tidied up when the function is done with it; one that is in the middle of a statement then is
//! closed, and the server is told to stop.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool::managed::Object;
use futures_util::StreamExt as _;
use tokio_postgres::{Client, Row, RowStream};

use super::metered::Allowance;
use super::value::{Cell, Parameter};
use super::{ANSWER_BYTES_MAX, Connections, Opener, Server, TIDY_MAX};
use crate::sql::{Access, Column, Failure, ROWS_BYTES_MAX, ROWS_MAX, Statement, Value};

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
    /// Whether rows of the last statement are still being read.
    is_read: Arc<AtomicBool>,
    is_in_transaction: bool,
}

/// The rows of one statement.
pub(in crate::sql) struct Rows {
    server: Arc<Server>,
    allowance: Allowance,
    columns: Vec<Column>,
    /// `None` when the last one has been read.
    stream: Option<Pin<Box<RowStream>>>,
    is_read: Arc<AtomicBool>,
    /// One that was read, and had no place in the answer before.
    next: Option<Vec<Value>>,
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.is_read.store(false, Ordering::Relaxed);
    }
}

impl Session {
    pub(in crate::sql) fn new(connections: Arc<Connections>) -> Self {
        Self {
            connections,
            taken: None,
            is_running: false,
            is_read: Arc::default(),
            is_in_transaction: false,
        }
    }

    pub(in crate::sql) async fn query(
        &mut self,
        statement: Statement,
        time: Option<Duration>,
    ) -> Result<Rows, Failure> {
        let rows = self.begin_statement(statement, time).await?;
        self.is_read.store(true, Ordering::Relaxed);
        let allowance = self.taken.as_ref().map(|taken| taken.allowance.clone());
        let mut rows = Rows {
            server: Arc::clone(&self.connections.server),
            allowance: allowance.unwrap_or_default(),
            columns: Vec::new(),
            stream: Some(Box::pin(rows)),
            is_read: Arc::clone(&self.is_read),
            next: None,
        };
        // The client tells the columns with the first row only.
        rows.next = rows.read(time).await?;
        Ok(rows)
    }

    pub(in crate::sql) async fn execute(
        &mut self,
        statement: Statement,
        time: Option<Duration>,
    ) -> Result<u64, Failure> {
        let rows = self.begin_statement(statement, time).await?;
        self.is_running = true;
        let mut rows = std::pin::pin!(rows);
        let done = in_time(time, async {
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
        time: Option<Duration>,
    ) -> Result<Vec<u64>, Failure> {
        let is_own = !self.is_in_transaction;
        if is_own {
            self.begin(Access::Write, time).await?;
        }
        let mut changed = Vec::with_capacity(statements.len());
        for statement in statements {
            match self.execute(statement, time).await {
                Ok(rows) => changed.push(rows),
                Err(failure) => {
                    if is_own && self.is_in_transaction {
                        self.rollback(time).await?;
                    }
                    return Err(failure);
                }
            }
        }
        if is_own {
            self.commit(time).await?;
        }
        Ok(changed)
    }

    pub(in crate::sql) async fn begin(
        &mut self,
        access: Access,
        time: Option<Duration>,
    ) -> Result<(), Failure> {
        if self.is_in_transaction {
            let text = "a transaction is open already: commit it, or roll it back, first";
            return Err(Failure::Other(text.to_owned()));
        }
        let begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            Access::Write => "BEGIN",
        };
        self.say(begin, time).await?;
        self.is_in_transaction = true;
        Ok(())
    }

    pub(in crate::sql) async fn commit(&mut self, time: Option<Duration>) -> Result<(), Failure> {
        self.in_transaction()?;
        let committed = self.say(COMMIT, time).await;
        self.is_in_transaction = false;
        if matches!(committed, Err(Failure::Refused { .. })) {
            self.say("ROLLBACK", time).await?;
        }
        committed
    }

    pub(in crate::sql) async fn rollback(&mut self, time: Option<Duration>) -> Result<(), Failure> {
        self.in_transaction()?;
        self.is_in_transaction = false;
        self.say("ROLLBACK", time).await
    }

    /// Says something of the session's own.
    async fn say(&mut self, text: &str, time: Option<Duration>) -> Result<(), Failure> {
        let client = self.client().await?;
        let done = in_time(time, client.batch_execute(text)).await;
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
        time: Option<Duration>,
    ) -> Result<RowStream, Failure> {
        let parameters = statement.parameters.into_iter().map(|value| {
            let parameter = Parameter(value);
            let kind = parameter.kind();
            (parameter, kind)
        });
        let parameters: Vec<_> = parameters.collect();
        let client = self.client().await?;
        let asked = in_time(time, client.query_typed_raw(&statement.text, parameters)).await;
        self.done(asked)
    }

    /// The connection's client, with a statement under way from now on.
    async fn client(&mut self) -> Result<&Client, Failure> {
        if self.is_read.load(Ordering::Relaxed) {
            let text = "rows of the statement before are still being read: read or drop them first";
            return Err(Failure::Other(text.to_owned()));
        }
        if self
            .taken
            .as_ref()
            .is_some_and(|taken| taken.client.is_closed())
        {
            self.close();
            if std::mem::take(&mut self.is_in_transaction) {
                let text = "has closed the connection, and undone the transaction that was open";
                return Err(self.connections.server.unavailable(text));
            }
        }
        let taken = match self.taken.take() {
            Some(taken) => taken,
            None => self.connections.get().await?,
        };
        let taken = self.taken.insert(taken);
        taken.allowance.renew(ANSWER_BYTES_MAX);
        self.is_running = true;
        Ok(&taken.client)
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
        let allowance = self.taken.as_ref().map(|taken| taken.allowance.clone());
        let allowance = allowance.unwrap_or_default();
        done.map_err(|error| self.connections.server.failure(&error, &allowance))
    }

    fn close(&mut self) {
        if let Some(taken) = self.taken.take() {
            drop(Object::take(taken));
        }
    }

    /// Closes the connection, and tells the server to stop what runs on it.
    fn stop(&mut self) {
        self.is_running = false;
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
        if self.is_running {
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
        cancelled.map_err(|error| self.failure(&error, &allowance))
    }
}

impl Rows {
    pub(in crate::sql) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(in crate::sql) async fn next(
        &mut self,
        count_max: u32,
        time: Option<Duration>,
    ) -> Result<Vec<Vec<Value>>, Failure> {
        let count_max = count_max.clamp(1, ROWS_MAX) as usize;
        let mut answer = Vec::new();
        let mut bytes = 0;
        while answer.len() < count_max {
            let row = match self.next.take() {
                Some(row) => row,
                None => match self.read(time).await? {
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

    async fn read(&mut self, time: Option<Duration>) -> Result<Option<Vec<Value>>, Failure> {
        let Some(rows) = &mut self.stream else {
            return Ok(None);
        };
        let read = in_time(time, async { rows.next().await.transpose() }).await;
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
            Some(Err(error)) => Err(self.server.failure(&error, &self.allowance)),
            None => Err(Failure::Timeout("no row came in time".to_owned())),
        };
        if row.is_err() {
            self.end();
        }
        row.map(Some)
    }

    fn end(&mut self) {
        self.stream = None;
        self.is_read.store(false, Ordering::Relaxed);
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

/// What comes of it within that time.
async fn in_time<T>(time: Option<Duration>, asked: impl Future<Output = T>) -> Option<T> {
    match time {
        None => Some(asked.await),
        Some(time) => tokio::time::timeout(time, asked).await.ok(),
    }
}
