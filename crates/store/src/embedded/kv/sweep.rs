//! Removing what has expired and what was an app's that was removed, a part at a time. Owns its SQL.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::grouped::{failed, signed, unsigned};
use crate::catalog::UnixMillis;
use crate::kv::{KvError, SWEEP_MAX, Swept};

/// Bytes after which a sweep removes no more: each page of a large value is read before it is free.
const SWEEP_BYTES_MAX: u64 = 16 << 20;

/// An entry to be removed.
struct Found {
    app: i64,
    bucket: String,
    key: Vec<u8>,
    bytes: u64,
}

/// What a sweep may still remove.
struct Left {
    entries: u32,
    bytes: u64,
}

impl Left {
    fn is_none(&self) -> bool {
        self.entries == 0 || self.bytes == 0
    }
}

pub(super) fn sweep(
    connection: &mut Connection,
    now: UnixMillis,
    count_max: u32,
) -> Result<Swept, KvError> {
    let mut swept = || -> rusqlite::Result<Swept> {
        let savepoint = connection.savepoint()?;
        let count_max = count_max.min(SWEEP_MAX);
        let mut left = Left {
            entries: count_max,
            bytes: SWEEP_BYTES_MAX,
        };
        let found = expired(&savepoint, now, left.entries)?;
        remove(&savepoint, found, &mut left)?;
        while !left.is_none()
            && let Some(app) = removed_app(&savepoint)?
        {
            let found = of_removed(&savepoint, app, left.entries)?;
            remove(&savepoint, found, &mut left)?;
            // With room left, all that it had is gone.
            if !left.is_none() {
                savepoint.execute("DELETE FROM removed WHERE app = ?1", [app])?;
            }
        }
        let more = any_left(&savepoint, now)?;
        savepoint.commit()?;
        Ok(Swept {
            entries: count_max - left.entries,
            more,
        })
    };
    swept().map_err(failed("remove what has expired"))
}

fn expired(connection: &Connection, now: UnixMillis, count: u32) -> rusqlite::Result<Vec<Found>> {
    let mut query = connection.prepare_cached(
        "SELECT app, bucket, key, length(key) + length(value) FROM entry
         WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2",
    )?;
    let rows = query.query_map(params![now.as_i64(), count], found)?;
    rows.collect()
}

fn removed_app(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut query = connection.prepare_cached("SELECT app FROM removed LIMIT 1")?;
    query.query_row([], |row| row.get(0)).optional()
}

fn of_removed(connection: &Connection, app: i64, count: u32) -> rusqlite::Result<Vec<Found>> {
    let mut query = connection.prepare_cached(
        "SELECT app, bucket, key, length(key) + length(value) FROM entry WHERE app = ?1 LIMIT ?2",
    )?;
    let rows = query.query_map(params![app, count], found)?;
    rows.collect()
}

fn found(row: &rusqlite::Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        app: row.get(0)?,
        bucket: row.get(1)?,
        key: row.get(2)?,
        bytes: unsigned(row.get(3)?),
    })
}

/// Removes entries as long as there is anything left, and takes them from the books of apps that there are.
fn remove(connection: &Connection, found: Vec<Found>, left: &mut Left) -> rusqlite::Result<()> {
    let mut sums: BTreeMap<i64, (u32, u64)> = BTreeMap::new();
    for entry in found {
        if left.is_none() {
            break;
        }
        connection
            .prepare_cached("DELETE FROM entry WHERE app = ?1 AND bucket = ?2 AND key = ?3")?
            .execute(params![entry.app, entry.bucket, entry.key])?;
        left.entries -= 1;
        left.bytes = left.bytes.saturating_sub(entry.bytes);
        let sum = sums.entry(entry.app).or_default();
        *sum = (sum.0 + 1, sum.1 + entry.bytes);
    }
    for (app, (entries, bytes)) in sums {
        connection
            .prepare_cached(
                "UPDATE app SET entries = entries - ?2, bytes = bytes - ?3 WHERE id = ?1",
            )?
            .execute(params![app, entries, signed(bytes)])?;
    }
    Ok(())
}

fn any_left(connection: &Connection, now: UnixMillis) -> rusqlite::Result<bool> {
    let mut query = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM entry WHERE expires_ms <= ?1)
         OR EXISTS (SELECT 1 FROM removed)",
    )?;
    query.query_row([now.as_i64()], |row| row.get(0))
}
