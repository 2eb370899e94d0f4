//! An app's books: how much it keeps, its quota, and its revisions, in one row of SQLite. Owns the row's SQL.
//!
//! The row is read once and written once for each change, so that what a quota costs doesn't depend on how much there
//! is.

use everwarm_manifest::{AppName, TenantId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::grouped::{signed, unsigned};
use crate::kv::{KvError, KvQuota, Revision};

/// The books of one app, while they are changed.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) app: i64,
    entries: u64,
    bytes: u64,
    revision: u64,
}

impl Books {
    pub(super) fn of(
        connection: &Connection,
        tenant: &TenantId,
        app: &AppName,
    ) -> rusqlite::Result<Option<Self>> {
        let mut query = connection.prepare_cached(
            "SELECT id, entries, bytes, revision FROM app WHERE tenant = ?1 AND name = ?2",
        )?;
        let books = query.query_row(params![tenant.as_str(), app.as_str()], |row| {
            Ok(Self {
                app: row.get(0)?,
                entries: unsigned(row.get(1)?),
                bytes: unsigned(row.get(2)?),
                revision: unsigned(row.get(3)?),
            })
        });
        books.optional()
    }

    /// As [`Books::of`], of an app that may be new.
    pub(super) fn open(
        connection: &Connection,
        tenant: &TenantId,
        app: &AppName,
    ) -> rusqlite::Result<Self> {
        if let Some(books) = Self::of(connection, tenant, app)? {
            return Ok(books);
        }
        connection
            .prepare_cached(
                "INSERT INTO app (tenant, name, entries, bytes, revision)
                 SELECT ?1, ?2, 0, 0, revision FROM past",
            )?
            .execute(params![tenant.as_str(), app.as_str()])?;
        let books = Self::of(connection, tenant, app)?;
        books.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// One entry more, or another in the place of one that had so many bytes, with the revision that it gets.
    pub(super) fn put(
        &mut self,
        before: Option<u64>,
        bytes: u64,
        quota: KvQuota,
    ) -> Result<Revision, KvError> {
        let more = bytes.saturating_sub(before.unwrap_or(0));
        if before.is_none() && self.entries >= quota.entries_max {
            return Err(KvError::TooManyEntries {
                entries_max: quota.entries_max,
            });
        }
        if more > 0 && self.bytes.saturating_add(more) > quota.bytes_max {
            return Err(KvError::TooManyBytes {
                kept: self.bytes,
                more,
                bytes_max: quota.bytes_max,
            });
        }
        self.bytes = self.bytes.saturating_sub(before.unwrap_or(0)) + bytes;
        self.entries += u64::from(before.is_none());
        self.revision += 1;
        Ok(Revision(self.revision))
    }

    /// Entries less.
    pub(super) fn take(&mut self, entries: u64, bytes: u64) {
        self.entries = self.entries.saturating_sub(entries);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE app SET entries = ?2, bytes = ?3, revision = ?4 WHERE id = ?1")?
            .execute(params![
                self.app,
                signed(self.entries),
                signed(self.bytes),
                signed(self.revision),
            ])?;
        Ok(())
    }

    /// Takes the app's name from it: readers find nothing any more. Its entries go with sweeps.
    pub(super) fn remove(self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute("DELETE FROM app WHERE id = ?1", [self.app])?;
        connection.execute("INSERT INTO removed (app) VALUES (?1)", [self.app])?;
        connection.execute(
            "UPDATE past SET revision = max(revision, ?1)",
            [signed(self.revision)],
        )?;
        Ok(())
    }
}
