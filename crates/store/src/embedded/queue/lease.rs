//! Leases of messages in SQLite: taking what is due, and ending them. Owns their SQL.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::grouped::{failed, signed, unsigned};
use super::books::Books;
use super::read::{CONTENT, content};
use super::write::forget;
use crate::catalog::UnixMillis;
use crate::triggers::{
    Lease, Leased, MessageId, Outcome, Receipt, Settlement, TriggerError, TriggerId,
};

/// Messages that somebody has, and what they hold of the room for answers.
pub(super) struct Answer {
    pub(super) messages: Vec<Leased>,
    /// Given back when the caller has them.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// A message that may be taken.
struct Due {
    since: i64,
    id: i64,
    bytes: u64,
}

/// Ends all leases: nobody of this process has any yet. Writes nothing if there are none.
pub(super) fn end_all(writer: &mut Connection) -> rusqlite::Result<()> {
    // When it was sent is before any moment that will be asked for.
    writer.execute(
        "UPDATE message SET is_leased = 0, receipt = NULL, due_ms = sent_ms
         WHERE trigger IN (SELECT id FROM trigger) AND is_dead = 0 AND is_leased = 1",
        [],
    )?;
    Ok(())
}

/// Takes what is due. Receipts count from `first` on.
pub(super) fn lease(
    connection: &mut Connection,
    of: &TriggerId,
    lease: Lease,
    first: u64,
    now: UnixMillis,
    answers: &Arc<Semaphore>,
) -> Result<Answer, TriggerError> {
    let mut taken = || -> rusqlite::Result<Answer> {
        let mut answer = Answer {
            messages: Vec::new(),
            room: None,
        };
        let savepoint = connection.savepoint()?;
        let Some(books) = Books::of(&savepoint, of)?.filter(|books| !books.is_paused) else {
            return Ok(answer);
        };
        let mut found = due(&savepoint, books.trigger, lease, now)?;
        let bytes: u64 = found.iter().map(|message| message.bytes).sum();
        let kib = u32::try_from(bytes / 1_024).unwrap_or(u32::MAX);
        match Arc::clone(answers).try_acquire_many_owned(kib) {
            Ok(room) => answer.room = Some(room),
            // What was answered isn't taken as fast as it is asked for.
            Err(_) => found.truncate(1),
        }
        for (receipt, message) in (first..).zip(found) {
            let receipt = Receipt(receipt);
            let leased = take(&savepoint, books.trigger, message.id, lease.until, receipt)?;
            answer.messages.push(leased);
        }
        savepoint.commit()?;
        Ok(answer)
    };
    taken().map_err(failed("lease messages"))
}

/// What is due, the longest first, as many as one lease may have.
fn due(
    connection: &Connection,
    trigger: i64,
    lease: Lease,
    now: UnixMillis,
) -> rusqlite::Result<Vec<Due>> {
    // Each in the order of the index.
    let mut query = connection.prepare_cached(
        "SELECT due_ms, id, bytes FROM message
         WHERE trigger = ?1 AND is_dead = 0 AND is_leased = ?2 AND due_ms <= ?3
         ORDER BY due_ms, id LIMIT ?4",
    )?;
    let mut found = Vec::new();
    for is_leased in [false, true] {
        let of = params![trigger, is_leased, now.as_i64(), lease.count_max];
        let rows = query.query_map(of, |row| {
            Ok(Due {
                since: row.get(0)?,
                id: row.get(1)?,
                bytes: row.get(2).map(unsigned)?,
            })
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    found.sort_by_key(|message| (message.since, message.id));
    found.truncate(lease.count_max as usize);
    let (bytes_max, mut bytes) = (lease.bytes_max as u64, 0_u64);
    let fit = found.iter().take_while(|message| {
        bytes += message.bytes;
        bytes <= bytes_max
    });
    let fit = fit.count().max(1);
    found.truncate(fit);
    Ok(found)
}

fn take(
    connection: &Connection,
    trigger: i64,
    id: i64,
    until: UnixMillis,
    receipt: Receipt,
) -> rusqlite::Result<Leased> {
    let mut update = connection.prepare_cached(&format!(
        "UPDATE message SET is_leased = 1, due_ms = ?3, receipt = ?4, attempts = attempts + 1
         WHERE trigger = ?1 AND is_dead = 0 AND id = ?2 RETURNING {CONTENT}, sent_ms, attempts",
    ))?;
    let of = params![trigger, id, until.as_i64(), signed(receipt.0)];
    let read = |row: &Row<'_>| {
        Ok(Leased {
            id: MessageId(unsigned(id)),
            receipt,
            content: content(row)?,
            sent: row.get(4).map(UnixMillis::of_i64)?,
            attempt: row.get(5)?,
        })
    };
    update.query_row(of, read)
}

/// Says what came of leased messages.
pub(super) fn settle(
    connection: &mut Connection,
    of: &TriggerId,
    settlements: &[Settlement],
    now: UnixMillis,
) -> Result<u32, TriggerError> {
    let mut settled = || -> rusqlite::Result<u32> {
        let savepoint = connection.savepoint()?;
        let Some(mut books) = Books::of(&savepoint, of)? else {
            return Ok(0);
        };
        let mut settled = 0;
        for settlement in settlements {
            settled += u32::from(settle_one(&savepoint, &mut books, settlement, now)?);
        }
        if settled > 0 {
            books.write(&savepoint)?;
        }
        savepoint.commit()?;
        Ok(settled)
    };
    settled().map_err(failed("settle messages"))
}

/// Says whether it was leased.
fn settle_one(
    connection: &Connection,
    books: &mut Books,
    Settlement {
        id,
        receipt,
        outcome,
    }: &Settlement,
    now: UnixMillis,
) -> rusqlite::Result<bool> {
    let (trigger, id, receipt) = (books.trigger, signed(id.0), signed(receipt.0));
    let mut query = connection.prepare_cached(
        "SELECT bytes FROM message
         WHERE trigger = ?1 AND is_dead = 0 AND id = ?2 AND is_leased = 1 AND receipt = ?3",
    )?;
    let of = params![trigger, id, receipt];
    let Some(bytes) = query.query_row(of, |row| row.get(0)).optional()? else {
        return Ok(false);
    };
    match outcome {
        Outcome::Acknowledged => {
            let bytes = unsigned(bytes);
            forget(connection, trigger, false, id, bytes)?;
            books.take(false, bytes);
        }
        Outcome::Again { due, reason } => {
            connection
                .prepare_cached(
                    "UPDATE message SET is_leased = 0, receipt = NULL, due_ms = ?3, reason = ?4
                     WHERE trigger = ?1 AND is_dead = 0 AND id = ?2",
                )?
                .execute(params![trigger, id, due.as_i64(), reason])?;
        }
        Outcome::Dead { reason } => {
            connection
                .prepare_cached(
                    "UPDATE message SET is_dead = 1, is_leased = 0, receipt = NULL, due_ms = ?3,
                            reason = ?4
                     WHERE trigger = ?1 AND is_dead = 0 AND id = ?2",
                )?
                .execute(params![trigger, id, now.as_i64(), reason])?;
            books.bury();
        }
        Outcome::Released => {
            connection
                .prepare_cached(
                    "UPDATE message SET is_leased = 0, receipt = NULL, due_ms = min(sent_ms, ?3),
                            attempts = attempts - 1
                     WHERE trigger = ?1 AND is_dead = 0 AND id = ?2",
                )?
                .execute(params![trigger, id, now.as_i64()])?;
        }
    }
    Ok(true)
}
