//! The catalog in SQLite: one function a method of the port, all blocking.
//!
//! Owns the SQL. Knows nothing of threads or of how the file is opened.

use std::collections::BTreeMap;

use everwarm_manifest::{AppName, Digest, FunctionName, TenantId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::catalog::{CatalogError, LiveVersion, NewVersion, UnixMillis, Version, VersionId};

const COLUMNS: &str = "v.tenant, v.app, v.id, v.created_ms, v.manifest";

pub(super) fn put_version(
    connection: &mut Connection,
    tenant: &TenantId,
    new: NewVersion,
) -> Result<Version, CatalogError> {
    let app = new.version.manifest.name.clone();
    let id = new.version.id;
    let written = || -> rusqlite::Result<bool> {
        let transaction = connection.transaction()?;
        let is_new = transaction.execute(
            "INSERT INTO version (tenant, app, id, created_ms, manifest)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            params![
                tenant.as_str(),
                app.as_str(),
                id.as_bytes(),
                i64::try_from(new.version.created.0).unwrap_or(i64::MAX),
                new.manifest_json,
            ],
        )? == 1;
        if is_new {
            for (function, digest) in &new.version.components {
                transaction.execute(
                    "INSERT INTO component (tenant, app, version, function, digest)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![
                        tenant.as_str(),
                        app.as_str(),
                        id.as_bytes(),
                        function.as_str(),
                        digest.as_bytes(),
                    ],
                )?;
            }
        }
        transaction.commit()?;
        Ok(is_new)
    }()
    .map_err(failed("keep a version"))?;
    if written {
        return Ok(new.version);
    }
    version(connection, tenant, &app, id)?.ok_or_else(|| CatalogError::Damaged {
        tenant: tenant.to_string(),
        app: app.to_string(),
        reason: format!("version {id} was there and is gone"),
    })
}

pub(super) fn set_live(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
    id: VersionId,
) -> Result<(), CatalogError> {
    // One statement is one transaction: there is no moment without a live version.
    let changed = connection
        .execute(
            "INSERT INTO live (tenant, app, version)
             SELECT tenant, app, id FROM version WHERE tenant = ?1 AND app = ?2 AND id = ?3
             ON CONFLICT (tenant, app) DO UPDATE SET version = excluded.version",
            params![tenant.as_str(), app.as_str(), id.as_bytes()],
        )
        .map_err(failed("make a version live"))?;
    if changed == 0 {
        return Err(CatalogError::UnknownVersion {
            app: app.clone(),
            version: id,
        });
    }
    Ok(())
}

pub(super) fn live(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<Option<Version>, CatalogError> {
    let row = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM live l
             JOIN version v ON v.tenant = l.tenant AND v.app = l.app AND v.id = l.version
             WHERE l.tenant = ?1 AND l.app = ?2"
        ))
        .and_then(|mut query| {
            query
                .query_row(params![tenant.as_str(), app.as_str()], VersionRow::read)
                .optional()
        })
        .map_err(failed("read the live version"))?;
    row.map(|row| row.into_version(connection)).transpose()
}

pub(super) fn list_live(connection: &mut Connection) -> Result<Vec<LiveVersion>, CatalogError> {
    let rows = select(
        connection,
        &format!(
            "SELECT {COLUMNS} FROM live l
             JOIN version v ON v.tenant = l.tenant AND v.app = l.app AND v.id = l.version
             ORDER BY l.tenant, l.app"
        ),
        params![],
    )
    .map_err(failed("list the live versions"))?;
    rows.into_iter()
        .map(|row| {
            let tenant = TenantId::new(&row.tenant).map_err(|error| row.damaged(&error))?;
            let version = row.into_version(connection)?;
            Ok(LiveVersion { tenant, version })
        })
        .collect()
}

pub(super) fn versions(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
    count_max: u32,
) -> Result<Vec<Version>, CatalogError> {
    let rows = select(
        connection,
        &format!(
            "SELECT {COLUMNS} FROM version v WHERE v.tenant = ?1 AND v.app = ?2
             ORDER BY v.created_ms DESC, v.rowid DESC LIMIT ?3"
        ),
        params![tenant.as_str(), app.as_str(), count_max],
    )
    .map_err(failed("list the versions"))?;
    rows.into_iter()
        .map(|row| row.into_version(connection))
        .collect()
}

fn version(
    connection: &Connection,
    tenant: &TenantId,
    app: &AppName,
    id: VersionId,
) -> Result<Option<Version>, CatalogError> {
    let row = connection
        .query_row(
            &format!(
                "SELECT {COLUMNS} FROM version v WHERE v.tenant = ?1 AND v.app = ?2 AND v.id = ?3"
            ),
            params![tenant.as_str(), app.as_str(), id.as_bytes()],
            VersionRow::read,
        )
        .optional()
        .map_err(failed("read a version"))?;
    row.map(|row| row.into_version(connection)).transpose()
}

fn select(
    connection: &Connection,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
) -> rusqlite::Result<Vec<VersionRow>> {
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map(params, VersionRow::read)?;
    rows.collect()
}

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> CatalogError {
    move |source| CatalogError::Failed {
        doing,
        source: Box::new(source),
    }
}

/// A row as SQLite has it: nothing in it is trusted yet.
struct VersionRow {
    tenant: String,
    app: String,
    id: [u8; 32],
    created_ms: i64,
    manifest: String,
}

impl VersionRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            tenant: row.get(0)?,
            app: row.get(1)?,
            id: row.get(2)?,
            created_ms: row.get(3)?,
            manifest: row.get(4)?,
        })
    }

    /// Reads the row's components and checks that all of it is what its identity names.
    fn into_version(self, connection: &Connection) -> Result<Version, CatalogError> {
        let components = self.components(connection)?;
        let id = VersionId::of(&self.manifest, &components);
        if *id.as_bytes() != self.id {
            return Err(self.damaged(&"its content isn't what its identity names"));
        }
        let manifest = serde_json::from_str(&self.manifest)
            .map_err(|error| self.damaged(&format!("its manifest can't be read: {error}")))?;
        Ok(Version {
            id,
            manifest,
            components,
            created: UnixMillis(u64::try_from(self.created_ms).unwrap_or(0)),
        })
    }

    fn components(
        &self,
        connection: &Connection,
    ) -> Result<BTreeMap<FunctionName, Digest>, CatalogError> {
        let rows = || -> rusqlite::Result<Vec<(String, [u8; 32])>> {
            let mut query = connection.prepare_cached(
                "SELECT function, digest FROM component
                 WHERE tenant = ?1 AND app = ?2 AND version = ?3",
            )?;
            let rows = query.query_map(params![self.tenant, self.app, self.id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            rows.collect()
        }()
        .map_err(failed("read a version's components"))?;
        rows.into_iter()
            .map(|(function, digest)| {
                let name = FunctionName::new(&function).map_err(|error| self.damaged(&error))?;
                Ok((name, Digest::from_bytes(digest)))
            })
            .collect()
    }

    fn damaged(&self, reason: &dyn std::fmt::Display) -> CatalogError {
        CatalogError::Damaged {
            tenant: self.tenant.clone(),
            app: self.app.clone(),
            reason: reason.to_string(),
        }
    }
}
