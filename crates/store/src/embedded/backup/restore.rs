//! From a backup to a data folder.
//!
//! Owns what an archive has to be, which is checked whole: no artifact that isn't in its catalog is taken, all that is
//! in it has to be there, every byte is checked against a digest. A folder whose restore didn't end is marked, and no
//! node starts on it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use everwarm_manifest::{Digest, TenantId};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry, EntryType};

use super::super::OpenError;
use super::super::data_dir::DataDir;
use super::super::disk::{Disk, LocalDisk, Medium, make_dirs, write_whole};
use super::super::files::ArtifactFiles;
use super::super::{blobs, database, kv, queue, schema, sql};
use super::archive::{
    ABOUT, About, BLOBS, CATALOG, FORMAT, KV, QUEUE, SQL_LIST, SqlDatabase, artifact_of,
    database_of,
};
use super::blob_parts;
use crate::artifacts::{ArtifactError, digest_of};
use crate::blobs::KeptBlobs;
use crate::catalog::UnixMillis;
use crate::sql::Database;

/// The file that marks a folder whose restore didn't end.
pub const UNFINISHED: &str = "restore-unfinished";
/// The longest description of an archive, in bytes.
const ABOUT_BYTES_MAX: u64 = 64 << 10;
/// The longest list of SQL databases, in bytes.
const SQL_LIST_BYTES_MAX: u64 = 256 << 20;
/// The largest SQLite file that is taken, in bytes.
const DATABASE_BYTES_MAX: u64 = 64 << 30;
/// The largest artifact that is taken, in bytes: it is held in memory.
const ARTIFACT_BYTES_MAX: u64 = 1 << 30;
/// Bytes that are copied at once.
pub(super) const CHUNK: usize = 256 << 10;

/// What a backup held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The release that made it.
    pub everwarm: String,
    /// When it was made.
    pub made: UnixMillis,
    /// Artifacts.
    pub artifacts: u64,
    /// Their bytes.
    pub artifact_bytes: u64,
    /// Blobs that are in a bucket of an S3 server, and not in the backup.
    pub blobs_elsewhere: KeptBlobs,
}

/// Why a backup isn't restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Something is there already.
    #[error(
        "{} isn't empty: restore into a new folder, so that nothing is lost",
        .0.display()
    )]
    NotEmpty(PathBuf),
    /// The archive isn't one, or not whole.
    #[error("this is no whole backup: {0}. Use another one, or make it again")]
    Damaged(String),
    /// It was made by a later release.
    #[error(
        "the backup was made by everwarm {0}, and this binary doesn't know its form: restore it with that release"
    )]
    Newer(String),
    /// The folder can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An artifact can't be kept.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The archive can't be read, or the folder not written.
    #[error("failed to {doing}: {source}")]
    Io {
        /// What was being attempted.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl RestoreError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotEmpty(_) | Self::Damaged(_) | Self::Newer(_) => "EW4008",
            Self::Open(error) => error.code(),
            Self::Artifact(error) => error.code(),
            Self::Io { .. } => "EW4003",
        }
    }
}

pub(super) fn io_failed(doing: &'static str) -> impl Fn(io::Error) -> RestoreError {
    move |source| RestoreError::Io { doing, source }
}

pub(super) fn damaged(reason: impl Into<String>) -> RestoreError {
    RestoreError::Damaged(reason.into())
}

/// Restores a backup into an empty folder, or one that isn't there yet. Blocks on the disk.
///
/// # Errors
///
/// [`RestoreError`]; the folder is marked then, and has to be emptied before it can be used.
pub fn restore(archive: impl Read, root: &Path) -> Result<Restored, RestoreError> {
    let is_empty = match fs::read_dir(root) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(io_failed("look into the folder")(error)),
    };
    if !is_empty {
        return Err(RestoreError::NotEmpty(root.to_owned()));
    }
    let data_dir = DataDir::lock(root)?;
    let mark = root.join(UNFINISHED);
    let disk = LocalDisk;
    let written = write_whole(&disk, &mark.with_extension("new"), &mark, b"");
    written.map_err(io_failed("mark the folder"))?;

    let files = ArtifactFiles::open(Arc::new(disk), data_dir.artifacts())
        .map_err(io_failed("prepare the folder of artifacts"))?;
    let scratch = Scratch::new(root);
    let restored = read(archive, &scratch, Some(&files))?;

    for (from, to) in [
        (&scratch.catalog, data_dir.catalog()),
        (&scratch.kv, data_dir.kv()),
        (&scratch.queue, data_dir.queue()),
        (&scratch.sql, data_dir.sql()),
        (&scratch.blob_index, data_dir.blob_index()),
        (&scratch.blobs, data_dir.blobs()),
    ] {
        // A backup of an earlier form lacks some, and this one may have no SQL databases.
        if from.exists() {
            fs::rename(from, to).map_err(io_failed("put the databases in place"))?;
        }
    }
    disk.sync_dir(root)
        .and_then(|()| disk.remove_file(&mark))
        .and_then(|()| disk.sync_dir(root))
        .map_err(io_failed("end the restore"))?;
    Ok(restored)
}

/// Reads a backup whole and checks it, as [`restore`] does, and keeps nothing of it but its databases in `scratch`, an
/// empty folder. Blocks on the disk.
///
/// # Errors
///
/// [`RestoreError`].
pub fn check(archive: impl Read, scratch: &Path) -> Result<Restored, RestoreError> {
    read(archive, &Scratch::new(scratch), None)
}

/// Where databases are until all is checked.
struct Scratch {
    catalog: PathBuf,
    kv: PathBuf,
    queue: PathBuf,
    /// A folder.
    sql: PathBuf,
    blob_index: PathBuf,
    /// A folder.
    blobs: PathBuf,
}

impl Scratch {
    fn new(folder: &Path) -> Self {
        Self {
            catalog: folder.join("catalog.restored"),
            kv: folder.join("kv.restored"),
            queue: folder.join("queue.restored"),
            sql: folder.join("sql.restored"),
            blob_index: folder.join("blob-index.restored"),
            blobs: folder.join("blobs.restored"),
        }
    }
}

fn read(
    archive: impl Read,
    scratch: &Scratch,
    keep: Option<&ArtifactFiles>,
) -> Result<Restored, RestoreError> {
    let mut archive = Archive::new(archive);
    let read = io_failed("read the backup");
    let mut entries = archive.entries().map_err(&read)?;
    let mut next = |wanted: &'static str| match entries.next() {
        Some(Ok(entry)) => Ok(entry),
        Some(Err(error)) => Err(damaged(error.to_string())),
        None => Err(damaged(format!("it ends before {wanted}"))),
    };
    let about = read_about(next(ABOUT)?)?;
    take_database(next(CATALOG)?, CATALOG, about.catalog, &scratch.catalog)?;
    let mut missing = list_artifacts(&scratch.catalog)?;
    if let Some(kv) = &about.kv {
        take_database(next(KV)?, KV, kv.digest, &scratch.kv)?;
        check_database(&scratch.kv, &kv::TABLES, "its key-value data")?;
    }
    if let Some(queue) = &about.queue {
        take_database(next(QUEUE)?, QUEUE, queue.digest, &scratch.queue)?;
        check_database(&scratch.queue, &queue::TABLES, "its queues")?;
    }
    if about.sql.is_some() {
        let mut taken = Vec::new();
        loop {
            let entry = next(SQL_LIST)?;
            if name_of(&entry)? == SQL_LIST {
                check_sql(entry, &scratch.sql, &taken)?;
                break;
            }
            take_sql(entry, &scratch.sql, &mut taken)?;
        }
    }
    if let Some(blobs) = &about.blobs {
        take_database(next(BLOBS)?, BLOBS, blobs.digest, &scratch.blob_index)?;
        check_database(&scratch.blob_index, &blobs::TABLES, "its index of blobs")?;
    }
    let mut restored = Restored {
        everwarm: about.everwarm,
        made: UnixMillis(about.made_ms),
        artifacts: 0,
        artifact_bytes: 0,
        blobs_elsewhere: KeptBlobs::default(),
    };
    while !missing.is_empty() {
        let entry = next("its last artifact")?;
        restored.artifact_bytes += take_artifact(entry, &mut missing, keep)?;
        restored.artifacts += 1;
    }
    if about.blobs.is_some() {
        let (index, files) = (&scratch.blob_index, &scratch.blobs);
        restored.blobs_elsewhere =
            blob_parts::take(|| next("its last blob"), index, files, keep.is_some())?;
    }
    match entries.next() {
        None => Ok(restored),
        Some(_) => Err(damaged("it goes on after its last part")),
    }
}

/// The name of a part that is a file.
fn name_of<R: Read>(entry: &Entry<'_, R>) -> Result<String, RestoreError> {
    let name = entry.path_bytes();
    let name = String::from_utf8_lossy(&name).into_owned();
    if entry.header().entry_type() == EntryType::Regular {
        Ok(name)
    } else {
        Err(damaged(format!(
            "`{}` in it is no file",
            name.escape_debug()
        )))
    }
}

pub(super) fn expect<R: Read>(
    entry: &Entry<'_, R>,
    wanted: &str,
    bytes_max: u64,
) -> Result<(), RestoreError> {
    let name = name_of(entry)?;
    if name != wanted {
        let name = name.escape_debug().to_string();
        return Err(damaged(format!(
            "it has `{name}` in the place of `{wanted}`"
        )));
    }
    if entry.size() > bytes_max {
        return Err(damaged(format!(
            "`{wanted}` in it has {} bytes",
            entry.size()
        )));
    }
    Ok(())
}

/// What archives of later forms say too.
#[derive(serde::Deserialize)]
struct Any {
    format: u32,
    everwarm: String,
    schema: i64,
    kv: Option<AnyPart>,
    sql: Option<AnyPart>,
    queue: Option<AnyPart>,
    blobs: Option<AnyPart>,
}

#[derive(serde::Deserialize)]
struct AnyPart {
    schema: i64,
}

fn read_about(mut entry: Entry<'_, impl Read>) -> Result<About, RestoreError> {
    expect(&entry, ABOUT, ABOUT_BYTES_MAX)?;
    let mut json = Vec::new();
    entry
        .read_to_end(&mut json)
        .map_err(io_failed("read the backup"))?;
    let no_json = |error: serde_json::Error| damaged(format!("`{ABOUT}` in it: {error}"));
    let any: Any = serde_json::from_slice(&json).map_err(no_json)?;
    let schema_of = |part: Option<AnyPart>| part.map_or(0, |part| part.schema);
    if any.format > FORMAT
        || any.schema > schema::SCHEMA_VERSION
        || schema_of(any.kv) > kv::TABLES.version()
        || schema_of(any.sql) > sql::TABLES.version()
        || schema_of(any.queue) > queue::TABLES.version()
        || schema_of(any.blobs) > blobs::TABLES.version()
    {
        return Err(RestoreError::Newer(any.everwarm));
    }
    serde_json::from_slice(&json).map_err(no_json)
}

/// Writes an SQLite file and checks its digest.
fn take_database(
    mut entry: Entry<'_, impl Read>,
    name: &'static str,
    digest: Digest,
    path: &Path,
) -> Result<(), RestoreError> {
    expect(&entry, name, DATABASE_BYTES_MAX)?;
    let found = write_part(&mut entry, path, "write a database")?;
    if found != digest {
        return Err(damaged(format!(
            "`{name}` in it has other bytes than it says"
        )));
    }
    Ok(())
}

/// Writes a file, and says what is in it. `doing` is what fails when it can't.
pub(super) fn write_part(
    entry: &mut Entry<'_, impl Read>,
    path: &Path,
    doing: &'static str,
) -> Result<Digest, RestoreError> {
    let write = io_failed(doing);
    let mut file = LocalDisk.create(path).map_err(&write)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = entry
            .read(&mut chunk)
            .map_err(io_failed("read the backup"))?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
        file.write_all(&chunk[..read]).map_err(&write)?;
    }
    file.sync().map_err(&write)?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// Takes an SQL database. What it has to be is said after the last of them.
fn take_sql(
    mut entry: Entry<'_, impl Read>,
    folder: &Path,
    taken: &mut Vec<(Database, Digest)>,
) -> Result<(), RestoreError> {
    let name = name_of(&entry)?;
    let Some(database) = database_of(&name) else {
        let name = name.escape_debug().to_string();
        return Err(damaged(format!(
            "it has `{name}` in the place of an SQL database or `{SQL_LIST}`"
        )));
    };
    expect(&entry, &name, DATABASE_BYTES_MAX)?;
    // In order, so that none comes twice.
    if taken.last().is_some_and(|(last, _)| *last >= database) {
        return Err(damaged(format!("`{name}` in it isn't in its place")));
    }
    let path = sql::file_of(folder, &database);
    let write = io_failed("write a database");
    let of_app = path.parent().unwrap_or(folder);
    make_dirs(&LocalDisk, of_app).map_err(&write)?;
    let digest = write_part(&mut entry, &path, "write a database")?;
    LocalDisk.sync_dir(of_app).map_err(&write)?;
    taken.push((database, digest));
    Ok(())
}

/// Checks that all SQL databases are there as they should be, and has SQLite check each.
fn check_sql(
    mut entry: Entry<'_, impl Read>,
    folder: &Path,
    taken: &[(Database, Digest)],
) -> Result<(), RestoreError> {
    expect(&entry, SQL_LIST, SQL_LIST_BYTES_MAX)?;
    let mut json = Vec::new();
    entry
        .read_to_end(&mut json)
        .map_err(io_failed("read the backup"))?;
    let list: Vec<SqlDatabase> = serde_json::from_slice(&json)
        .map_err(|error| damaged(format!("`{SQL_LIST}` in it: {error}")))?;
    let is_as_listed = list.len() == taken.len()
        && list.iter().zip(taken).all(|(one, (database, digest))| {
            let names = (&one.tenant, &one.app, &one.name);
            names == (&database.tenant, &database.app, &database.name) && one.digest == *digest
        });
    if !is_as_listed {
        return Err(damaged("its SQL databases aren't those that it says"));
    }
    for (database, _) in taken {
        let what = format!("the SQL database `{}` of `{}`", database.name, database.app);
        check_database(&sql::file_of(folder, database), &sql::TABLES, &what)?;
    }
    Ok(())
}

type Missing = BTreeMap<(TenantId, Digest), u64>;

/// Opens the catalog, brings it up to date, has SQLite check it, and lists the artifacts that it needs.
fn list_artifacts(path: &Path) -> Result<Missing, RestoreError> {
    let connection = schema::open(path, &Medium::local())?;
    let listed = || -> Result<Missing, Box<dyn std::error::Error>> {
        check_whole(&connection)?;
        let mut query = connection.prepare("SELECT tenant, digest, bytes FROM artifact")?;
        let mut rows = query.query([])?;
        let mut missing = Missing::new();
        while let Some(row) = rows.next()? {
            let tenant: String = row.get(0)?;
            let bytes: i64 = row.get(2)?;
            let key = (TenantId::new(&tenant)?, Digest::from_bytes(row.get(1)?));
            missing.insert(key, u64::try_from(bytes)?);
        }
        Ok(missing)
    }();
    let missing = listed.map_err(|error| damaged(format!("its catalog: {error}")))?;
    close(connection, path)?;
    Ok(missing)
}

/// Opens an SQLite file, brings its tables up to date, and has SQLite check it.
fn check_database(path: &Path, tables: &database::Tables, what: &str) -> Result<(), RestoreError> {
    let connection = database::open(path, &Medium::local(), None, tables, |_| Ok(()))?;
    check_whole(&connection).map_err(|error| damaged(format!("{what}: {error}")))?;
    close(connection, path)
}

fn check_whole(connection: &Connection) -> Result<(), Box<dyn std::error::Error>> {
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(verdict.into());
    }
    Ok(())
}

/// Writes SQLite's log back, so that a database is one file.
fn close(connection: Connection, path: &Path) -> Result<(), RestoreError> {
    let closed = connection.close().map_err(|(_, source)| OpenError::Sqlite {
        doing: "close the database",
        path: path.to_owned(),
        source,
    });
    closed?;
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(io_failed("write a database"))
}

/// Checks an artifact, and keeps it. Returns how many bytes it has.
fn take_artifact(
    mut entry: Entry<'_, impl Read>,
    missing: &mut Missing,
    keep: Option<&ArtifactFiles>,
) -> Result<u64, RestoreError> {
    let name = name_of(&entry)?;
    let unknown = || damaged(format!("its catalog knows no `{}`", name.escape_debug()));
    let key = artifact_of(&name).ok_or_else(unknown)?;
    let bytes = missing.remove(&key).ok_or_else(unknown)?;
    if entry.size() != bytes || bytes > ARTIFACT_BYTES_MAX {
        return Err(damaged(format!(
            "`{name}` in it has {} bytes",
            entry.size()
        )));
    }
    let mut artifact = Vec::new();
    entry
        .read_to_end(&mut artifact)
        .map_err(io_failed("read the backup"))?;
    let artifact = Bytes::from(artifact);
    let (tenant, digest) = key;
    if digest_of(&artifact) != digest {
        return Err(damaged(format!(
            "`{name}` in it has other bytes than its name says"
        )));
    }
    if let Some(files) = keep {
        files.put(&tenant, digest, &artifact)?;
    }
    Ok(bytes)
}
