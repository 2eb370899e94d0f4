//! The audit log in SQLite. Owns its SQL; entries are written by whoever makes the change, in its transaction.

use everwarm_manifest::TenantId;
use rusqlite::{Connection, Row, params};

use crate::audit::{Action, AuditError, DETAIL_BYTES_MAX, ENTRIES_MAX, Entry, Note};
use crate::catalog::UnixMillis;

/// Writes an entry, and forgets the oldest beyond the bound.
pub(super) fn insert(
    transaction: &Connection,
    tenant: Option<&TenantId>,
    note: &Note,
) -> rusqlite::Result<()> {
    let detail = &note.detail[..note.detail.floor_char_boundary(DETAIL_BYTES_MAX)];
    transaction.execute(
        "INSERT INTO audit (tenant, at_ms, actor, action, subject, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            tenant.map(TenantId::as_str),
            note.at.as_i64(),
            note.actor,
            note.action.as_str(),
            note.subject,
            detail,
        ],
    )?;
    let oldest = transaction.last_insert_rowid() - i64::from(ENTRIES_MAX);
    transaction.execute("DELETE FROM audit WHERE number <= ?1", params![oldest])?;
    Ok(())
}

/// Writes the entry of a change that is made elsewhere.
pub(super) fn announce(
    connection: &mut Connection,
    tenant: &TenantId,
    note: &Note,
) -> Result<(), AuditError> {
    || -> rusqlite::Result<()> {
        let transaction = connection.savepoint()?;
        insert(&transaction, Some(tenant), note)?;
        transaction.commit()
    }()
    .map_err(|error| AuditError(Box::new(error)))
}

pub(super) fn entries(
    connection: &mut Connection,
    tenant: Option<&TenantId>,
    before: Option<u64>,
    count_max: u32,
) -> Result<Vec<Entry>, AuditError> {
    let rows = || -> rusqlite::Result<Vec<Entry>> {
        let mut query = connection.prepare_cached(
            "SELECT number, tenant, at_ms, actor, action, subject, detail FROM audit
             WHERE (?1 IS NULL OR tenant = ?1) AND number < ?2
             ORDER BY number DESC LIMIT ?3",
        )?;
        let before = before.map_or(i64::MAX, |number| i64::try_from(number).unwrap_or(i64::MAX));
        let rows = query.query_map(
            params![tenant.map(TenantId::as_str), before, count_max],
            read,
        )?;
        rows.collect()
    };
    rows().map_err(|error| AuditError(Box::new(error)))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let tenant: Option<String> = row.get(1)?;
    let action: String = row.get(4)?;
    let broken = |column, error: &str| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            error.to_owned().into(),
        )
    };
    Ok(Entry {
        number: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
        tenant: tenant
            .map(|name| TenantId::new(&name))
            .transpose()
            .map_err(|error| broken(1, &error.to_string()))?,
        note: Note {
            at: UnixMillis::of_i64(row.get(2)?),
            actor: row.get(3)?,
            action: Action::of(&action).ok_or_else(|| broken(4, "an unknown action"))?,
            subject: row.get(5)?,
            detail: row.get(6)?,
        },
    })
}
