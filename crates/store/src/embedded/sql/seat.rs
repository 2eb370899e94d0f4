//! The thread of one connection: what it is asked, one after another, and the transaction it is in.
//!
//! Owns when a transaction begins and ends. A statement that answers row by row borrows its connection, so it lives on
//! this thread's stack until the next message that isn't for it (`cursor`). Knows nothing of who asks and who is next.

mod cursor;

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::desk::{Desk, Site, Turn};
use super::migrate;
use super::pool::Permits;
use super::watch::Limits;
use crate::catalog::UnixMillis;
use crate::sql::{
    Access, Applied, Executed, MigrateError, Migrations, Row, SqlError, SqlKind, Statement, Terms,
};

/// To a connection's thread.
pub(super) enum Message {
    Ask(Box<Ask>),
    /// Nobody has it any more: whatever is open is undone, and it is given to the next.
    Free(Permits),
    Close,
}

/// One thing that a caller asks.
pub(super) struct Ask {
    pub(super) work: Work,
    pub(super) limits: Limits,
    pub(super) terms: Terms,
    pub(super) answer: oneshot::Sender<Result<Done, SqlError>>,
    /// What it holds in memory.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

pub(super) enum Work {
    Execute(Statement),
    Batch(Vec<Statement>),
    /// The cursor's number comes with it.
    Query(u64, Statement),
    Rows(u64),
    Begin(Access),
    Commit,
    Rollback,
    Migrate(Migrations, UnixMillis),
    Applied,
}

pub(super) enum Done {
    Executed(Executed),
    Batch(Vec<Executed>),
    Opened(Vec<String>, Chunk),
    Rows(Chunk),
    Nothing,
    Migrated(Result<Vec<String>, MigrateError>),
    Applied(Vec<Applied>),
}

/// Some rows of a cursor.
pub(super) struct Chunk {
    pub(super) rows: Vec<Row>,
    /// Whether there may be more.
    pub(super) more: bool,
}

/// What a connection is in.
struct Transaction {
    access: Access,
    until: Instant,
    /// While it may write.
    turn: Option<Turn>,
    /// Why it was rolled back, when it was.
    ended: Option<&'static str>,
}

const ENDED_BY_TIME: &str =
    "the transaction was open for longer than it may, and was rolled back: keep it short";
const ENDED_BY_SQL: &str = "the transaction was rolled back before: begin it again";

/// The thread's own state.
pub(super) struct Seat {
    site: Site,
    messages: Receiver<Message>,
    /// One that came to a cursor and wasn't for it.
    pending: Option<Message>,
    desk: Option<Desk>,
    transaction: Option<Transaction>,
}

impl Seat {
    pub(super) fn new(site: Site, messages: Receiver<Message>) -> Self {
        Self {
            site,
            messages,
            pending: None,
            desk: None,
            transaction: None,
        }
    }

    /// Works until it is told to close. `free` gives the connection to the next.
    pub(super) fn work(mut self, free: impl Fn(Permits)) {
        loop {
            match self.next() {
                Message::Close => break,
                Message::Free(permits) => {
                    self.transaction = None;
                    if self.desk.as_ref().is_some_and(|desk| !desk.undo()) {
                        self.desk = None;
                    }
                    free(permits);
                }
                Message::Ask(ask) => self.answer(*ask),
            }
        }
        if let Some(desk) = &self.desk {
            desk.undo();
        }
    }

    fn next(&mut self) -> Message {
        if let Some(message) = self.pending.take() {
            return message;
        }
        let open_until = self.transaction.as_ref().filter(|it| it.ended.is_none());
        if let Some(until) = open_until.map(|it| it.until) {
            match receive_until(&self.messages, until) {
                Some(message) => return message,
                None => self.end_transaction(ENDED_BY_TIME),
            }
        }
        self.messages.recv().unwrap_or(Message::Close)
    }

    /// Rolls the transaction back; its caller is told at the next word.
    fn end_transaction(&mut self, why: &'static str) {
        if self.desk.as_ref().is_some_and(|desk| !desk.undo()) {
            self.desk = None;
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.ended = Some(why);
            transaction.turn = None;
        }
    }

    fn answer(&mut self, ask: Ask) {
        let Ask {
            work,
            limits,
            terms,
            answer,
            room,
        } = ask;
        let mut limits = limits;
        // A caller that has left wants nothing done.
        if limits.cancel.is_raised() {
            return;
        }
        if let Work::Query(number, statement) = work {
            return self.query(number, &statement, limits, terms, answer);
        }
        let done = self
            .open(&terms)
            .and_then(|()| self.done(work, &mut limits, &terms));
        self.look_after();
        drop(room);
        // A caller that has left wants no answer.
        let _ = answer.send(done);
    }

    fn open(&mut self, terms: &Terms) -> Result<(), SqlError> {
        if self.desk.is_none() {
            self.desk = Some(Desk::open(&self.site, terms)?);
        }
        match &mut self.desk {
            Some(desk) => desk.set_terms(terms),
            None => Ok(()),
        }
    }

    fn desk(&self) -> Result<&Desk, SqlError> {
        let failed = || SqlError::new(SqlKind::Failed, "the store failed to open the database");
        self.desk.as_ref().ok_or_else(failed)
    }

    fn done(&mut self, work: Work, limits: &mut Limits, terms: &Terms) -> Result<Done, SqlError> {
        match work {
            Work::Execute(statement) => {
                self.may_go_on()?;
                self.execute(&statement, limits, terms).map(Done::Executed)
            }
            Work::Batch(statements) => {
                self.may_go_on()?;
                self.batch(&statements, limits, terms).map(Done::Batch)
            }
            Work::Begin(access) => self.begin(access, limits, terms).map(|()| Done::Nothing),
            Work::Commit => self.commit(limits, terms).map(|()| Done::Nothing),
            Work::Rollback => self.rollback().map(|()| Done::Nothing),
            Work::Migrate(migrations, now) => {
                let migrated = self.migrate(&migrations, now, limits, terms);
                Ok(Done::Migrated(migrated))
            }
            Work::Applied => {
                let desk = self.desk()?;
                desk.held(limits, terms, || migrate::applied(&desk.connection))
                    .map(Done::Applied)
            }
            Work::Rows(_) | Work::Query(..) => Err(closed()),
        }
    }

    fn may_go_on(&self) -> Result<(), SqlError> {
        let ended = self.transaction.as_ref().and_then(|it| it.ended);
        ended.map_or(Ok(()), |why| Err(SqlError::new(SqlKind::Ended, why)))
    }

    /// A statement may have ended its transaction (`ON CONFLICT ROLLBACK`, a disk that is full), and none leaves one
    /// open.
    fn look_after(&mut self) {
        let Some(desk) = &self.desk else { return };
        match &self.transaction {
            Some(transaction) if transaction.ended.is_none() => {
                if desk.connection.is_autocommit() {
                    self.end_transaction(ENDED_BY_SQL);
                }
            }
            _ => {
                if !desk.undo() {
                    self.desk = None;
                }
            }
        }
    }

    fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    fn may_write(&self) -> Result<(), SqlError> {
        let reads = |it: &Transaction| it.access == Access::Read;
        if self.transaction.as_ref().is_some_and(reads) {
            let what = "the transaction is one that only reads";
            return Err(SqlError::new(SqlKind::Denied, what));
        }
        Ok(())
    }

    fn execute(
        &self,
        statement: &Statement,
        limits: &mut Limits,
        terms: &Terms,
    ) -> Result<Executed, SqlError> {
        let desk = self.desk()?;
        let mut prepared = desk.prepare(statement, limits, terms)?;
        let writes = !prepared.readonly();
        if writes {
            self.may_write()?;
        }
        let needs_turn = writes && !self.is_in_transaction();
        let _turn = needs_turn.then(|| desk.turn(limits, terms)).transpose()?;
        let executed = desk.step(&mut prepared, limits, terms, |_| Ok(()))?;
        self.left_nothing_open(desk)?;
        Ok(executed)
    }

    fn left_nothing_open(&self, desk: &Desk) -> Result<(), SqlError> {
        if self.is_in_transaction() || desk.connection.is_autocommit() {
            return Ok(());
        }
        let what = "it isn't allowed: `SAVEPOINT` outside of a transaction";
        Err(SqlError::new(SqlKind::Denied, what))
    }

    /// Does something whole or not at all, within the transaction that is open or in one of its own.
    fn whole<T>(
        &self,
        limits: &mut Limits,
        terms: &Terms,
        work: impl FnOnce(&Desk, &mut Limits) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let desk = self.desk()?;
        let (begin, keep, undo) = if self.is_in_transaction() {
            (
                "SAVEPOINT __everwarm",
                "RELEASE __everwarm",
                "ROLLBACK TO __everwarm; RELEASE __everwarm",
            )
        } else {
            ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
        };
        let needs_turn = !self.is_in_transaction();
        let _turn = needs_turn.then(|| desk.turn(limits, terms)).transpose()?;
        desk.held(limits, terms, || desk.own(begin))?;
        let done = work(desk, limits)
            .and_then(|done| desk.held(limits, terms, || desk.own(keep)).map(|()| done));
        // Some failures have undone all already.
        if done.is_err() && !desk.connection.is_autocommit() {
            let undone = desk.own(undo);
            if undone.is_err() {
                desk.undo();
            }
        }
        done
    }

    fn batch(
        &self,
        statements: &[Statement],
        limits: &mut Limits,
        terms: &Terms,
    ) -> Result<Vec<Executed>, SqlError> {
        self.whole(limits, terms, |desk, limits| {
            let mut executed = Vec::with_capacity(statements.len());
            for (place, statement) in statements.iter().enumerate() {
                let mut one = || {
                    let mut prepared = desk.prepare(statement, limits, terms)?;
                    if !prepared.readonly() {
                        self.may_write()?;
                    }
                    desk.step(&mut prepared, limits, terms, |_| Ok(()))
                };
                executed.push(one().map_err(|error| error.at_statement(place))?);
            }
            Ok(executed)
        })
    }

    fn begin(
        &mut self,
        access: Access,
        limits: &mut Limits,
        terms: &Terms,
    ) -> Result<(), SqlError> {
        if self.is_in_transaction() {
            let what = "a transaction is open already: end it first, or use `SAVEPOINT`";
            return Err(SqlError::new(SqlKind::Misuse, what));
        }
        let desk = self.desk()?;
        let turn = match access {
            Access::Read => {
                desk.held(limits, terms, || desk.own("BEGIN"))?;
                None
            }
            Access::Write => {
                let turn = desk.turn(limits, terms)?;
                desk.held(limits, terms, || desk.own("BEGIN IMMEDIATE"))?;
                Some(turn)
            }
        };
        self.transaction = Some(Transaction {
            access,
            until: Instant::now() + terms.open_max,
            turn,
            ended: None,
        });
        Ok(())
    }

    fn commit(&mut self, limits: &mut Limits, terms: &Terms) -> Result<(), SqlError> {
        let transaction = self.taken_transaction()?;
        if let Some(why) = transaction.ended {
            return Err(SqlError::new(SqlKind::Ended, why));
        }
        let desk = self.desk()?;
        // What fails is undone (`look_after`) while it is still its turn.
        let done = desk.held(limits, terms, || desk.own("COMMIT"));
        if done.is_err() {
            desk.undo();
        }
        done
    }

    fn rollback(&mut self) -> Result<(), SqlError> {
        let _transaction = self.taken_transaction()?;
        if self.desk.as_ref().is_some_and(|desk| !desk.undo()) {
            self.desk = None;
        }
        Ok(())
    }

    fn taken_transaction(&mut self) -> Result<Transaction, SqlError> {
        let none = || SqlError::new(SqlKind::Misuse, "there is no transaction");
        self.transaction.take().ok_or_else(none)
    }

    fn migrate(
        &self,
        migrations: &Migrations,
        now: UnixMillis,
        limits: &mut Limits,
        terms: &Terms,
    ) -> Result<Vec<String>, MigrateError> {
        // What it may not do is told without waiting for anybody.
        let desk = self.desk()?;
        let applied = desk.held(limits, terms, || migrate::applied(&desk.connection))?;
        if migrations.after(&applied)?.is_empty() {
            return Ok(Vec::new());
        }
        let mut refused = None;
        let done = self.whole(limits, terms, |desk, limits| {
            let names = migrate::migrate(desk, migrations, now, limits, terms);
            names.map_err(|error| {
                let told = SqlError::new(SqlKind::Failed, "the migrations failed");
                refused = Some(error);
                told
            })
        });
        match refused {
            Some(error) => Err(error),
            None => Ok(done?),
        }
    }
}

fn closed() -> SqlError {
    let what = "the cursor was closed: its transaction has gone on, or it was open too long";
    SqlError::new(SqlKind::Ended, what)
}

/// `None` when nothing came in time.
fn receive_until(messages: &Receiver<Message>, until: Instant) -> Option<Message> {
    let left = until.saturating_duration_since(Instant::now());
    match messages.recv_timeout(left.max(Duration::from_millis(1))) {
        Ok(message) => Some(message),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Message::Close),
    }
}
