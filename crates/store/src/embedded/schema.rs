//! The catalog's tables, and which version of them a file has.
//!
//! Owns opening the SQLite file. Knows nothing of what the rows mean.

use std::path::Path;

use rusqlite::Connection;

use super::OpenError;

/// The version of the tables that this binary reads and writes.
pub const SCHEMA_VERSION: i64 = 1;

/// Says "this SQLite file is an Everwarm catalog" (`file`(1) shows it).
const APPLICATION_ID: i64 = 0x4557_4341;

/// Each step takes a file from the version before to the next; the first makes all tables.
const STEPS: [&str; 1] = ["
    CREATE TABLE version (
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        id BLOB NOT NULL,
        created_ms INTEGER NOT NULL,
        manifest TEXT NOT NULL,
        PRIMARY KEY (tenant, app, id)
    ) STRICT;
    CREATE TABLE component (
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        version BLOB NOT NULL,
        function TEXT NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (tenant, app, version, function),
        FOREIGN KEY (tenant, app, version) REFERENCES version (tenant, app, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE live (
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        version BLOB NOT NULL,
        PRIMARY KEY (tenant, app),
        FOREIGN KEY (tenant, app, version) REFERENCES version (tenant, app, id)
    ) STRICT, WITHOUT ROWID;
"];

/// Opens the catalog, and makes or upgrades its tables.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |doing| {
        move |source| OpenError::Sqlite {
            doing,
            path: path.to_owned(),
            source,
        }
    };
    let mut connection = Connection::open(path).map_err(sqlite("open the catalog"))?;
    let found = schema_version(&connection).map_err(sqlite("read the catalog"))?;
    if found > SCHEMA_VERSION {
        return Err(OpenError::SchemaNewer {
            path: path.to_owned(),
            found,
        });
    }
    configure(&connection).map_err(sqlite("configure the catalog"))?;
    upgrade(&mut connection, found).map_err(sqlite("make the tables of the catalog"))?;
    Ok(connection)
}

fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // An acknowledged write survives power loss.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // The folder's lock keeps other nodes out; this one keeps a curious `sqlite3` from writing.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // Nothing in the file is code: a doctored schema can't call functions.
    connection.pragma_update(None, "trusted_schema", false)
}

fn upgrade(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(found).unwrap_or(0);
    if done == STEPS.len() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for step in &STEPS[done..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}
