//! Changing key-value data in SQLite. Owns its SQL, and that a change and the app's books are one.
//!
//! Each function runs in a savepoint of its own, which is its transaction when it is alone.

use everwarm_manifest::{AppName, TenantId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::grouped::{failed, signed, unsigned};
use super::books::Books;
use super::read::revision_of;
use super::sweep;
use crate::catalog::UnixMillis;
use crate::kv::{Bucket, Key, KvError, KvQuota, NewValue, Revision};

/// Entries that are swept before a quota refuses: what has expired keeps nobody from writing.
const SWEPT_FIRST: u32 = 100;

/// Bytes of the longest number: a sign and 19 digits.
const NUMBER_BYTES_MAX: u32 = 20;

/// Where an app may keep how much, and when it is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) bucket: Bucket,
    pub(super) quota: KvQuota,
    pub(super) now: UnixMillis,
}

impl Place {
    pub(super) fn new(bucket: &Bucket, quota: KvQuota, now: UnixMillis) -> Self {
        Self {
            bucket: bucket.clone(),
            quota,
            now,
        }
    }
}

/// What is there under a key, whether its time has come or not.
struct Before {
    revision: Revision,
    /// Of key and value.
    bytes: u64,
    expires: Option<i64>,
}

impl Before {
    fn read(
        connection: &Connection,
        app: i64,
        bucket: &Bucket,
        key: &Key,
    ) -> rusqlite::Result<Option<Self>> {
        let mut query = connection.prepare_cached(
            "SELECT revision, length(key) + length(value), expires_ms FROM entry
             WHERE app = ?1 AND bucket = ?2 AND key = ?3",
        )?;
        let of_key = params![app, bucket.name.as_str(), key.as_str().as_bytes()];
        let before = query.query_row(of_key, |row| {
            Ok(Self {
                revision: revision_of(row.get(0)?),
                bytes: unsigned(row.get(1)?),
                expires: row.get(2)?,
            })
        });
        before.optional()
    }

    fn is_live(&self, now: UnixMillis) -> bool {
        self.expires.is_none_or(|expires| expires > now.as_i64())
    }
}

/// Does a change whole or not at all. When a quota refuses it, what has expired is swept, and it is tried again.
fn change<T>(
    connection: &mut Connection,
    place: &Place,
    doing: &'static str,
    change: impl Fn(&Connection, &mut Books) -> Result<T, KvError>,
) -> Result<T, KvError> {
    match once(connection, place, doing, &change) {
        Err(refused @ (KvError::TooManyEntries { .. } | KvError::TooManyBytes { .. })) => {
            if sweep::sweep(connection, place.now, SWEPT_FIRST)?.entries == 0 {
                return Err(refused);
            }
            once(connection, place, doing, &change)
        }
        other => other,
    }
}

fn once<T>(
    connection: &mut Connection,
    place: &Place,
    doing: &'static str,
    change: &impl Fn(&Connection, &mut Books) -> Result<T, KvError>,
) -> Result<T, KvError> {
    let savepoint = connection.savepoint().map_err(failed(doing))?;
    let Bucket { tenant, app, .. } = &place.bucket;
    let mut books = Books::open(&savepoint, tenant, app).map_err(failed(doing))?;
    let done = change(&savepoint, &mut books)?;
    let kept = books.write(&savepoint).and_then(|()| savepoint.commit());
    kept.map_err(failed(doing)).map(|()| done)
}

/// Writes an entry, and what it changes in the books.
fn put(
    connection: &Connection,
    books: &mut Books,
    place: &Place,
    key: &Key,
    before: Option<&Before>,
    value: &[u8],
    expires: Option<i64>,
) -> Result<Revision, KvError> {
    let bytes = (key.as_str().len() + value.len()) as u64;
    let revision = books.put(before.map(|before| before.bytes), bytes, place.quota)?;
    let written = || -> rusqlite::Result<usize> {
        connection
            .prepare_cached(
                "INSERT INTO entry (app, bucket, key, revision, expires_ms, value)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (app, bucket, key) DO UPDATE
                 SET revision = excluded.revision, expires_ms = excluded.expires_ms,
                 value = excluded.value",
            )?
            .execute(params![
                books.app,
                place.bucket.name.as_str(),
                key.as_str().as_bytes(),
                signed(revision.0),
                expires,
                value,
            ])
    };
    written().map_err(failed("write a value"))?;
    Ok(revision)
}

fn expiry(value: &NewValue) -> Option<i64> {
    value.expires.map(UnixMillis::as_i64)
}

pub(super) fn set(
    connection: &mut Connection,
    place: &Place,
    values: &[(Key, NewValue)],
) -> Result<Revision, KvError> {
    change(connection, place, "write values", |connection, books| {
        let mut last = Revision(0);
        for (key, value) in values {
            let before = Before::read(connection, books.app, &place.bucket, key);
            let before = before.map_err(failed("read a value"))?;
            let expires = expiry(value);
            last = put(
                connection,
                books,
                place,
                key,
                before.as_ref(),
                &value.bytes,
                expires,
            )?;
        }
        Ok(last)
    })
}

pub(super) fn swap(
    connection: &mut Connection,
    place: &Place,
    key: &Key,
    expected: Option<Revision>,
    value: &NewValue,
) -> Result<Revision, KvError> {
    change(connection, place, "swap a value", |connection, books| {
        let before = Before::read(connection, books.app, &place.bucket, key);
        let before = before.map_err(failed("read a value"))?;
        let live = before.as_ref().filter(|before| before.is_live(place.now));
        let current = live.map(|before| before.revision);
        if current != expected {
            return Err(KvError::RevisionDiffers { current });
        }
        put(
            connection,
            books,
            place,
            key,
            before.as_ref(),
            &value.bytes,
            expiry(value),
        )
    })
}

pub(super) fn increment(
    connection: &mut Connection,
    place: &Place,
    key: &Key,
    delta: i64,
) -> Result<i64, KvError> {
    change(
        connection,
        place,
        "increment a value",
        |connection, books| {
            let before = Before::read(connection, books.app, &place.bucket, key);
            let before = before.map_err(failed("read a value"))?;
            let live = before.as_ref().filter(|before| before.is_live(place.now));
            let number = match live {
                Some(_) => number(connection, books.app, &place.bucket, key)?,
                None => 0,
            };
            let sum = number.checked_add(delta).ok_or(KvError::Overflow)?;
            let expires = live.and_then(|before| before.expires);
            let text = sum.to_string();
            put(
                connection,
                books,
                place,
                key,
                before.as_ref(),
                text.as_bytes(),
                expires,
            )?;
            Ok(sum)
        },
    )
}

/// The number under a key that is there.
fn number(connection: &Connection, app: i64, bucket: &Bucket, key: &Key) -> Result<i64, KvError> {
    let value = || -> rusqlite::Result<Option<Vec<u8>>> {
        let mut query = connection.prepare_cached(
            "SELECT value FROM entry WHERE app = ?1 AND bucket = ?2 AND key = ?3
             AND length(value) <= ?4",
        )?;
        let of_key = params![
            app,
            bucket.name.as_str(),
            key.as_str().as_bytes(),
            NUMBER_BYTES_MAX
        ];
        query.query_row(of_key, |row| row.get(0)).optional()
    };
    let value = value().map_err(failed("read a value"))?;
    let value = value.ok_or(KvError::NotANumber)?;
    let text = std::str::from_utf8(&value).map_err(|_| KvError::NotANumber)?;
    text.parse().map_err(|_| KvError::NotANumber)
}

pub(super) fn delete(
    connection: &mut Connection,
    bucket: &Bucket,
    keys: &[Key],
    now: UnixMillis,
) -> Result<u32, KvError> {
    let mut deleted = || -> rusqlite::Result<u32> {
        let savepoint = connection.savepoint()?;
        let Some(mut books) = Books::of(&savepoint, &bucket.tenant, &bucket.app)? else {
            return Ok(0);
        };
        let (mut live, mut entries, mut bytes) = (0, 0, 0);
        for key in keys {
            let Some(before) = Before::read(&savepoint, books.app, bucket, key)? else {
                continue;
            };
            savepoint
                .prepare_cached("DELETE FROM entry WHERE app = ?1 AND bucket = ?2 AND key = ?3")?
                .execute(params![
                    books.app,
                    bucket.name.as_str(),
                    key.as_str().as_bytes()
                ])?;
            live += u32::from(before.is_live(now));
            entries += 1;
            bytes += before.bytes;
        }
        if entries > 0 {
            books.take(entries, bytes);
            books.write(&savepoint)?;
        }
        savepoint.commit()?;
        Ok(live)
    };
    deleted().map_err(failed("delete values"))
}

pub(super) fn remove_app(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<bool, KvError> {
    let mut removed = || -> rusqlite::Result<bool> {
        let savepoint = connection.savepoint()?;
        let Some(books) = Books::of(&savepoint, tenant, app)? else {
            return Ok(false);
        };
        books.remove(&savepoint)?;
        savepoint.commit()?;
        Ok(true)
    };
    removed().map_err(failed("remove an app's key-value data"))
}
