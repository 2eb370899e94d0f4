//! The files of databases: which there are, removing an app's, and copies for a backup.
//!
//! Owns the layout below the folder: `<tenant>/<app>/<name>.sqlite`, all three of a form that leads nowhere else. Knows
//! nothing of connections.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use everwarm_manifest::{AppName, DatabaseName, TenantId};

use super::super::database::connect;
use super::super::disk::{Disk, LocalDisk, Medium, remove_if_there};
use crate::EngineError;
use crate::sql::Database;

/// What a database's file ends with.
const SUFFIX: &str = ".sqlite";
/// Instructions of SQLite's machine between two looks whether a copy is still wanted.
const LOOK_EVERY: i32 = 10_000;

/// The file of a database.
pub(in super::super) fn file_of(folder: &Path, database: &Database) -> PathBuf {
    let folder = folder_of(folder, &database.tenant, &database.app);
    folder.join(format!("{}{SUFFIX}", database.name))
}

fn folder_of(folder: &Path, tenant: &TenantId, app: &AppName) -> PathBuf {
    folder.join(tenant.as_str()).join(app.as_str())
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// What is in a folder; nothing when it isn't there.
fn list(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<PathBuf>> {
    match disk.list(folder) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        listed => listed,
    }
}

/// The databases of an app by name, with the bytes of their files.
pub(super) fn kept(
    disk: &dyn Disk,
    folder: &Path,
    tenant: &TenantId,
    app: &AppName,
) -> io::Result<Vec<(DatabaseName, u64)>> {
    let mut kept = Vec::new();
    for path in list(disk, &folder_of(folder, tenant, app))? {
        let name = name_of(&path).and_then(|name| name.strip_suffix(SUFFIX));
        if let Some(name) = name.and_then(|name| DatabaseName::new(name).ok()) {
            kept.push((name, disk.metadata(&path)?.len));
        }
    }
    kept.sort();
    Ok(kept)
}

/// The apps that have databases, in order.
pub(super) fn apps(
    disk: &dyn Disk,
    folder: &Path,
    after: Option<&(TenantId, AppName)>,
    count_max: usize,
) -> io::Result<Vec<(TenantId, AppName)>> {
    let mut apps = Vec::new();
    let mut tenants: Vec<_> = list(disk, folder)?
        .iter()
        .filter_map(|path| TenantId::new(name_of(path)?).ok())
        .filter(|tenant| after.is_none_or(|(last, _)| tenant >= last))
        .collect();
    tenants.sort();
    for tenant in tenants {
        let mut of_tenant: Vec<_> = list(disk, &folder.join(tenant.as_str()))?
            .iter()
            .filter_map(|path| AppName::new(name_of(path)?).ok())
            .filter(|app| after.is_none_or(|(last, name)| (&tenant, app) > (last, name)))
            .collect();
        of_tenant.sort();
        for app in of_tenant {
            if apps.len() == count_max {
                return Ok(apps);
            }
            if !kept(disk, folder, &tenant, &app)?.is_empty() {
                apps.push((tenant.clone(), app));
            }
        }
    }
    Ok(apps)
}

/// All databases, in order.
pub(super) fn all(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<Database>> {
    let mut databases = Vec::new();
    for (tenant, app) in apps(disk, folder, None, usize::MAX)? {
        for (name, _) in kept(disk, folder, &tenant, &app)? {
            databases.push(Database {
                tenant: tenant.clone(),
                app: app.clone(),
                name,
            });
        }
    }
    Ok(databases)
}

/// Removes all files of an app's databases, which nobody has open. Says whether there was a database.
pub(super) fn remove_app(
    disk: &dyn Disk,
    folder: &Path,
    tenant: &TenantId,
    app: &AppName,
) -> io::Result<bool> {
    let of_app = folder_of(folder, tenant, app);
    let mut files = list(disk, &of_app)?;
    let is_database = |path: &PathBuf| name_of(path).is_some_and(|name| name.ends_with(SUFFIX));
    let had_one = files.iter().any(is_database);
    // A log goes after its database: without one SQLite takes it for what it is, nobody's.
    files.sort_by_key(|path| !is_database(path));
    for path in &files {
        disk.remove_file(path)?;
        if is_database(path) {
            disk.sync_dir(&of_app)?;
        }
    }
    if had_one || !files.is_empty() {
        disk.remove_dir(&of_app)?;
        disk.sync_dir(&folder.join(tenant.as_str()))?;
    }
    Ok(had_one)
}

/// Copies a database into another file, as of one moment, while it is used. `None` when it is gone.
pub(super) fn copy(
    folder: &Path,
    medium: &Medium,
    database: &Database,
    to: &Path,
    closing: Arc<AtomicBool>,
) -> Result<Option<()>, EngineError> {
    remove_if_there(&LocalDisk, to)?;
    let path = file_of(folder, database);
    if medium.disk.metadata(&path).is_err() {
        return Ok(None);
    }
    let text = to
        .to_str()
        .ok_or("the data folder's path isn't UTF-8, which SQLite needs here")?;
    // The folder may be open to others; the file isn't.
    LocalDisk.create(to)?;
    let mut connection = connect(&path, Some(super::layer(medium)))?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.progress_handler(LOOK_EVERY, Some(move || closing.load(Ordering::Relaxed)))?;
    connection.execute("VACUUM INTO ?1", [text])?;
    Ok(Some(()))
}
