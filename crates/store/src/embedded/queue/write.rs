//! Changing queues and schedules in SQLite. Owns its SQL, and that a change and the books are one.
//!
//! Each function runs in a savepoint of its own, which is its transaction when it is alone. Leases are in `lease`.

use everwarm_manifest::{AppName, TenantId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::grouped::{failed, signed, unsigned};
use super::books::Books;
use super::read::is_dead;
use crate::catalog::UnixMillis;
use crate::triggers::{
    MessageId, NewMessage, SWEEP_MAX, TriggerError, TriggerId, TriggerQuota, Which,
};

/// Bytes of a body that is kept beside what is said of it; a larger one has pages of its own.
const BESIDE_BYTES_MAX: usize = 768;
/// Bytes after which no more is removed at once: each page of a large body is read before it is free.
pub(super) const REMOVED_BYTES_MAX: u64 = 16 << 20;

/// Messages that a trigger gets.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) to: TriggerId,
    pub(super) messages: Vec<NewMessage>,
    pub(super) quota: TriggerQuota,
    pub(super) now: UnixMillis,
}

pub(super) fn send(
    connection: &mut Connection,
    batch: &Batch,
) -> Result<Vec<MessageId>, TriggerError> {
    let failed = failed("keep messages");
    let savepoint = connection.savepoint().map_err(&failed)?;
    let mut books = Books::open(&savepoint, &batch.to).map_err(&failed)?;
    let names = keep(&savepoint, &mut books, batch)?;
    let kept = books.write(&savepoint).and_then(|()| savepoint.commit());
    kept.map_err(failed).map(|()| names)
}

/// Keeps a batch, and what it changes in the books.
fn keep(
    connection: &Connection,
    books: &mut Books,
    batch: &Batch,
) -> Result<Vec<MessageId>, TriggerError> {
    let bytes = batch.messages.iter().map(|new| new.content.body.len());
    let bytes = bytes.sum::<usize>() as u64;
    books.put(batch.messages.len() as u64, bytes, batch.quota)?;
    let mut names = Vec::with_capacity(batch.messages.len());
    for message in &batch.messages {
        let name = books.name();
        insert(connection, books.trigger, name, message, batch.now)
            .map_err(failed("keep messages"))?;
        names.push(name);
    }
    Ok(names)
}

fn insert(
    connection: &Connection,
    trigger: i64,
    name: MessageId,
    message: &NewMessage,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let body = &*message.content.body;
    let beside = (body.len() <= BESIDE_BYTES_MAX).then_some(body);
    connection
        .prepare_cached(
            "INSERT INTO message (trigger, is_dead, id, is_leased, due_ms, attempts, sent_ms,
                                  scheduled_ms, bytes, content_type, trace, body)
             VALUES (?1, 0, ?2, 0, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            trigger,
            signed(name.0),
            message.due.as_i64(),
            now.as_i64(),
            message.content.scheduled.map(UnixMillis::as_i64),
            signed(body.len() as u64),
            message.content.content_type,
            message.content.trace,
            beside,
        ])?;
    if beside.is_none() {
        connection
            .prepare_cached("INSERT INTO large (trigger, id, body) VALUES (?1, ?2, ?3)")?
            .execute(params![trigger, signed(name.0), body])?;
    }
    Ok(())
}

/// Removes a message whose body has so many bytes.
pub(super) fn forget(
    connection: &Connection,
    trigger: i64,
    is_dead: bool,
    id: i64,
    bytes: u64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM message WHERE trigger = ?1 AND is_dead = ?2 AND id = ?3")?
        .execute(params![trigger, is_dead, id])?;
    if bytes > BESIDE_BYTES_MAX as u64 {
        connection
            .prepare_cached("DELETE FROM large WHERE trigger = ?1 AND id = ?2")?
            .execute(params![trigger, id])?;
    }
    Ok(())
}

pub(super) fn fire(
    connection: &mut Connection,
    batch: &Batch,
    from: Option<UnixMillis>,
    up_to: UnixMillis,
) -> Result<bool, TriggerError> {
    let failed = failed("fire a schedule");
    let savepoint = connection.savepoint().map_err(&failed)?;
    let mut books = Books::open(&savepoint, &batch.to).map_err(&failed)?;
    let is_there = books.fired.map(UnixMillis::as_i64) == from.map(UnixMillis::as_i64);
    if !is_there || books.is_paused {
        return Ok(false);
    }
    books.fired = Some(up_to);
    keep(&savepoint, &mut books, batch)?;
    let kept = books.write(&savepoint).and_then(|()| savepoint.commit());
    kept.map_err(failed).map(|()| true)
}

pub(super) fn set_paused(
    connection: &mut Connection,
    of: &TriggerId,
    is_paused: bool,
) -> Result<bool, TriggerError> {
    let mut set = || -> rusqlite::Result<bool> {
        let savepoint = connection.savepoint()?;
        let mut books = Books::open(&savepoint, of)?;
        if books.is_paused == is_paused {
            return Ok(false);
        }
        books.is_paused = is_paused;
        books.write(&savepoint)?;
        savepoint.commit()?;
        Ok(true)
    };
    set().map_err(failed("pause a queue or let it go on"))
}

pub(super) fn revive(
    connection: &mut Connection,
    of: &TriggerId,
    which: Option<&[MessageId]>,
    now: UnixMillis,
) -> Result<u32, TriggerError> {
    let mut revived = || -> rusqlite::Result<u32> {
        let savepoint = connection.savepoint()?;
        let Some(mut books) = Books::of(&savepoint, of)? else {
            return Ok(0);
        };
        let ids = match which {
            Some(ids) => ids.iter().map(|id| signed(id.0)).collect(),
            None => dead(&savepoint, books.trigger)?,
        };
        let mut revived = 0;
        for id in ids {
            let changed = savepoint
                .prepare_cached(
                    "UPDATE message SET is_dead = 0, due_ms = ?3, attempts = 0, reason = NULL
                     WHERE trigger = ?1 AND is_dead = 1 AND id = ?2",
                )?
                .execute(params![books.trigger, id, now.as_i64()])?;
            if changed > 0 {
                books.revive();
                revived += 1;
            }
        }
        if revived > 0 {
            books.write(&savepoint)?;
        }
        savepoint.commit()?;
        Ok(revived)
    };
    revived().map_err(failed("revive messages"))
}

fn dead(connection: &Connection, trigger: i64) -> rusqlite::Result<Vec<i64>> {
    let mut query = connection.prepare_cached(
        "SELECT id FROM message WHERE trigger = ?1 AND is_dead = 1 ORDER BY id LIMIT ?2",
    )?;
    let rows = query.query_map(params![trigger, SWEEP_MAX], |row| row.get(0))?;
    rows.collect()
}

pub(super) fn purge(
    connection: &mut Connection,
    of: &TriggerId,
    which: Which,
    now: UnixMillis,
) -> Result<u32, TriggerError> {
    let mut purged = || -> rusqlite::Result<u32> {
        let savepoint = connection.savepoint()?;
        let Some(mut books) = Books::of(&savepoint, of)? else {
            return Ok(0);
        };
        let is_dead = is_dead(which);
        let (mut purged, mut removed) = (0, 0);
        for (id, bytes) in not_leased(&savepoint, books.trigger, is_dead, now)? {
            if removed >= REMOVED_BYTES_MAX {
                break;
            }
            forget(&savepoint, books.trigger, is_dead, id, bytes)?;
            books.take(is_dead, bytes);
            purged += 1;
            removed += bytes;
        }
        if purged > 0 {
            books.write(&savepoint)?;
        }
        savepoint.commit()?;
        Ok(purged)
    };
    purged().map_err(failed("forget messages"))
}

/// Messages that nobody has, and their bytes.
fn not_leased(
    connection: &Connection,
    trigger: i64,
    is_dead: bool,
    now: UnixMillis,
) -> rusqlite::Result<Vec<(i64, u64)>> {
    let mut query = connection.prepare_cached(
        "SELECT id, bytes FROM message
         WHERE trigger = ?1 AND is_dead = ?2 AND (is_leased = 0 OR due_ms <= ?3)
         ORDER BY id LIMIT ?4",
    )?;
    let of = params![trigger, is_dead, now.as_i64(), SWEEP_MAX];
    let rows = query.query_map(of, |row| Ok((row.get(0)?, row.get(1).map(unsigned)?)))?;
    rows.collect()
}

pub(super) fn remove_app(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<bool, TriggerError> {
    let mut removed = || -> rusqlite::Result<bool> {
        let savepoint = connection.savepoint()?;
        let id = savepoint.query_row(
            "SELECT id FROM app WHERE tenant = ?1 AND name = ?2",
            params![tenant.as_str(), app.as_str()],
            |row| row.get::<_, i64>(0),
        );
        let Some(id) = id.optional()? else {
            return Ok(false);
        };
        // Readers find nothing any more. The messages go with sweeps.
        savepoint.execute(
            "INSERT INTO removed (trigger) SELECT id FROM trigger WHERE app = ?1",
            [id],
        )?;
        savepoint.execute("DELETE FROM trigger WHERE app = ?1", [id])?;
        savepoint.execute("DELETE FROM app WHERE id = ?1", [id])?;
        savepoint.commit()?;
        Ok(true)
    };
    removed().map_err(failed("remove an app's queues"))
}
