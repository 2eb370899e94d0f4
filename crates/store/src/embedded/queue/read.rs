//! Reading queues and schedules in SQLite. Owns its SQL.

use bytes::Bytes;
use everwarm_manifest::{AppName, TenantId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::grouped::{failed, signed, unsigned};
use super::books::{Books, trigger};
use crate::catalog::UnixMillis;
use crate::triggers::{
    BATCH_BYTES_MAX, Content, Kept, KeptMessages, MessageId, Page, Standing, State, Trigger,
    TriggerError, TriggerId, Which,
};

/// What a message says: the columns that [`content`] reads.
pub(super) const CONTENT: &str = "content_type, trace, scheduled_ms, coalesce(body,
    (SELECT body FROM large WHERE large.trigger = message.trigger AND large.id = message.id))";
/// Messages that are counted at first to learn whether there are many.
const COUNT_FIRST: u64 = 1_000;

pub(super) fn content(row: &Row<'_>) -> rusqlite::Result<Content> {
    Ok(Content {
        content_type: row.get(0)?,
        trace: row.get(1)?,
        scheduled: row.get::<_, Option<i64>>(2)?.map(UnixMillis::of_i64),
        body: Bytes::from(row.get::<_, Vec<u8>>(3)?),
    })
}

/// Reads of a trigger that may not be there, all as of one moment.
fn of<T: Default>(
    connection: &Connection,
    id: &TriggerId,
    doing: &'static str,
    read: impl FnOnce(&Connection, Books) -> rusqlite::Result<T>,
) -> Result<T, TriggerError> {
    let read = || -> rusqlite::Result<T> {
        let moment = connection.unchecked_transaction()?;
        match Books::of(&moment, id)? {
            Some(books) => read(&moment, books),
            None => Ok(T::default()),
        }
    };
    read().map_err(failed(doing))
}

pub(super) fn next_due(
    connection: &Connection,
    id: &TriggerId,
) -> Result<Option<UnixMillis>, TriggerError> {
    of(
        connection,
        id,
        "read when a message is due",
        |moment, books| {
            if books.is_paused {
                return Ok(None);
            }
            let mut query = moment.prepare_cached(
                "SELECT due_ms FROM message WHERE trigger = ?1 AND is_dead = 0 AND is_leased = ?2
             ORDER BY due_ms LIMIT 1",
            )?;
            let mut first = |is_leased: bool| -> rusqlite::Result<Option<i64>> {
                let due = query.query_row(params![books.trigger, is_leased], |row| row.get(0));
                due.optional()
            };
            let due = first(false)?.into_iter().chain(first(true)?).min();
            Ok(due.map(UnixMillis::of_i64))
        },
    )
}

pub(super) fn standing(
    connection: &Connection,
    id: &TriggerId,
    now: UnixMillis,
) -> Result<Standing, TriggerError> {
    of(
        connection,
        id,
        "read how a queue stands",
        |moment, books| {
            // Few are leased at a time.
            let mut query = moment.prepare_cached(
                "SELECT count(*) FILTER (WHERE due_ms > ?2), count(*) FILTER (WHERE due_ms <= ?2)
             FROM message WHERE trigger = ?1 AND is_dead = 0 AND is_leased = 1",
            )?;
            let (leased, over) = query.query_row(params![books.trigger, now.as_i64()], |row| {
                Ok((row.get(0).map(unsigned)?, row.get(1).map(unsigned)?))
            })?;
            let wait = books.waiting.saturating_sub(leased + over);
            let due = count_due(moment, books.trigger, wait, now)?;
            Ok(Standing {
                due: due + over,
                delayed: wait - due,
                leased,
                dead: books.dead,
                bytes: books.bytes,
                oldest: oldest(moment, books.trigger)?,
                is_paused: books.is_paused,
            })
        },
    )
}

/// How many of so many that wait are due. Counts whichever are fewer, those or the others.
fn count_due(
    connection: &Connection,
    trigger: i64,
    wait: u64,
    now: UnixMillis,
) -> rusqlite::Result<u64> {
    let mut most = COUNT_FIRST;
    loop {
        for side in ["<=", ">"] {
            let mut query = connection.prepare_cached(&format!(
                "SELECT count(*) FROM (SELECT 1 FROM message WHERE trigger = ?1 AND is_dead = 0
                 AND is_leased = 0 AND due_ms {side} ?2 LIMIT ?3)",
            ))?;
            let of = params![trigger, now.as_i64(), signed(most)];
            let found = query.query_row(of, |row| row.get(0).map(unsigned))?;
            if found < most {
                let due = if side == "<=" {
                    found
                } else {
                    wait.saturating_sub(found)
                };
                return Ok(due.min(wait));
            }
        }
        most = most.saturating_mul(8);
    }
}

fn oldest(connection: &Connection, trigger: i64) -> rusqlite::Result<Option<UnixMillis>> {
    let mut query = connection.prepare_cached(
        "SELECT sent_ms FROM message WHERE trigger = ?1 AND is_dead = 0 ORDER BY id LIMIT 1",
    )?;
    let sent = query.query_row([trigger], |row| row.get(0).map(UnixMillis::of_i64));
    sent.optional()
}

pub(super) fn fired(
    connection: &Connection,
    id: &TriggerId,
) -> Result<Option<UnixMillis>, TriggerError> {
    of(
        connection,
        id,
        "read when a schedule was fired",
        |_, books| Ok(books.fired),
    )
}

pub(super) fn list(
    connection: &Connection,
    id: &TriggerId,
    which: Which,
    after: Option<MessageId>,
    count_max: u32,
) -> Result<Page, TriggerError> {
    of(connection, id, "list messages", |moment, books| {
        let mut query = moment.prepare_cached(&format!(
            "SELECT {CONTENT}, id, sent_ms, attempts, is_leased, due_ms, reason FROM message
             WHERE trigger = ?1 AND is_dead = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
        ))?;
        let after = after.map_or(0, |after| signed(after.0));
        let of = params![
            books.trigger,
            is_dead(which),
            after,
            i64::from(count_max) + 1
        ];
        let mut rows = query.query(of)?;
        let mut page = Page::default();
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let message = listed(row, which)?;
            bytes += message.content.body.len();
            let is_full = page.messages.len() >= count_max as usize || bytes > BATCH_BYTES_MAX;
            if let Some(last) = page.messages.last()
                && is_full
            {
                page.next = Some(last.id);
                break;
            }
            page.messages.push(message);
        }
        Ok(page)
    })
}

pub(super) fn is_dead(which: Which) -> bool {
    which == Which::Dead
}

fn listed(row: &Row<'_>, which: Which) -> rusqlite::Result<Kept> {
    let is_leased: bool = row.get(7)?;
    let moment = UnixMillis::of_i64(row.get(8)?);
    Ok(Kept {
        content: content(row)?,
        id: row.get(4).map(unsigned).map(MessageId)?,
        sent: row.get(5).map(UnixMillis::of_i64)?,
        attempts: row.get(6)?,
        state: match which {
            Which::Dead => State::Dead(moment),
            Which::Waiting if is_leased => State::Leased(moment),
            Which::Waiting => State::Waits(moment),
        },
        reason: row.get(9)?,
    })
}

pub(super) fn triggers(
    connection: &Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<Vec<Trigger>, TriggerError> {
    let names = || -> rusqlite::Result<Vec<(i64, String)>> {
        let mut query = connection.prepare_cached(
            "SELECT kind, trigger.name FROM trigger JOIN app ON trigger.app = app.id
             WHERE app.tenant = ?1 AND app.name = ?2 AND (waiting > 0 OR dead > 0)
             ORDER BY kind, trigger.name",
        )?;
        let names = query.query_map(params![tenant.as_str(), app.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        names?.collect()
    };
    let names = names().map_err(failed("read which triggers an app has"))?;
    let triggers = names.into_iter().map(|(kind, name)| {
        trigger(kind, &name).ok_or_else(|| TriggerError::Damaged {
            reason: format!("a trigger is called `{}`", name.escape_debug()),
        })
    });
    triggers.collect()
}

pub(super) fn kept(
    connection: &Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<KeptMessages, TriggerError> {
    let kept = || -> rusqlite::Result<Option<KeptMessages>> {
        let mut query = connection
            .prepare_cached("SELECT messages, bytes FROM app WHERE tenant = ?1 AND name = ?2")?;
        let kept = query.query_row(params![tenant.as_str(), app.as_str()], |row| {
            Ok(KeptMessages {
                messages: unsigned(row.get(0)?),
                bytes: unsigned(row.get(1)?),
            })
        });
        kept.optional()
    };
    Ok(kept()
        .map_err(failed("read what an app keeps"))?
        .unwrap_or_default())
}
