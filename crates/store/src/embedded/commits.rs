//! Group commit: the catalog's jobs that wait for each other share one transaction, and so one wait for the disk.
//!
//! Owns when a transaction begins and ends around jobs, each of which is a savepoint in it: one that fails takes nothing
//! of its neighbours with it. Nobody is answered before the commit. Knows nothing of what the jobs do.

use std::iter::Peekable;
use std::sync::Arc;

use rusqlite::Connection;

use super::worker::{Answer, Job, Lost, State};

impl State for Connection {
    fn turn(&mut self, jobs: Vec<Job<Self>>) {
        let mut jobs = jobs.into_iter().peekable();
        let mut may_share = jobs.len() > 1;
        while let Some(job) = jobs.peek() {
            if job.alone || !may_share {
                // Alone, its savepoint is its transaction.
                if let Some(job) = jobs.next() {
                    (job.work)(self)(Ok(()));
                }
                continue;
            }
            let (answers, committed) = together(self, &mut jobs);
            let kept = committed.map_err(|error| {
                tracing::error!(%error, "the catalog couldn't commit");
                // The rest goes on one by one: it may be less than what was too much.
                may_share = false;
                Lost::NotCommitted(Arc::new(Box::new(error)))
            });
            tell(answers, &kept);
        }
    }
}

fn tell(answers: Vec<Answer>, kept: &Result<(), Lost>) {
    for answer in answers {
        answer(kept.clone());
    }
}

/// Does the next jobs in one transaction. Those that are left weren't begun.
fn together(
    connection: &mut Connection,
    jobs: &mut Peekable<std::vec::IntoIter<Job<Connection>>>,
) -> (Vec<Answer>, rusqlite::Result<()>) {
    let mut answers = Vec::new();
    if let Err(error) = connection.execute_batch("BEGIN") {
        return (answers, Err(error));
    }
    while let Some(job) = jobs.next_if(|job| !job.alone) {
        answers.push((job.work)(connection));
        if connection.is_autocommit() {
            // SQLite itself rolled all of it back: the disk is full or failed.
            let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
            let reason = "the transaction was rolled back: the disk is full or failed".to_owned();
            let error = rusqlite::Error::SqliteFailure(error, Some(reason));
            return (answers, Err(error));
        }
    }
    let committed = connection.execute_batch("COMMIT");
    if committed.is_err() && !connection.is_autocommit() {
        // It can't be undone more than that; what comes next fails at its start if this did.
        let _ = connection.execute_batch("ROLLBACK");
    }
    (answers, committed)
}
