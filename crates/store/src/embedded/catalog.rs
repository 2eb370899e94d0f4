//! The catalog in SQLite: one function a method of the port, all blocking.
//!
//! Owns the SQL of versions and traffic; lists of apps are `apps`', hosts that overlap `hosts`'. Knows nothing of
//! threads or of how the file is opened.

use std::collections::{BTreeMap, BTreeSet};

use everwarm_manifest::{
    App, AppName, Digest, Function, FunctionName, HostPattern, TenantId, World,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{apps, audit, hosts, once};
use crate::audit::Note;
use crate::catalog::{
    CatalogError, Component, NewVersion, Serving, UnixMillis, Version, VersionId,
};
use crate::once::Once;
use crate::traffic::Traffic;

const COLUMNS: &str = "v.tenant, v.app, v.id, v.created_ms, v.manifest, v.assets";

pub(super) fn put_version(
    connection: &mut Connection,
    tenant: &TenantId,
    new: NewVersion,
    apps_max: u32,
) -> Result<Version, CatalogError> {
    let failed = failed("keep a version");
    let app = new.version.manifest.name.clone();
    let id = new.version.id;
    let transaction = connection.savepoint().map_err(&failed)?;
    if !has_room(&transaction, tenant, &app, apps_max).map_err(&failed)? {
        return Err(CatalogError::Quota { apps_max });
    }
    for (function, component) in &new.version.components {
        if !is_kept(&transaction, tenant, component.digest).map_err(&failed)? {
            return Err(CatalogError::ComponentMissing {
                function: function.clone(),
                digest: component.digest,
            });
        }
    }
    if let Some(digest) = new.version.assets
        && !is_kept(&transaction, tenant, digest).map_err(&failed)?
    {
        return Err(CatalogError::AssetsMissing { digest });
    }
    let is_new = insert_version(&transaction, tenant, &new).map_err(&failed)?;
    apps::is_there_again(&transaction, tenant, &app).map_err(&failed)?;
    transaction.commit().map_err(&failed)?;
    if is_new {
        return Ok(new.version);
    }
    version(connection, tenant, &app, id)?.ok_or_else(|| CatalogError::Damaged {
        tenant: tenant.to_string(),
        app: app.to_string(),
        reason: format!("version {id} was there and is gone"),
    })
}

/// Whether the app is one of the tenant's already, or may become one.
fn has_room(
    transaction: &Connection,
    tenant: &TenantId,
    app: &AppName,
    apps_max: u32,
) -> rusqlite::Result<bool> {
    let known: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM version WHERE tenant = ?1 AND app = ?2)",
        params![tenant.as_str(), app.as_str()],
        |row| row.get(0),
    )?;
    if known {
        return Ok(true);
    }
    let apps: u32 = transaction.query_row(
        "SELECT count(DISTINCT app) FROM version WHERE tenant = ?1",
        params![tenant.as_str()],
        |row| row.get(0),
    )?;
    Ok(apps < apps_max)
}

fn is_kept(transaction: &Connection, tenant: &TenantId, digest: Digest) -> rusqlite::Result<bool> {
    transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM artifact WHERE tenant = ?1 AND digest = ?2)",
        params![tenant.as_str(), digest.as_bytes()],
        |row| row.get(0),
    )
}

/// Whether it is new.
fn insert_version(
    transaction: &Connection,
    tenant: &TenantId,
    new: &NewVersion,
) -> rusqlite::Result<bool> {
    let (app, id) = (&new.version.manifest.name, new.version.id);
    let is_new = transaction.execute(
        "INSERT INTO version (tenant, app, id, created_ms, manifest, assets)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        params![
            tenant.as_str(),
            app.as_str(),
            id.as_bytes(),
            new.version.created.as_i64(),
            new.manifest_json,
            new.version.assets.as_ref().map(Digest::as_bytes),
        ],
    )? == 1;
    if is_new {
        for (function, component) in &new.version.components {
            transaction.execute(
                "INSERT INTO component (tenant, app, version, function, digest, world)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    tenant.as_str(),
                    app.as_str(),
                    id.as_bytes(),
                    function.as_str(),
                    component.digest.as_bytes(),
                    component.world.as_str(),
                ],
            )?;
        }
    }
    Ok(is_new)
}

/// What is asked of an app's traffic.
pub(super) struct Asked {
    pub(super) traffic: Traffic,
    pub(super) hosts: BTreeSet<HostPattern>,
    pub(super) note: Note,
    pub(super) once: Option<(Once, VersionId)>,
}

pub(super) fn set_traffic(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
    asked: &Asked,
) -> Result<(), CatalogError> {
    let failed = failed("set an app's traffic");
    let Asked {
        traffic,
        hosts,
        note,
        once,
    } = asked;
    let text = traffic_text(traffic)?;
    let transaction = connection.savepoint().map_err(&failed)?;
    for version in traffic.serving() {
        let exists: bool = transaction
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM version WHERE tenant = ?1 AND app = ?2 AND id = ?3)",
                params![tenant.as_str(), app.as_str(), version.as_bytes()],
                |row| row.get(0),
            )
            .map_err(&failed)?;
        if !exists {
            return Err(CatalogError::UnknownVersion {
                app: app.clone(),
                version,
            });
        }
    }
    if let Some(taken) = hosts::claim(&transaction, tenant, app, hosts).map_err(&failed)? {
        return Err(CatalogError::HostTaken(taken));
    }
    write_traffic(&transaction, tenant, app, &text).map_err(&failed)?;
    audit::insert(&transaction, Some(tenant), note).map_err(&failed)?;
    if let Some((once, version)) = once {
        once::remember(&transaction, tenant, once, *version, note.at).map_err(&failed)?;
    }
    transaction.commit().map_err(&failed)
}

pub(super) fn traffic_text(traffic: &Traffic) -> Result<String, CatalogError> {
    serde_json::to_string(traffic).map_err(|error| CatalogError::Failed {
        doing: "write an app's traffic as JSON",
        source: Box::new(error),
    })
}

pub(super) fn write_traffic(
    connection: &Connection,
    tenant: &TenantId,
    app: &AppName,
    text: &str,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO traffic (tenant, app, traffic) VALUES (?1, ?2, ?3)
         ON CONFLICT (tenant, app) DO UPDATE SET traffic = excluded.traffic",
        params![tenant.as_str(), app.as_str(), text],
    )?;
    Ok(())
}

pub(super) fn serving(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<Option<Serving>, CatalogError> {
    let traffic = traffic(connection, tenant, app)?;
    traffic
        .map(|traffic| assemble(connection, tenant.clone(), app, traffic))
        .transpose()
}

pub(super) fn traffic(
    connection: &Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<Option<Traffic>, CatalogError> {
    let text: Option<String> = connection
        .prepare_cached("SELECT traffic FROM traffic WHERE tenant = ?1 AND app = ?2")
        .and_then(|mut query| {
            query
                .query_row(params![tenant.as_str(), app.as_str()], |row| row.get(0))
                .optional()
        })
        .map_err(failed("read an app's traffic"))?;
    text.map(|text| parse_traffic(&text, tenant, app))
        .transpose()
}

pub(super) fn parse_traffic(
    text: &str,
    tenant: &TenantId,
    app: &AppName,
) -> Result<Traffic, CatalogError> {
    serde_json::from_str(text).map_err(|error| CatalogError::Damaged {
        tenant: tenant.to_string(),
        app: app.to_string(),
        reason: format!("its traffic can't be read: {error}"),
    })
}

fn assemble(
    connection: &Connection,
    tenant: TenantId,
    app: &AppName,
    traffic: Traffic,
) -> Result<Serving, CatalogError> {
    let needed = |id: VersionId| {
        version(connection, &tenant, app, id)?.ok_or_else(|| CatalogError::Damaged {
            tenant: tenant.to_string(),
            app: app.to_string(),
            reason: format!("version {id} serves and isn't kept"),
        })
    };
    let main = needed(traffic.main)?;
    let canary = traffic.canary.as_ref();
    let canary = canary.map(|canary| needed(canary.version)).transpose()?;
    Ok(Serving {
        tenant,
        traffic,
        main,
        canary,
    })
}

pub(super) fn list_serving(connection: &mut Connection) -> Result<Vec<Serving>, CatalogError> {
    // One transaction for thousands of reads, each of which would ask the disk again whether anything has changed.
    let connection = connection.savepoint().map_err(failed("list what serves"))?;
    let rows = || -> rusqlite::Result<Vec<(String, String, String)>> {
        let mut query =
            connection.prepare("SELECT tenant, app, traffic FROM traffic ORDER BY tenant, app")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    }()
    .map_err(failed("list what serves"))?;
    rows.into_iter()
        .map(|(tenant, app, text)| {
            let damaged = |reason: &dyn std::fmt::Display| CatalogError::Damaged {
                tenant: tenant.clone(),
                app: app.clone(),
                reason: reason.to_string(),
            };
            let owner = TenantId::new(&tenant).map_err(|error| damaged(&error))?;
            let name = AppName::new(&app).map_err(|error| damaged(&error))?;
            let traffic = parse_traffic(&text, &owner, &name)?;
            assemble(&connection, owner, &name, traffic)
        })
        .collect()
}

pub(super) fn versions(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
    before: Option<VersionId>,
    count_max: u32,
) -> Result<Vec<Version>, CatalogError> {
    let rows = || -> rusqlite::Result<Vec<VersionRow>> {
        let mut query = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM version v WHERE v.tenant = ?1 AND v.app = ?2
             AND (?3 IS NULL OR (v.created_ms, v.rowid) < (
                 SELECT b.created_ms, b.rowid FROM version b
                 WHERE b.tenant = ?1 AND b.app = ?2 AND b.id = ?3))
             ORDER BY v.created_ms DESC, v.rowid DESC LIMIT ?4"
        ))?;
        let before = before.as_ref().map(VersionId::as_bytes);
        let rows = query.query_map(
            params![tenant.as_str(), app.as_str(), before, count_max],
            VersionRow::read,
        )?;
        rows.collect()
    }()
    .map_err(failed("list the versions"))?;
    rows.into_iter()
        .map(|row| row.into_version(connection))
        .collect()
}

pub(super) fn versions_with_digits(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
    digits: &str,
    count_max: u32,
) -> Result<Vec<VersionId>, CatalogError> {
    || -> rusqlite::Result<Vec<VersionId>> {
        let mut query = connection.prepare_cached(
            "SELECT id FROM version WHERE tenant = ?1 AND app = ?2
             AND substr(lower(hex(id)), 1, length(?3)) = ?3 LIMIT ?4",
        )?;
        let params = params![tenant.as_str(), app.as_str(), digits, count_max];
        let rows = query.query_map(params, |row| Ok(VersionId::from_bytes(row.get(0)?)))?;
        rows.collect()
    }()
    .map_err(failed("look for a version"))
}

pub(super) fn owners_of_version(
    connection: &Connection,
    app: &AppName,
    digits: &str,
    count_max: u32,
) -> Result<Vec<(TenantId, VersionId)>, CatalogError> {
    let rows = || -> rusqlite::Result<Vec<(String, VersionId)>> {
        let mut query = connection.prepare_cached(
            "SELECT tenant, id FROM version WHERE app = ?1
             AND substr(lower(hex(id)), 1, length(?2)) = ?2 LIMIT ?3",
        )?;
        let rows = query.query_map(params![app.as_str(), digits, count_max], |row| {
            Ok((row.get(0)?, VersionId::from_bytes(row.get(1)?)))
        })?;
        rows.collect()
    }()
    .map_err(failed("look for a version's owner"))?;
    rows.into_iter()
        .map(|(tenant, version)| {
            let owner = TenantId::new(&tenant).map_err(|error| CatalogError::Damaged {
                tenant,
                app: app.to_string(),
                reason: error.to_string(),
            })?;
            Ok((owner, version))
        })
        .collect()
}

pub(super) fn version(
    connection: &Connection,
    tenant: &TenantId,
    app: &AppName,
    id: VersionId,
) -> Result<Option<Version>, CatalogError> {
    // A start reads thousands of versions: parsing the statement for each took longer than running it.
    let row = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM version v WHERE v.tenant = ?1 AND v.app = ?2 AND v.id = ?3"
        ))
        .and_then(|mut query| {
            let key = params![tenant.as_str(), app.as_str(), id.as_bytes()];
            query.query_row(key, VersionRow::read).optional()
        })
        .map_err(failed("read a version"))?;
    row.map(|row| row.into_version(connection)).transpose()
}

pub(super) fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> CatalogError {
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
    assets: Option<[u8; 32]>,
}

impl VersionRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            tenant: row.get(0)?,
            app: row.get(1)?,
            id: row.get(2)?,
            created_ms: row.get(3)?,
            manifest: row.get(4)?,
            assets: row.get(5)?,
        })
    }

    /// Reads the row's components and checks that all of it is what its identity names.
    fn into_version(self, connection: &Connection) -> Result<Version, CatalogError> {
        let manifest: App = serde_json::from_str(&self.manifest)
            .map_err(|error| self.damaged(&format!("its manifest can't be read: {error}")))?;
        let components = self.components(connection, &manifest)?;
        let assets = self.assets.map(Digest::from_bytes);
        let id = VersionId::of(&self.manifest, &components, assets);
        if *id.as_bytes() != self.id {
            return Err(self.damaged(&"its content isn't what its identity names"));
        }
        Ok(Version {
            id,
            manifest,
            components,
            assets,
            created: UnixMillis::of_i64(self.created_ms),
        })
    }

    fn components(
        &self,
        connection: &Connection,
        manifest: &App,
    ) -> Result<BTreeMap<FunctionName, Component>, CatalogError> {
        type Found = (String, [u8; 32], Option<String>);
        let rows = || -> rusqlite::Result<Vec<Found>> {
            let mut query = connection.prepare_cached(
                "SELECT function, digest, world FROM component
                 WHERE tenant = ?1 AND app = ?2 AND version = ?3",
            )?;
            let rows = query.query_map(params![self.tenant, self.app, self.id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            rows.collect()
        }()
        .map_err(failed("read a version's components"))?;
        rows.into_iter()
            .map(|(function, digest, world)| {
                let name = FunctionName::new(&function).map_err(|error| self.damaged(&error))?;
                let world = match world {
                    Some(word) => World::ALL.into_iter().find(|world| world.as_str() == word),
                    // Kept by a release that didn't write it down: what the manifest was built for.
                    None => manifest.function(&function).map(Function::target_world),
                };
                let component = Component {
                    digest: Digest::from_bytes(digest),
                    world: world.ok_or_else(|| self.damaged(&"a component's world is unknown"))?,
                };
                Ok((name, component))
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
