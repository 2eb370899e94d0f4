//! Applying migrations, and the record of it. Owns the SQL of the record; what may be applied is the port's to say.

use everwarm_manifest::Digest;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::limits::Limit;
use rusqlite::{Batch, Connection, params};

use super::desk::Desk;
use super::rules::set_limit;
use super::watch::Limits;
use crate::catalog::UnixMillis;
use crate::sql::migrations::MIGRATION_BYTES_MAX;
use crate::sql::{Applied, MigrateError, Migration, Migrations, SQL_BYTES_MAX, SqlError, Terms};

/// The migrations that the database has, in order.
pub(super) fn applied(connection: &Connection) -> rusqlite::Result<Vec<Applied>> {
    let mut query = connection
        .prepare("SELECT name, sha256, applied_ms FROM main.__everwarm_migrations ORDER BY name")?;
    let rows = query.query_map([], |row| {
        Ok(Applied {
            name: row.get(0)?,
            digest: Digest::from_bytes(row.get(1)?),
            at: UnixMillis::of_i64(row.get(2)?),
        })
    })?;
    rows.collect()
}

/// Applies what isn't there yet, within a transaction that is open.
pub(super) fn migrate(
    desk: &Desk,
    migrations: &Migrations,
    now: UnixMillis,
    limits: &mut Limits,
    terms: &Terms,
) -> Result<Vec<String>, MigrateError> {
    // Again: another deploy may have come before.
    let applied = desk.held(limits, terms, || applied(&desk.connection))?;
    let new = migrations.after(&applied)?;
    let mut names = Vec::with_capacity(new.len());
    for migration in new {
        let done = run(desk, migration, limits, terms);
        done.map_err(|source| MigrateError::Statement {
            name: migration.name.clone(),
            source,
        })?;
        desk.held(limits, terms, || {
            desk.watch
                .as_engine(|| record(&desk.connection, migration, now))
        })?;
        names.push(migration.name.clone());
    }
    Ok(names)
}

/// Runs a migration's statements. They may do what a guest's may.
fn run(
    desk: &Desk,
    migration: &Migration,
    limits: &mut Limits,
    terms: &Terms,
) -> Result<(), SqlError> {
    limits.written = limits.written.max(terms.bytes_max.saturating_mul(2));
    let text_max = |bytes| set_limit(&desk.connection, Limit::SQLITE_LIMIT_SQL_LENGTH, bytes);
    desk.told(text_max(MIGRATION_BYTES_MAX), terms)?;
    let mut batch = Batch::new(&desk.connection, &migration.text);
    let done = desk.held(limits, terms, || {
        while let Some(mut statement) = batch.next()? {
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {}
        }
        Ok(())
    });
    desk.told(text_max(SQL_BYTES_MAX), terms)?;
    done
}

fn record(
    connection: &Connection,
    migration: &Migration,
    now: UnixMillis,
) -> rusqlite::Result<usize> {
    connection.execute(
        "INSERT INTO main.__everwarm_migrations (name, sha256, applied_ms) VALUES (?1, ?2, ?3)",
        params![migration.name, migration.digest().as_bytes(), now.as_i64()],
    )
}
