//! The migrations of an app's SQL databases, as their folders have them. Reads, and judges nothing: what a name or an
//! order has to be is the node's to say.

use std::path::{Path, PathBuf};

use everwarm_manifest::DatabaseName;

use crate::Project;

/// Bytes of all of one app: they are part of the message that deploys it.
const BYTES_MAX: u64 = 512 << 10;

/// The files of one database, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFiles {
    /// The database.
    pub database: DatabaseName,
    /// Names and contents, in the order of the names.
    pub files: Vec<(String, String)>,
}

/// Migrations can't be read.
#[derive(Debug, thiserror::Error)]
pub enum MigrationFilesError {
    /// A folder or file can't be.
    #[error("the migrations of database `{database}` can't be read from {}: {source}", .path.display())]
    Read {
        /// The database.
        database: DatabaseName,
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// They are too large.
    #[error("the migrations of the app have more than {} KiB: a deploy takes no more", BYTES_MAX >> 10)]
    TooLarge,
}

/// Reads the `.sql` files of each database that has migrations.
///
/// # Errors
///
/// [`MigrationFilesError`].
pub fn migrations(project: &Project) -> Result<Vec<DatabaseFiles>, MigrationFilesError> {
    let mut left = BYTES_MAX;
    let mut all = Vec::new();
    for database in &project.app().sql {
        let Some(folder) = &database.migrations else {
            continue;
        };
        let read = |path: &Path| {
            let (database, path) = (database.name.clone(), path.to_owned());
            move |source| MigrationFilesError::Read {
                database,
                path,
                source,
            }
        };
        let folder = project.folder().join(folder);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(read(&folder))? {
            let path = entry.map_err(read(&folder))?.path();
            // Notes may lie beside them.
            let is_sql = path.extension().is_some_and(|extension| extension == "sql");
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name.filter(|_| is_sql) else {
                continue;
            };
            let bytes = std::fs::metadata(&path).map_err(read(&path))?.len();
            left = left
                .checked_sub(bytes)
                .ok_or(MigrationFilesError::TooLarge)?;
            let text = std::fs::read_to_string(&path).map_err(read(&path))?;
            files.push((name.to_owned(), text));
        }
        files.sort();
        all.push(DatabaseFiles {
            database: database.name.clone(),
            files,
        });
    }
    Ok(all)
}
