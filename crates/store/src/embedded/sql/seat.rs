//! The thread of one connection: what it is asked, one after another, and the transaction and the cursor it is in.
//!
//! Owns when a transaction begins and ends. A statement that answers row by row borrows its connection, so it lives on
//! this thread's stack until the next message that isn't for it. Knows nothing of who asks and who is next.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::desk::{self, Desk, Site, Taken, Turn};
use super::migrate;
use super::pool::Permits;
use super::watch::Limits;
use crate::catalog::UnixMillis;
use crate::sql::{
    Access, Applied, Executed, MigrateError, Migrations, RETURNING_BYTES_MAX, ROWS_BYTES_MAX,
    ROWS_MAX, Row, SqlError, SqlKind, Statement, Terms,
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

    /// Opens a cursor, and gives its rows until a message comes that isn't for it.
    fn query(
        &mut self,
        number: u64,
        statement: &Statement,
        mut limits: Limits,
        terms: Terms,
        answer: oneshot::Sender<Result<Done, SqlError>>,
    ) {
        let opened = self.open(&terms).and_then(|()| self.may_go_on());
        if let Err(error) = opened {
            let _ = answer.send(Err(error));
            return;
        }
        let mut cursor = Answers {
            number,
            answer: Some(answer),
        };
        match self.give(&mut cursor, statement, &mut limits, &terms) {
            Ok(next) => {
                self.look_after();
                self.pending = next;
            }
            Err(error) => {
                self.look_after();
                cursor.tell(Err(error));
            }
        }
    }

    /// The cursor's life. Returns the message that ended it.
    fn give(
        &self,
        cursor: &mut Answers,
        statement: &Statement,
        limits: &mut Limits,
        terms: &Terms,
    ) -> Result<Option<Message>, SqlError> {
        let desk = self.desk()?;
        let mut prepared = desk.prepare(statement, limits, terms)?;
        if !prepared.readonly() {
            self.may_write()?;
            let mut taken = Taken::new(usize::MAX, RETURNING_BYTES_MAX);
            self.whole(limits, terms, |desk, limits| {
                desk.step(&mut prepared, limits, terms, |row| {
                    if taken.is_enough() {
                        let what = format!(
                            "the rows that the statement returns have more than {RETURNING_BYTES_MAX} bytes: \
                             return less"
                        );
                        return Err(SqlError::new(SqlKind::TooLarge, what));
                    }
                    taken.add(row)
                })
            })?;
            let chunk = Chunk {
                rows: taken.rows,
                more: false,
            };
            cursor.tell(Ok(Done::Opened(names_of(&prepared), chunk)));
            return Ok(None);
        }
        let open_until = self.transaction.as_ref().map(|it| it.until);
        let open_until = open_until.unwrap_or_else(|| Instant::now() + terms.open_max);
        let mut names = None;
        let mut is_first = true;
        let mut rows = prepared.raw_query();
        loop {
            let mut taken = Taken::new(ROWS_MAX, ROWS_BYTES_MAX);
            let more = { desk.held(limits, terms, || desk::take(&mut rows, &mut taken))? };
            if let Some(error) = taken.refused {
                return Err(error);
            }
            if !more {
                // Before the answer: its caller may go on at once.
                drop(rows);
                names = is_first.then(|| names_of(&prepared));
                self.left_nothing_open(desk)?;
                cursor.tell_rows(&mut names, taken.rows, more);
                return Ok(None);
            }
            if is_first {
                names = rows.as_ref().map(names_of);
                is_first = false;
            }
            cursor.tell_rows(&mut names, taken.rows, more);
            if let Some(next) = self.wait_for_more(cursor, limits, open_until) {
                return Ok(next);
            }
        }
    }

    /// Waits until more rows are asked for. Returns what else came, which ends the cursor.
    fn wait_for_more(
        &self,
        cursor: &mut Answers,
        limits: &mut Limits,
        open_until: Instant,
    ) -> Option<Option<Message>> {
        loop {
            let ask = match receive_until(&self.messages, open_until) {
                Some(Message::Ask(ask)) => ask,
                other => return Some(other),
            };
            match ask.work {
                Work::Rows(number) if number == cursor.number => {
                    if ask.limits.cancel.is_raised() {
                        return Some(None);
                    }
                    *limits = Limits {
                        running: limits.running,
                        written: limits.written,
                        ..ask.limits
                    };
                    cursor.answer = Some(ask.answer);
                    return None;
                }
                // A cursor of a transaction that is over, and whose caller doesn't know it yet.
                Work::Rows(_) => {
                    let _ = ask.answer.send(Err(closed()));
                }
                _ => return Some(Some(Message::Ask(ask))),
            }
        }
    }
}

/// The names of the columns, when the statement has run: before it may have been prepared for other ones.
fn names_of(statement: &rusqlite::Statement<'_>) -> Vec<String> {
    let names = statement.column_names();
    names.into_iter().map(str::to_owned).collect()
}

fn closed() -> SqlError {
    let what = "the cursor was closed: its transaction has gone on, or it was open too long";
    SqlError::new(SqlKind::Ended, what)
}

/// Who waits for a cursor's rows.
struct Answers {
    number: u64,
    answer: Option<oneshot::Sender<Result<Done, SqlError>>>,
}

impl Answers {
    fn tell(&mut self, done: Result<Done, SqlError>) {
        if let Some(answer) = self.answer.take() {
            // A caller that has left wants no answer.
            let _ = answer.send(done);
        }
    }

    fn tell_rows(&mut self, names: &mut Option<Vec<String>>, rows: Vec<Row>, more: bool) {
        let chunk = Chunk { rows, more };
        self.tell(Ok(match names.take() {
            Some(names) => Done::Opened(names, chunk),
            None => Done::Rows(chunk),
        }));
    }
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
