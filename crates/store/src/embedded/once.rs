//! Idempotency keys in SQLite. Owns their SQL; they are written by whoever makes the change, in its transaction.

use everwarm_manifest::TenantId;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::catalog::{UnixMillis, VersionId};
use crate::once::{Done, IdempotencyKey, KEYS_MAX, Once, REMEMBERED_MS};

fn oldest(now: UnixMillis) -> i64 {
    UnixMillis(now.0.saturating_sub(REMEMBERED_MS)).as_i64()
}

pub(super) fn done(
    connection: &Connection,
    tenant: &TenantId,
    key: &IdempotencyKey,
    now: UnixMillis,
) -> rusqlite::Result<Option<Done>> {
    connection
        .query_row(
            "SELECT request, version FROM once WHERE tenant = ?1 AND key = ?2 AND at_ms >= ?3",
            params![tenant.as_str(), key.as_str(), oldest(now)],
            |row| {
                Ok(Done {
                    request: row.get(0)?,
                    version: VersionId::from_bytes(row.get(1)?),
                })
            },
        )
        .optional()
}

/// Remembers a key, and forgets what is too old or too much.
pub(super) fn remember(
    connection: &Connection,
    tenant: &TenantId,
    once: &Once,
    version: VersionId,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO once (tenant, key, request, version, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (tenant, key) DO UPDATE
         SET request = excluded.request, version = excluded.version, at_ms = excluded.at_ms",
        params![
            tenant.as_str(),
            once.key.as_str(),
            once.request,
            version.as_bytes(),
            now.as_i64(),
        ],
    )?;
    connection.execute(
        "DELETE FROM once WHERE tenant = ?1 AND (at_ms < ?2 OR key IN
         (SELECT key FROM once WHERE tenant = ?1 ORDER BY at_ms DESC LIMIT -1 OFFSET ?3))",
        params![tenant.as_str(), oldest(now), KEYS_MAX],
    )?;
    Ok(())
}
