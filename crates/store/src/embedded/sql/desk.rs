//! Runs statements on one connection.
//!
//! Owns what comes before and after a statement: whose turn it is to write, how many run at once, the room in the log,
//! and that a connection is left as it was found. Knows nothing of callers and messages.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Rows, ToSql};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::OpenError;
use super::super::disk::{Medium, make_dirs};
use super::faults::{self, Context, ROOM_MIN};
use super::watch::{Gates, Limits, Watch};
use super::{PAGE_BYTES, rules, tables, text};
use crate::sql::{
    Executed, ROW_BYTES_MAX, Row, SCHEMA_BYTES_MAX, SqlError, SqlKind, Statement, Terms, Value,
};

/// Bytes of temporary files that a statement may write while it runs.
const TEMPORARY_BYTES_MAX: u64 = 256 << 20;
/// Bytes of the log from which on it must be written back before more is written.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Where a connection is, and what it shares with others.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) path: PathBuf,
    pub(super) scratch: PathBuf,
    pub(super) medium: Medium,
    /// Whose turn it is to write the database: one permit, given in the order in which it was asked for.
    pub(super) turn: Arc<Semaphore>,
    /// How many long statements run at once, of the tenant and in all.
    pub(super) gates: Gates,
    /// Raised when the store is let go.
    pub(super) closing: Arc<AtomicBool>,
}

/// A connection, and what looks after it.
pub(super) struct Desk {
    pub(super) connection: Connection,
    pub(super) watch: Watch,
    site: Site,
    /// The quota that the connection has.
    pages_max: u64,
}

/// May write.
pub(super) type Turn = OwnedSemaphorePermit;

impl Desk {
    pub(super) fn open(site: &Site, terms: &Terms) -> Result<Self, SqlError> {
        let folder = site.path.parent().unwrap_or(&site.scratch);
        if let Err(error) = make_dirs(&*site.medium.disk, folder) {
            tracing::error!(%error, folder = %folder.display(), "a folder for databases can't be made");
            let error = OpenError::io("make the folder", folder)(error);
            return Err(faults::open_error(&error, terms, is_full(site)));
        }
        let layer = super::layer(&site.medium);
        let opened = tables::open(&site.path, &site.medium, layer, &site.scratch);
        let mut connection = opened.map_err(|error| {
            tracing::error!(%error, source = ?std::error::Error::source(&error), "a database can't be opened");
            faults::open_error(&error, terms, is_full(site))
        })?;
        let watch = Watch::new(Arc::clone(&site.closing), site.gates.clone());
        let set = watch
            .attach(&mut connection)
            .and_then(|()| rules::set(&mut connection, &watch))
            .and_then(|()| text::add(&connection));
        let desk = Self {
            connection,
            watch,
            site: site.clone(),
            pages_max: 0,
        };
        desk.told(set, terms)?;
        Ok(desk)
    }

    /// Gives the connection its caller's quota.
    pub(super) fn set_terms(&mut self, terms: &Terms) -> Result<(), SqlError> {
        let pages_max = (terms.bytes_max / u64::from(PAGE_BYTES)).clamp(1, u64::from(u32::MAX - 1));
        if pages_max != self.pages_max {
            let set = self.own(&format!("PRAGMA max_page_count = {pages_max}"));
            self.told(set, terms)?;
            self.pages_max = pages_max;
        }
        Ok(())
    }

    /// Runs the engine's own SQL. Never by the cache of statements: a guest's text finds nothing there that was
    /// prepared for the engine.
    pub(super) fn own(&self, sql: &str) -> rusqlite::Result<()> {
        self.watch.as_engine(|| self.connection.execute_batch(sql))
    }

    /// Makes the port's error of SQLite's.
    pub(super) fn told<T>(&self, done: rusqlite::Result<T>, terms: &Terms) -> Result<T, SqlError> {
        done.map_err(|error| {
            let context = Context {
                terms,
                stopped: self.watch.stopped(),
                denied: self.watch.denied(),
                is_disk_full: faults::may_be_full(&error) && is_full(&self.site),
            };
            let told = faults::sql_error(&error, &context);
            if matches!(
                told.kind,
                SqlKind::Failed | SqlKind::Damaged | SqlKind::DiskFull
            ) {
                tracing::error!(path = %self.site.path.display(), %error, "a statement failed");
            }
            told
        })
    }

    /// Waits until it is this connection's turn to write, and there is room in the log.
    pub(super) fn turn(&self, limits: &mut Limits, terms: &Terms) -> Result<Turn, SqlError> {
        let stopped = |stop| faults::stop_error(stop, terms);
        let turn = Arc::clone(&self.site.turn).acquire_owned();
        let turn = self.watch.wait(turn, limits).map_err(stopped)?;
        let turn = turn.map_err(|_| gone())?;
        let mut log = self.site.path.clone().into_os_string();
        log.push("-wal");
        let log = self.site.medium.disk.metadata(log.as_ref());
        if log.is_ok_and(|log| log.len > LOG_BYTES_MAX) {
            let is_busy = self.held(limits, terms, || {
                self.watch.as_engine(|| {
                    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
                    self.connection
                        .query_row(sql, [], |row| row.get::<_, bool>(0))
                })
            })?;
            if is_busy {
                let what = "transactions that read keep the database's log from being written back: try again";
                return Err(SqlError::new(SqlKind::Busy, what));
            }
        }
        Ok(turn)
    }

    /// Runs something within limits, and takes what it took off them.
    pub(super) fn held<T>(
        &self,
        limits: &mut Limits,
        terms: &Terms,
        work: impl FnOnce() -> rusqlite::Result<T>,
    ) -> Result<T, SqlError> {
        let held = self.watch.hold(limits);
        let done = work();
        limits.running = limits.running.saturating_sub(held.ran());
        drop(held);
        self.told(done, terms)
    }

    pub(super) fn prepare(
        &self,
        statement: &Statement,
        limits: &mut Limits,
        terms: &Terms,
    ) -> Result<CachedStatement<'_>, SqlError> {
        let mut prepared = self.held(limits, terms, || {
            self.connection.prepare_cached(&statement.sql)
        })?;
        let (has, wants) = (statement.parameters.len(), prepared.parameter_count());
        if has != wants {
            let what =
                format!("the statement has {wants} parameters, and {has} values came for them");
            return Err(SqlError::new(SqlKind::Sql, what));
        }
        limits.written = TEMPORARY_BYTES_MAX;
        if !prepared.readonly() {
            // The log, and the file when the log is written back.
            limits.written = limits
                .written
                .saturating_add(terms.bytes_max.saturating_mul(2));
            self.check_schema(limits, terms)?;
        }
        for (place, value) in statement.parameters.iter().enumerate() {
            let bound = prepared.raw_bind_parameter(place + 1, Bound(value));
            self.told(bound, terms)?;
        }
        Ok(prepared)
    }

    /// What definitions mean is in each connection's memory.
    fn check_schema(&self, limits: &mut Limits, terms: &Terms) -> Result<(), SqlError> {
        if !self.watch.makes_object() {
            return Ok(());
        }
        let sql = "SELECT coalesce(sum(length(sql)), 0) FROM main.sqlite_schema";
        let bytes = self.held(limits, terms, || {
            let query = || {
                self.connection
                    .query_row(sql, [], |row| row.get::<_, i64>(0))
            };
            self.watch.as_engine(query)
        })?;
        if usize::try_from(bytes).is_ok_and(|bytes| bytes < SCHEMA_BYTES_MAX) {
            return Ok(());
        }
        let what = format!(
            "the definitions of the database's tables, indexes, views and triggers have {bytes} bytes: \
             from {SCHEMA_BYTES_MAX} on there can be no more"
        );
        Err(SqlError::new(SqlKind::TooLarge, what))
    }

    /// Runs a statement to its end. `each` gets its rows.
    pub(super) fn step(
        &self,
        prepared: &mut CachedStatement<'_>,
        limits: &mut Limits,
        terms: &Terms,
        mut each: impl FnMut(&rusqlite::Row<'_>) -> Result<(), SqlError>,
    ) -> Result<Executed, SqlError> {
        let before = self.connection.total_changes();
        let mut refused = Ok(());
        self.held(limits, terms, || {
            let mut rows = prepared.raw_query();
            while let Some(row) = rows.next()? {
                refused = each(row);
                if refused.is_err() {
                    break;
                }
            }
            Ok(())
        })?;
        refused?;
        let has_changed = self.connection.total_changes() != before;
        Ok(Executed {
            changes: if has_changed {
                self.connection.changes()
            } else {
                0
            },
            last_insert_id: self.connection.last_insert_rowid(),
        })
    }

    /// Undoes whatever is open. `false` when that can't be done: the connection is of no use then.
    pub(super) fn undo(&self) -> bool {
        if !self.connection.is_autocommit()
            && let Err(error) = self.own("ROLLBACK")
        {
            tracing::error!(path = %self.site.path.display(), %error, "a transaction can't be undone");
        }
        self.connection.is_autocommit()
    }
}

fn gone() -> SqlError {
    SqlError::new(SqlKind::Failed, "the store was let go")
}

fn is_full(site: &Site) -> bool {
    let room = site
        .path
        .parent()
        .map(|folder| site.medium.disk.room(folder));
    matches!(room, Some(Ok(room)) if room < ROOM_MIN)
}

/// Takes rows until there are enough of them, or no more (`false`).
pub(super) fn take(rows: &mut Rows<'_>, taken: &mut Taken) -> rusqlite::Result<bool> {
    while !taken.is_enough() {
        let Some(row) = rows.next()? else {
            return Ok(false);
        };
        if let Err(error) = taken.add(row) {
            taken.refused = Some(error);
            return Ok(false);
        }
    }
    Ok(true)
}

/// Rows of an answer.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) rows: Vec<Row>,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
    /// Why no more can be taken.
    pub(super) refused: Option<SqlError>,
}

impl Taken {
    pub(super) fn new(rows_max: usize, bytes_max: usize) -> Self {
        Self {
            rows: Vec::new(),
            bytes: 0,
            rows_max,
            bytes_max,
            refused: None,
        }
    }

    pub(super) fn is_enough(&self) -> bool {
        self.rows.len() >= self.rows_max || self.bytes >= self.bytes_max
    }

    pub(super) fn add(&mut self, row: &rusqlite::Row<'_>) -> Result<(), SqlError> {
        // Asked of the row: SQLite may have prepared the statement again, for a table that has other columns now.
        let columns = row.as_ref().column_count();
        let mut values = Vec::with_capacity(columns);
        let mut bytes = 0;
        for column in 0..columns {
            let value = row.get_ref(column);
            let value = value.map_err(|error| SqlError::new(SqlKind::Failed, error.to_string()))?;
            let value = value_of(value, ROW_BYTES_MAX.saturating_sub(bytes)).ok_or_else(|| {
                let what =
                    format!("a row of the answer has more than {ROW_BYTES_MAX} bytes: select less");
                SqlError::new(SqlKind::TooLarge, what)
            })?;
            bytes += value.bytes();
            values.push(value);
        }
        self.bytes += bytes;
        self.rows.push(values);
        Ok(())
    }
}

/// `None` for one that is larger than there is room.
fn value_of(value: ValueRef<'_>, room: usize) -> Option<Value> {
    Some(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) if bytes.len() <= room => {
            // SQLite checks no UTF-8: a blob that is cast to text may be anything.
            Value::Text(String::from_utf8_lossy(bytes).into_owned())
        }
        ValueRef::Blob(bytes) if bytes.len() <= room => Value::Blob(Bytes::copy_from_slice(bytes)),
        ValueRef::Text(_) | ValueRef::Blob(_) => return None,
    })
}

/// A value as rusqlite takes it.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
