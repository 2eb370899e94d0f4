//! Forgetting old versions in SQLite. Owns which ones, and their SQL.

use std::collections::BTreeSet;

use everwarm_manifest::{AppName, TenantId};
use rusqlite::{Connection, params};

use super::catalog::{failed, traffic, traffic_text, write_traffic};
use crate::catalog::{CatalogError, VersionId};
use crate::traffic::Traffic;

pub(super) fn prune_versions(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
    keep: u32,
) -> Result<Vec<VersionId>, CatalogError> {
    let failed = failed("remove old versions");
    let before = traffic(connection, tenant, app)?;
    let needed: BTreeSet<VersionId> = before.iter().flat_map(Traffic::needed).collect();
    let old = old_versions(connection, tenant, app, keep).map_err(&failed)?;
    let old: Vec<VersionId> = old.into_iter().filter(|id| !needed.contains(id)).collect();
    if old.is_empty() {
        return Ok(old);
    }
    let text = before
        .map(|traffic| traffic_text(&traffic.without(&old)))
        .transpose()?;
    let removed = || -> rusqlite::Result<()> {
        let transaction = connection.savepoint()?;
        for id in &old {
            let of_version = params![tenant.as_str(), app.as_str(), id.as_bytes()];
            transaction.execute(
                "DELETE FROM component WHERE tenant = ?1 AND app = ?2 AND version = ?3",
                of_version,
            )?;
            transaction.execute(
                "DELETE FROM version WHERE tenant = ?1 AND app = ?2 AND id = ?3",
                of_version,
            )?;
        }
        if let Some(text) = &text {
            write_traffic(&transaction, tenant, app, text)?;
        }
        transaction.commit()
    }();
    removed.map_err(&failed)?;
    Ok(old)
}

/// All but the newest `keep`.
fn old_versions(
    connection: &Connection,
    tenant: &TenantId,
    app: &AppName,
    keep: u32,
) -> rusqlite::Result<Vec<VersionId>> {
    let mut query = connection.prepare_cached(
        "SELECT id FROM version WHERE tenant = ?1 AND app = ?2
         ORDER BY created_ms DESC, rowid DESC LIMIT -1 OFFSET ?3",
    )?;
    let rows = query.query_map(params![tenant.as_str(), app.as_str(), keep], |row| {
        Ok(VersionId::from_bytes(row.get(0)?))
    })?;
    rows.collect()
}
