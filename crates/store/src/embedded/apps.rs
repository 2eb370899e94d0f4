//! Apps as a whole in SQLite: listing and removing them. Owns their SQL.

use everwarm_manifest::{AppName, TenantId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::catalog::{failed, parse_traffic};
use super::{audit, secrets};
use crate::audit::Note;
use crate::catalog::{AppSummary, CatalogError, REMOVED_MAX, UnixMillis};

const APP_COLUMNS: &str = "v.app, count(*), max(v.created_ms),
    (SELECT t.traffic FROM traffic t WHERE t.tenant = v.tenant AND t.app = v.app)";

pub(super) fn apps(
    connection: &mut Connection,
    tenant: &TenantId,
    after: Option<&AppName>,
    count_max: u32,
) -> Result<Vec<AppSummary>, CatalogError> {
    let rows = || -> rusqlite::Result<Vec<AppRow>> {
        let mut query = connection.prepare_cached(&format!(
            "SELECT {APP_COLUMNS} FROM version v WHERE v.tenant = ?1 AND v.app > ?2
             GROUP BY v.app ORDER BY v.app LIMIT ?3"
        ))?;
        let after = after.map_or("", AppName::as_str);
        let rows = query.query_map(params![tenant.as_str(), after, count_max], AppRow::read)?;
        rows.collect()
    }()
    .map_err(failed("list the apps"))?;
    rows.into_iter()
        .map(|row| row.into_summary(tenant))
        .collect()
}

pub(super) fn app(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<Option<AppSummary>, CatalogError> {
    let row = connection
        .prepare_cached(&format!(
            "SELECT {APP_COLUMNS} FROM version v WHERE v.tenant = ?1 AND v.app = ?2 GROUP BY v.app"
        ))
        .and_then(|mut query| {
            query
                .query_row(params![tenant.as_str(), app.as_str()], AppRow::read)
                .optional()
        })
        .map_err(failed("read an app"))?;
    row.map(|row| row.into_summary(tenant)).transpose()
}

/// An app in a list, as SQLite has it.
struct AppRow {
    app: String,
    versions: u32,
    newest_ms: i64,
    traffic: Option<String>,
}

impl AppRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            app: row.get(0)?,
            versions: row.get(1)?,
            newest_ms: row.get(2)?,
            traffic: row.get(3)?,
        })
    }

    fn into_summary(self, tenant: &TenantId) -> Result<AppSummary, CatalogError> {
        let name = AppName::new(&self.app).map_err(|error| CatalogError::Damaged {
            tenant: tenant.to_string(),
            app: self.app.clone(),
            reason: error.to_string(),
        })?;
        let traffic = self.traffic.as_deref();
        let traffic = traffic.map(|text| parse_traffic(text, tenant, &name));
        Ok(AppSummary {
            traffic: traffic.transpose()?,
            name,
            versions: self.versions,
            newest: UnixMillis::of_i64(self.newest_ms),
        })
    }
}

pub(super) fn remove_app(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
    note: &Note,
) -> Result<bool, CatalogError> {
    let removed = || -> rusqlite::Result<bool> {
        let transaction = connection.savepoint()?;
        let of_app = params![tenant.as_str(), app.as_str()];
        for table in ["host", "traffic", "component"] {
            transaction.execute(
                &format!("DELETE FROM {table} WHERE tenant = ?1 AND app = ?2"),
                of_app,
            )?;
        }
        let versions =
            transaction.execute("DELETE FROM version WHERE tenant = ?1 AND app = ?2", of_app)?;
        let is_there = secrets::remove_all(&transaction, tenant, app)? > 0 || versions > 0;
        if is_there {
            audit::insert(&transaction, Some(tenant), note)?;
            remember(&transaction, tenant, app)?;
        }
        transaction.commit()?;
        Ok(is_there)
    }();
    removed.map_err(failed("remove an app"))
}

/// Remembers that an app was removed, and forgets the oldest removals beyond the bound.
fn remember(transaction: &Connection, tenant: &TenantId, app: &AppName) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO removed_app (tenant, app) VALUES (?1, ?2)",
        params![tenant.as_str(), app.as_str()],
    )?;
    let oldest = transaction.last_insert_rowid() - i64::from(REMOVED_MAX);
    transaction.execute("DELETE FROM removed_app WHERE number <= ?1", [oldest])?;
    Ok(())
}

/// An app of that name is kept: what was removed isn't it.
pub(super) fn is_there_again(
    transaction: &Connection,
    tenant: &TenantId,
    app: &AppName,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM removed_app WHERE tenant = ?1 AND app = ?2")?
        .execute(params![tenant.as_str(), app.as_str()])?;
    Ok(())
}

pub(super) fn is_removed(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<bool, CatalogError> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM removed_app WHERE tenant = ?1 AND app = ?2)")
        .and_then(|mut query| {
            query.query_row(params![tenant.as_str(), app.as_str()], |row| row.get(0))
        })
        .map_err(failed("look for a removed app"))
}
