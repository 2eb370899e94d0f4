//! Removing messages that died long ago and those of triggers that were removed, a part at a time. Owns its SQL.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::grouped::{failed, signed, unsigned};
use super::write::{REMOVED_BYTES_MAX, forget};
use crate::catalog::UnixMillis;
use crate::triggers::{SWEEP_MAX, SweptMessages, TriggerError};

/// A message to be removed.
struct Found {
    trigger: i64,
    is_dead: bool,
    id: i64,
    bytes: u64,
}

/// What a sweep may still remove.
struct Left {
    messages: u32,
    bytes: u64,
}

impl Left {
    fn is_none(&self) -> bool {
        self.messages == 0 || self.bytes == 0
    }
}

pub(super) fn sweep(
    connection: &mut Connection,
    dead_before: UnixMillis,
    count_max: u32,
) -> Result<SweptMessages, TriggerError> {
    let mut swept = || -> rusqlite::Result<SweptMessages> {
        let savepoint = connection.savepoint()?;
        let count_max = count_max.min(SWEEP_MAX);
        let mut left = Left {
            messages: count_max,
            bytes: REMOVED_BYTES_MAX,
        };
        let found = died(&savepoint, dead_before, left.messages)?;
        remove(&savepoint, found, &mut left)?;
        while !left.is_none()
            && let Some(trigger) = removed_trigger(&savepoint)?
        {
            let found = of_removed(&savepoint, trigger, left.messages)?;
            remove(&savepoint, found, &mut left)?;
            // With room left, all that it had is gone.
            if !left.is_none() {
                savepoint.execute("DELETE FROM removed WHERE trigger = ?1", [trigger])?;
            }
        }
        let more = any_left(&savepoint, dead_before)?;
        savepoint.commit()?;
        Ok(SweptMessages {
            messages: count_max - left.messages,
            more,
        })
    };
    swept().map_err(failed("remove old messages"))
}

fn died(connection: &Connection, before: UnixMillis, count: u32) -> rusqlite::Result<Vec<Found>> {
    let mut query = connection.prepare_cached(
        "SELECT trigger, is_dead, id, bytes FROM message
         WHERE is_dead = 1 AND due_ms < ?1 ORDER BY due_ms LIMIT ?2",
    )?;
    let rows = query.query_map(params![before.as_i64(), count], found)?;
    rows.collect()
}

fn removed_trigger(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut query = connection.prepare_cached("SELECT trigger FROM removed LIMIT 1")?;
    query.query_row([], |row| row.get(0)).optional()
}

fn of_removed(connection: &Connection, trigger: i64, count: u32) -> rusqlite::Result<Vec<Found>> {
    let mut query = connection.prepare_cached(
        "SELECT trigger, is_dead, id, bytes FROM message WHERE trigger = ?1 LIMIT ?2",
    )?;
    let rows = query.query_map(params![trigger, count], found)?;
    rows.collect()
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        trigger: row.get(0)?,
        is_dead: row.get(1)?,
        id: row.get(2)?,
        bytes: unsigned(row.get(3)?),
    })
}

/// Removes messages as long as there is anything left, and takes the dead from the books of triggers that there are: of
/// those, none but dead ones are found.
fn remove(connection: &Connection, found: Vec<Found>, left: &mut Left) -> rusqlite::Result<()> {
    let mut sums: BTreeMap<i64, (u32, u64)> = BTreeMap::new();
    for message in found {
        if left.is_none() {
            break;
        }
        let Found {
            trigger,
            is_dead,
            id,
            bytes,
        } = message;
        forget(connection, trigger, is_dead, id, bytes)?;
        left.messages -= 1;
        left.bytes = left.bytes.saturating_sub(bytes);
        let sum = sums.entry(trigger).or_default();
        *sum = (sum.0 + 1, sum.1 + bytes);
    }
    for (trigger, (messages, bytes)) in sums {
        let of = params![trigger, messages, signed(bytes)];
        connection
            .prepare_cached(
                "UPDATE app SET messages = messages - ?2, bytes = bytes - ?3
                 WHERE id = (SELECT app FROM trigger WHERE id = ?1)",
            )?
            .execute(of)?;
        connection
            .prepare_cached(
                "UPDATE trigger SET dead = dead - ?2, bytes = bytes - ?3 WHERE id = ?1",
            )?
            .execute(of)?;
    }
    Ok(())
}

fn any_left(connection: &Connection, dead_before: UnixMillis) -> rusqlite::Result<bool> {
    let mut query = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM message WHERE is_dead = 1 AND due_ms < ?1)
         OR EXISTS (SELECT 1 FROM removed)",
    )?;
    query.query_row([dead_before.as_i64()], |row| row.get(0))
}
