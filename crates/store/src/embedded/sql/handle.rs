//! The port's handles. Owns what a handle is in, and what becomes of it when a future or a handle is dropped. Knows no
//! SQL.

use std::sync::Arc;

use super::lease::{Lease, Line, until};
use super::pool::{Pool, let_go};
use super::seat::{Chunk, Done, Work};
use crate::StoreFuture;
use crate::sql::{
    Access, Connection, Cursor, Database, Executed, Row, SqlError, SqlKind, Statement, Terms,
    checked_batch,
};

/// A handle on a database.
pub(super) struct Handle {
    pool: Arc<Pool>,
    database: Database,
    terms: Terms,
    transaction: Transaction,
}

/// What a handle is in.
enum Transaction {
    None,
    /// The transaction's connection.
    Open(Lease),
    /// A future was dropped, and its connection with it: what the transaction had done is undone.
    Lost,
}

impl Handle {
    pub(super) fn new(pool: Arc<Pool>, database: Database, terms: Terms) -> Self {
        Self {
            pool,
            database,
            terms,
            transaction: Transaction::None,
        }
    }

    /// The transaction's connection, or one of the pool's. Until it is put back the transaction is lost.
    async fn lease(&mut self) -> Result<(Lease, bool), SqlError> {
        match std::mem::replace(&mut self.transaction, Transaction::Lost) {
            Transaction::Open(lease) => Ok((lease, true)),
            Transaction::Lost => Err(lost()),
            Transaction::None => {
                self.transaction = Transaction::None;
                let deadline = until(&self.terms);
                let lease = self
                    .pool
                    .lease(&self.database, deadline, &self.terms)
                    .await?;
                Ok((lease, false))
            }
        }
    }

    /// Asks for something that leaves the connection in what it was in.
    pub(super) async fn ask(&mut self, work: Work, bytes: usize) -> Result<Done, SqlError> {
        let deadline = until(&self.terms);
        let room = self
            .pool
            .room(&self.database, bytes, deadline, &self.terms)
            .await?;
        let (mut lease, is_in_transaction) = self.lease().await?;
        let done = lease.ask(work, &self.terms, Some(room)).await;
        if is_in_transaction {
            self.transaction = Transaction::Open(lease);
        } else {
            lease.is_as_found();
        }
        done
    }

    async fn open_cursor(&mut self, statement: Statement) -> Result<Box<dyn Cursor>, SqlError> {
        let bytes = statement.checked_bytes()?;
        let deadline = until(&self.terms);
        let room = self
            .pool
            .room(&self.database, bytes, deadline, &self.terms)
            .await?;
        let number = self.pool.next_cursor();
        let (mut lease, is_in_transaction) = self.lease().await?;
        let work = Work::Query(number, statement);
        let done = lease.ask(work, &self.terms, Some(room)).await;
        let line = lease.line();
        let mut own = None;
        if is_in_transaction {
            self.transaction = Transaction::Open(lease);
        } else {
            own = Some(lease);
        }
        let done = match done {
            Ok(Done::Opened(columns, chunk)) => Ok((columns, chunk)),
            Ok(_) => Err(let_go()),
            Err(error) => Err(error),
        };
        let is_over = done.as_ref().map_or(true, |(_, chunk)| !chunk.more);
        if is_over && let Some(mut lease) = own.take() {
            lease.is_as_found();
        }
        let (columns, chunk) = done?;
        Ok(Box::new(Answer {
            number,
            columns,
            terms: self.terms,
            chunk: Some(chunk),
            line,
            own,
        }))
    }

    async fn begin(&mut self, access: Access) -> Result<(), SqlError> {
        if !matches!(self.transaction, Transaction::None) {
            let what = "a transaction is open already: end it first, or use `SAVEPOINT`";
            return Err(SqlError::new(SqlKind::Misuse, what));
        }
        let (mut lease, _) = self.lease().await?;
        let begun = lease.ask(Work::Begin(access), &self.terms, None).await;
        match begun {
            Ok(_) => {
                self.transaction = Transaction::Open(lease);
                Ok(())
            }
            Err(error) => {
                lease.is_as_found();
                Err(error)
            }
        }
    }

    async fn end(&mut self, work: Work) -> Result<(), SqlError> {
        let is_rollback = matches!(work, Work::Rollback);
        match std::mem::replace(&mut self.transaction, Transaction::None) {
            Transaction::None => Err(SqlError::new(SqlKind::Misuse, "there is no transaction")),
            Transaction::Lost if is_rollback => Ok(()),
            Transaction::Lost => Err(lost()),
            Transaction::Open(mut lease) => {
                let done = lease.ask(work, &self.terms, None).await;
                lease.is_as_found();
                done.map(|_| ())
            }
        }
    }
}

fn lost() -> SqlError {
    let what =
        "the transaction was rolled back, for a statement of it was given up: begin it again";
    SqlError::new(SqlKind::Ended, what)
}

impl Connection for Handle {
    fn execute(&mut self, statement: Statement) -> StoreFuture<'_, Result<Executed, SqlError>> {
        Box::pin(async move {
            let bytes = statement.checked_bytes()?;
            match self.ask(Work::Execute(statement), bytes).await? {
                Done::Executed(executed) => Ok(executed),
                _ => Err(let_go()),
            }
        })
    }

    fn execute_batch(
        &mut self,
        statements: Vec<Statement>,
    ) -> StoreFuture<'_, Result<Vec<Executed>, SqlError>> {
        Box::pin(async move {
            let bytes = checked_batch(&statements)?;
            match self.ask(Work::Batch(statements), bytes).await? {
                Done::Batch(executed) => Ok(executed),
                _ => Err(let_go()),
            }
        })
    }

    fn query(
        &mut self,
        statement: Statement,
    ) -> StoreFuture<'_, Result<Box<dyn Cursor>, SqlError>> {
        Box::pin(self.open_cursor(statement))
    }

    fn begin(&mut self, access: Access) -> StoreFuture<'_, Result<(), SqlError>> {
        Box::pin(self.begin(access))
    }

    fn commit(&mut self) -> StoreFuture<'_, Result<(), SqlError>> {
        Box::pin(self.end(Work::Commit))
    }

    fn rollback(&mut self) -> StoreFuture<'_, Result<(), SqlError>> {
        Box::pin(self.end(Work::Rollback))
    }
}

/// A statement's rows.
struct Answer {
    number: u64,
    columns: Vec<String>,
    terms: Terms,
    /// What came and wasn't given yet; none when the cursor is over.
    chunk: Option<Chunk>,
    line: Line,
    /// The connection, which is the cursor's own outside of a transaction.
    own: Option<Lease>,
}

impl Answer {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        let Some(mut chunk) = self.chunk.take() else {
            return Ok(None);
        };
        if chunk.rows.is_empty() && chunk.more {
            // Unless they come, the cursor is over.
            chunk = self.more().await?;
        }
        if chunk.rows.is_empty() {
            return Ok(None);
        }
        let rows = std::mem::take(&mut chunk.rows);
        self.chunk = chunk.more.then_some(chunk);
        Ok(Some(rows))
    }

    async fn more(&mut self) -> Result<Chunk, SqlError> {
        let work = Work::Rows(self.number);
        let done = match self.own.take() {
            // Dropped with the future: then the connection is freed, whatever it is in.
            Some(mut lease) => {
                let done = lease.ask(work, &self.terms, None).await;
                match &done {
                    Ok(Done::Rows(chunk)) if chunk.more => self.own = Some(lease),
                    _ => lease.is_as_found(),
                }
                done
            }
            None => self.line.ask_too(work, &self.terms).await,
        };
        match done? {
            Done::Rows(chunk) => Ok(chunk),
            _ => Err(let_go()),
        }
    }
}

impl Cursor for Answer {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn rows(&mut self) -> StoreFuture<'_, Result<Option<Vec<Row>>, SqlError>> {
        Box::pin(self.next())
    }
}
