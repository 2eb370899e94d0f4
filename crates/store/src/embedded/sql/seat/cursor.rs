//! A cursor's life on its connection's thread.
//!
//! Owns when rows are made: as many as were asked for, and no more until they are asked for again. Knows nothing of who
//! reads them.

use std::time::Instant;

use tokio::sync::oneshot;

use super::super::desk::{self, Taken};
use super::super::watch::Limits;
use super::{Chunk, Done, Message, Seat, Work, closed, receive_until};
use crate::sql::{
    RETURNING_BYTES_MAX, ROWS_BYTES_MAX, ROWS_MAX, Row, SqlError, SqlKind, Statement, Terms,
};

impl Seat {
    /// Opens a cursor, and gives its rows until a message comes that isn't for it.
    pub(super) fn query(
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
            if let Next::End(next) = self.wait_for_more(cursor, limits, open_until) {
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
    ) -> Next {
        loop {
            let ask = match receive_until(&self.messages, open_until) {
                Some(Message::Ask(ask)) => ask,
                other => return Next::End(other),
            };
            match ask.work {
                Work::Rows(number) if number == cursor.number => {
                    if ask.limits.cancel.is_raised() {
                        return Next::End(None);
                    }
                    *limits = Limits {
                        running: limits.running,
                        written: limits.written,
                        ..ask.limits
                    };
                    cursor.answer = Some(ask.answer);
                    return Next::Rows;
                }
                // A cursor of a transaction that is over, and whose caller doesn't know it yet.
                Work::Rows(_) => {
                    let _ = ask.answer.send(Err(closed()));
                }
                _ => return Next::End(Some(Message::Ask(ask))),
            }
        }
    }
}

/// What comes after some rows.
enum Next {
    /// More of them.
    Rows,
    /// The cursor's end, with the message that wasn't for it.
    End(Option<Message>),
}

/// The names of the columns, when the statement has run: before it may have been prepared for other ones.
fn names_of(statement: &rusqlite::Statement<'_>) -> Vec<String> {
    let names = statement.column_names();
    names.into_iter().map(str::to_owned).collect()
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
