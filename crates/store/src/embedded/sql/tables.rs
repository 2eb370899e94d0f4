//! The engine's own table in each database, and how a database is opened. Owns that SQL, and what holds for each
//! connection. The rest of a database is its app's.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::super::OpenError;
use super::super::database::{self, Tables};
use super::super::disk::Medium;

/// Says "this SQLite file is an app's database in Everwarm".
const APPLICATION_ID: i64 = 0x4557_5351;
/// Kibibytes of pages that a connection keeps.
const CACHE_KIB: i64 = 2 << 10;
/// Pages of the log after which it is written back into the file: 4 MiB.
const LOG_PAGES: i64 = 1_024;
/// Bytes that the log's file keeps when the log begins anew.
const LOG_BYTES_KEPT: i64 = 16 << 20;
/// Bytes of all that SQLite holds in this process. A statement that is bounded otherwise comes nowhere near; should one
/// all the same, it fails instead of the node.
const HEAP_BYTES_MAX: i64 = 1 << 30;

/// Held while a file is opened.
static OPENING: Mutex<()> = Mutex::new(());

/// The version of each.
pub(in super::super) const TABLES: Tables = Tables {
    application_id: APPLICATION_ID,
    steps: &["
    -- Guests may read it.
    CREATE TABLE __everwarm_migrations (
        name TEXT PRIMARY KEY,
        sha256 BLOB NOT NULL,
        applied_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
"],
};

/// Opens a database, which is made if it isn't there; its folder is. Temporary files go to `scratch`.
pub(super) fn open(
    path: &Path,
    medium: &Medium,
    layer: &str,
    scratch: &Path,
) -> Result<Connection, OpenError> {
    let connection = {
        // Of two that make a new file's log at once, SQLite refuses one. It takes a millisecond.
        let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        database::open(path, medium, Some(layer), &TABLES, |connection| {
            connection.pragma_update(None, "page_size", super::PAGE_BYTES)
        })?
    };
    let configured = || {
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
        // Not in memory: what a statement sorts or groups has no bound there. What it writes is counted (`watch`).
        connection.pragma_update(None, "temp_store", "FILE")?;
        connection.pragma_update(None, "hard_heap_limit", HEAP_BYTES_MAX)?;
        // SQLite's own choice may be a file system in memory. Without this folder it is.
        if let Some(scratch) = scratch.to_str() {
            let _ = connection.pragma_update(None, "temp_store_directory", scratch);
        }
        connection.set_prepared_statement_cache_capacity(super::STATEMENTS_MAX);
        Ok(())
    };
    configured().map_err(database::failed("configure the database", path))?;
    Ok(connection)
}
