//! Reading key-value data in SQLite. Owns its SQL.

use bytes::Bytes;
use everwarm_manifest::{AppName, TenantId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::grouped::{damaged, failed, unsigned};
use crate::catalog::UnixMillis;
use crate::kv::{BATCH_BYTES_MAX, Bucket, Entry, Kept, Key, KvError, Page, Revision};

/// The entry of a key, if its time hasn't come. The app comes first: it is one row, and found in one look.
const OF_KEY: &str = "FROM app CROSS JOIN entry ON entry.app = app.id
    WHERE app.tenant = ?1 AND app.name = ?2 AND entry.bucket = ?3 AND entry.key = ?4
    AND (entry.expires_ms IS NULL OR entry.expires_ms > ?5)";

pub(super) fn get(
    connection: &Connection,
    bucket: &Bucket,
    key: &Key,
    now: UnixMillis,
) -> Result<Option<Entry>, KvError> {
    let columns = "entry.value, entry.revision, entry.expires_ms";
    one(connection, columns, bucket, key, now, |row| {
        Ok(Entry {
            value: Bytes::from(row.get::<_, Vec<u8>>(0)?),
            revision: revision_of(row.get(1)?),
            expires: row.get::<_, Option<i64>>(2)?.map(UnixMillis::of_i64),
        })
    })
}

pub(super) fn revision(
    connection: &Connection,
    bucket: &Bucket,
    key: &Key,
    now: UnixMillis,
) -> Result<Option<Revision>, KvError> {
    one(connection, "entry.revision", bucket, key, now, |row| {
        row.get(0).map(revision_of)
    })
}

fn one<T>(
    connection: &Connection,
    columns: &str,
    bucket: &Bucket,
    key: &Key,
    now: UnixMillis,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, KvError> {
    let mut query = connection
        .prepare_cached(&format!("SELECT {columns} {OF_KEY}"))
        .map_err(failed("read a value"))?;
    let of_key = params![
        bucket.tenant.as_str(),
        bucket.app.as_str(),
        bucket.name.as_str(),
        key.as_str().as_bytes(),
        now.as_i64(),
    ];
    let found = query.query_row(of_key, read).optional();
    found.map_err(failed("read a value"))
}

pub(super) fn get_many(
    connection: &Connection,
    bucket: &Bucket,
    keys: &[Key],
    now: UnixMillis,
) -> Result<Vec<Option<Entry>>, KvError> {
    // All as of one moment.
    let moment = connection.unchecked_transaction();
    let moment = moment.map_err(failed("read values"))?;
    let mut bytes = 0;
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        let entry = get(&moment, bucket, key, now)?;
        let value = entry.as_ref().map_or(0, |entry| entry.value.len());
        bytes += key.as_str().len() + value;
        if bytes > BATCH_BYTES_MAX {
            return Err(KvError::BatchTooLarge);
        }
        entries.push(entry);
    }
    Ok(entries)
}

pub(super) fn list(
    connection: &Connection,
    bucket: &Bucket,
    prefix: &str,
    after: Option<&Key>,
    count_max: u32,
    now: UnixMillis,
) -> Result<Page, KvError> {
    let failed = || failed("list keys");
    let after = after.map_or("", Key::as_str);
    // One bound below, so that SQLite begins where the page does.
    let (from, bound) = if after >= prefix && !after.is_empty() {
        (after, ">")
    } else {
        (prefix, ">=")
    };
    let mut query = connection
        .prepare_cached(&format!(
            "SELECT entry.key, entry.expires_ms FROM app CROSS JOIN entry ON entry.app = app.id
             WHERE app.tenant = ?1 AND app.name = ?2 AND entry.bucket = ?3
             AND entry.key {bound} ?4 AND entry.key < ?5 ORDER BY entry.key LIMIT ?6",
        ))
        .map_err(failed())?;
    let of_page = params![
        bucket.tenant.as_str(),
        bucket.app.as_str(),
        bucket.name.as_str(),
        from.as_bytes(),
        end_of(prefix),
        i64::from(count_max) + 1,
    ];
    let mut rows = query.query(of_page).map_err(failed())?;
    let mut page = Page::default();
    let mut last = None;
    let mut seen = 0;
    while let Some(row) = rows.next().map_err(failed())? {
        if seen == count_max {
            page.next = last;
            break;
        }
        seen += 1;
        let key = key_of(row.get_ref(0).map_err(failed())?.as_blob())?;
        let expires: Option<i64> = row.get(1).map_err(failed())?;
        if expires.is_none_or(|expires| expires > now.as_i64()) {
            page.keys.push(key.clone());
        }
        last = Some(key);
    }
    Ok(page)
}

/// What all that begins with this is less than. No byte of UTF-8 is 255, so the last one has a next.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        Some(last) => *last += 1,
        None => end.push(u8::MAX),
    }
    end
}

fn key_of(bytes: Result<&[u8], rusqlite::types::FromSqlError>) -> Result<Key, KvError> {
    let bytes = bytes.map_err(|error| damaged(&error))?;
    let text = std::str::from_utf8(bytes).map_err(|error| damaged(&error))?;
    Key::new(text).map_err(|error| damaged(&error))
}

pub(super) fn kept(
    connection: &Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<Kept, KvError> {
    let kept = || -> rusqlite::Result<Option<Kept>> {
        let mut query = connection
            .prepare_cached("SELECT entries, bytes FROM app WHERE tenant = ?1 AND name = ?2")?;
        let kept = query.query_row(params![tenant.as_str(), app.as_str()], |row| {
            Ok(Kept {
                entries: unsigned(row.get(0)?),
                bytes: unsigned(row.get(1)?),
            })
        });
        kept.optional()
    };
    Ok(kept()
        .map_err(failed("read what an app keeps"))?
        .unwrap_or_default())
}

pub(super) fn revision_of(number: i64) -> Revision {
    Revision(unsigned(number))
}
