//! Group commit: jobs on an SQLite file that wait for each other share one transaction, and so one wait for the disk.
//!
//! Owns when a transaction begins and ends around jobs, each of which is a savepoint in it: one that fails takes
//! nothing of its neighbours with it. Nobody is answered before the commit. A transaction that can't end, which is what
//! a damaged page leaves, is undone: nobody's commit waits inside another's. Knows nothing of what the jobs do.

use std::iter::Peekable;
use std::sync::Arc;

use rusqlite::Connection;

use super::worker::{Answer, Job, Lost, State};

/// What has a connection whose jobs share transactions.
pub(super) trait Committing: Send + Sized + 'static {
    /// What the log calls it.
    const NAME: &'static str;

    fn connection(&mut self) -> &mut Connection;

    /// Does what there is to do when those of a turn have their answers.
    fn rest(&mut self) {}

    /// Why SQLite rolled back, by what the last job heard of it.
    fn why_rolled_back(&self) -> rusqlite::Error {
        rolled_back()
    }
}

/// What is said when nothing more is known.
pub(super) fn rolled_back() -> rusqlite::Error {
    let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
    let reason = "the transaction was rolled back: the disk is full or failed".to_owned();
    rusqlite::Error::SqliteFailure(error, Some(reason))
}

impl Committing for Connection {
    const NAME: &'static str = "catalog";

    fn connection(&mut self) -> &mut Connection {
        self
    }
}

impl<S: Committing> State for S {
    fn turn(&mut self, jobs: Vec<Job<Self>>) {
        let mut jobs = jobs.into_iter().peekable();
        let mut may_share = jobs.len() > 1;
        while let Some(job) = jobs.peek() {
            if job.alone || !may_share {
                // Alone, its savepoint is its transaction.
                if let Some(job) = jobs.next() {
                    let answer = (job.work)(self);
                    answer(ended(self));
                }
                continue;
            }
            let (answers, committed) = together(self, &mut jobs);
            let kept = committed.map_err(|error| {
                tracing::error!(%error, "the {} couldn't commit", S::NAME);
                // The rest goes on one by one: it may be less than what was too much.
                may_share = false;
                Lost::NotCommitted(Arc::new(Box::new(error)))
            });
            tell(answers, &kept);
        }
        self.rest();
    }
}

/// Ends the transaction of a job that couldn't.
fn ended<S: Committing>(state: &mut S) -> Result<(), Lost> {
    if state.connection().is_autocommit() {
        return Ok(());
    }
    let error = state.why_rolled_back();
    tracing::error!(%error, "the {} couldn't undo a change", S::NAME);
    undo(state.connection());
    Err(Lost::NotCommitted(Arc::new(Box::new(error))))
}

fn undo(connection: &Connection) {
    // It can't be undone more than that; what comes next fails at its start if this did.
    let _ = connection.execute_batch("ROLLBACK");
}

fn tell(answers: Vec<Answer>, kept: &Result<(), Lost>) {
    for answer in answers {
        answer(kept.clone());
    }
}

/// Does the next jobs in one transaction. Those that are left weren't begun.
fn together<S: Committing>(
    state: &mut S,
    jobs: &mut Peekable<std::vec::IntoIter<Job<S>>>,
) -> (Vec<Answer>, rusqlite::Result<()>) {
    let mut answers = Vec::new();
    if let Err(error) = state.connection().execute_batch("BEGIN") {
        return (answers, Err(error));
    }
    while let Some(job) = jobs.next_if(|job| !job.alone) {
        answers.push((job.work)(state));
        if state.connection().is_autocommit() {
            // SQLite itself rolled all of it back: the disk is full or failed.
            return (answers, Err(state.why_rolled_back()));
        }
    }
    let connection = state.connection();
    let committed = connection.execute_batch("COMMIT");
    if committed.is_err() && !connection.is_autocommit() {
        undo(connection);
    }
    (answers, committed)
}
