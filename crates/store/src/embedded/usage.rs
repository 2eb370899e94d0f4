//! Usage in SQLite: sums by the hour. Owns its SQL, and that a batch is added once.

use everwarm_manifest::{AppName, FunctionName, TenantId};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::catalog::VersionId;
use crate::usage::{Batch, Row, Sums, UnixHour, UsageError};

/// Runs of the node whose last batch is remembered: a batch is sent again within its own run only.
const RUNS_MAX: u32 = 16;

pub(super) fn add(connection: &mut Connection, batch: &Batch) -> Result<(), UsageError> {
    || -> rusqlite::Result<()> {
        let transaction = connection.savepoint()?;
        let (run, number) = (batch.run.cast_signed(), signed(batch.number));
        let last: Option<i64> = transaction
            .query_row(
                "SELECT last FROM usage_run WHERE run = ?1",
                params![run],
                |row| row.get(0),
            )
            .optional()?;
        if last.is_some_and(|last| number <= last) {
            return Ok(());
        }
        for row in &batch.rows {
            add_row(&transaction, row)?;
        }
        transaction.execute(
            "INSERT INTO usage_run (run, last) VALUES (?1, ?2)
             ON CONFLICT (run) DO UPDATE SET last = excluded.last",
            params![run, number],
        )?;
        transaction.execute(
            "DELETE FROM usage_run WHERE rowid NOT IN
             (SELECT rowid FROM usage_run ORDER BY rowid DESC LIMIT ?1) AND run <> ?2",
            params![RUNS_MAX, run],
        )?;
        transaction.commit()
    }()
    .map_err(failed("add to the usage"))
}

fn add_row(connection: &Connection, row: &Row) -> rusqlite::Result<()> {
    let key = params![
        row.hour.0,
        row.tenant.as_str(),
        row.app.as_str(),
        row.version.as_bytes(),
        row.function.as_str(),
        row.start_level,
        row.status_class,
    ];
    // SQL has no sum of 128 bits, so the old sums are read, and written with the new ones.
    let before = connection
        .prepare_cached(
            "SELECT requests, cpu_us, wall_us, byte_ms, memory_peak_bytes, bytes_in, bytes_out
             FROM usage WHERE hour = ?1 AND tenant = ?2 AND app = ?3 AND version = ?4
             AND function = ?5 AND start_level = ?6 AND status_class = ?7",
        )?
        .query_row(key, |found| sums(found, 0))
        .optional()?;
    let sums = before.unwrap_or_default().plus(row.sums);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO usage (hour, tenant, app, version, function, start_level,
             status_class, requests, cpu_us, wall_us, byte_ms, memory_peak_bytes, bytes_in, bytes_out)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            row.hour.0,
            row.tenant.as_str(),
            row.app.as_str(),
            row.version.as_bytes(),
            row.function.as_str(),
            row.start_level,
            row.status_class,
            signed(sums.requests),
            signed(sums.cpu_us),
            signed(sums.wall_us),
            sums.byte_ms.to_be_bytes(),
            signed(sums.memory_peak_bytes),
            signed(sums.bytes_in),
            signed(sums.bytes_out),
        ])?;
    Ok(())
}

pub(super) fn rows(
    connection: &mut Connection,
    tenant: Option<&TenantId>,
    from: UnixHour,
    until: UnixHour,
    rows_max: u32,
) -> Result<Vec<Row>, UsageError> {
    type Found = (u32, String, String, [u8; 32], String, String, u8, Sums);
    let found = || -> rusqlite::Result<Vec<Found>> {
        let mut query = connection.prepare_cached(
            "SELECT hour, tenant, app, version, function, start_level, status_class,
                 requests, cpu_us, wall_us, byte_ms, memory_peak_bytes, bytes_in, bytes_out
             FROM usage WHERE hour >= ?1 AND hour < ?2 AND (?3 IS NULL OR tenant = ?3)
             ORDER BY hour, tenant, app, version, function, start_level, status_class LIMIT ?4",
        )?;
        let limit = i64::from(rows_max) + 1;
        let tenant = tenant.map(TenantId::as_str);
        let rows = query.query_map(params![from.0, until.0, tenant, limit], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
                row.get(6)?,
                sums(row, 7)?,
            ))
        })?;
        rows.collect()
    }();
    let found = found.map_err(failed("read the usage"))?;
    if found.len() > rows_max as usize {
        return Err(UsageError::TooMany { rows_max });
    }
    let damaged = |error: &dyn std::fmt::Display| UsageError::Damaged(error.to_string());
    found
        .into_iter()
        .map(
            |(hour, tenant, app, version, function, start_level, status_class, sums)| {
                Ok(Row {
                    hour: UnixHour(hour),
                    tenant: TenantId::new(&tenant).map_err(|error| damaged(&error))?,
                    app: AppName::new(&app).map_err(|error| damaged(&error))?,
                    version: VersionId::from_bytes(version),
                    function: FunctionName::new(&function).map_err(|error| damaged(&error))?,
                    start_level,
                    status_class,
                    sums,
                })
            },
        )
        .collect()
}

fn sums(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Sums> {
    let number = |index: usize| -> rusqlite::Result<u64> {
        Ok(u64::try_from(row.get::<_, i64>(first + index)?).unwrap_or(0))
    };
    Ok(Sums {
        requests: number(0)?,
        cpu_us: number(1)?,
        wall_us: number(2)?,
        byte_ms: u128::from_be_bytes(row.get(first + 3)?),
        memory_peak_bytes: number(4)?,
        bytes_in: number(5)?,
        bytes_out: number(6)?,
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> UsageError {
    move |source| UsageError::Failed {
        doing,
        source: Box::new(source),
    }
}
