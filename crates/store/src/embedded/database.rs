//! An SQLite file of the store: opening it, and which version of its tables it has.
//!
//! Owns what holds for each of the store's files: a write-ahead log, a sync before each acknowledgement, no code in the
//! schema, and that a file of a later release isn't touched. Knows no table.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::OpenError;
use super::disk::Medium;

/// The tables of one kind of file.
pub(super) struct Tables {
    /// Says what an SQLite file holds (`file`(1) shows it).
    pub(super) application_id: i64,
    /// Each step takes a file from the version before to the next; the first makes all tables.
    pub(super) steps: &'static [&'static str],
}

impl Tables {
    /// The version that this binary reads and writes.
    pub(super) fn version(&self) -> i64 {
        i64::try_from(self.steps.len()).expect("there are few steps")
    }
}

/// Opens a file, and makes or upgrades its tables. A connection of a file that may be new; `prepare` comes before anything is
/// read.
pub(super) fn open(
    path: &Path,
    medium: &Medium,
    vfs: Option<&str>,
    tables: &Tables,
    prepare: fn(&Connection) -> rusqlite::Result<()>,
) -> Result<Connection, OpenError> {
    let sqlite = |doing| failed(doing, path);
    let mut connection = connect(path, vfs)?;
    prepare(&connection).map_err(sqlite("lock the database"))?;
    let found = schema_version(&connection).map_err(sqlite("read the database"))?;
    let known = tables.version();
    if found > known {
        return Err(OpenError::SchemaNewer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    configure(&connection, medium).map_err(sqlite("configure the database"))?;
    upgrade(&mut connection, tables, found).map_err(sqlite("make the tables of the database"))?;
    Ok(connection)
}

/// One more connection to a file.
pub(super) fn connect(path: &Path, vfs: Option<&str>) -> Result<Connection, OpenError> {
    let flags = OpenFlags::default();
    let opened = match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
        None => Connection::open_with_flags(path, flags),
    };
    let connection = opened.map_err(failed("open the database", path))?;
    // A plan holds for all values that are bound. Otherwise SQLite makes the plans of statements that were kept again
    // whenever they are used, which takes longer than using them.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(failed("configure the database", path))?;
    Ok(connection)
}

/// Makes the error of a file that SQLite can't work with.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl Fn(rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Sqlite {
        doing,
        path: path.clone(),
        source,
    }
}

fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn configure(connection: &Connection, medium: &Medium) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // An acknowledged write survives power loss.
    let synchronous = if medium.synchronous { "FULL" } else { "OFF" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Nothing in the file is code: a doctored schema can't call functions.
    connection.pragma_update(None, "trusted_schema", false)
}

fn upgrade(connection: &mut Connection, tables: &Tables, found: i64) -> rusqlite::Result<()> {
    if found == tables.version() {
        return Ok(());
    }
    // Whoever opens it at the same time may have done so meanwhile: what counts is what is found under the lock.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = usize::try_from(schema_version(&transaction)?).unwrap_or(0);
    if done >= tables.steps.len() {
        return Ok(());
    }
    for step in &tables.steps[done..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", tables.application_id)?;
    transaction.pragma_update(None, "user_version", tables.version())?;
    transaction.commit()
}
