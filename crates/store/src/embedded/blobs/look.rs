//! Reading the index of blobs in SQLite. Owns its SQL.

use everwarm_manifest::{AppName, Digest, TenantId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::grouped::{damaged, failed, unsigned};
use crate::blobs::{Blob, BlobError, BlobId, BlobName, Container, ContentType, Etag, KeptBlobs};
use crate::catalog::UnixMillis;

/// Where the bytes of blobs are. The numbers are those of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a file.
    Folder = 0,
    /// In an object of the bucket.
    Bucket = 1,
}

/// Where a blob's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptAt {
    pub(super) place: Place,
    /// The file's or the object's own.
    pub(super) name: String,
}

impl KeptAt {
    fn read(row: &Row<'_>, name: usize, place: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            place: match row.get(place)? {
                0_i64 => Place::Folder,
                1 => Place::Bucket,
                other => return Err(rusqlite::Error::IntegralValueOutOfRange(place, other)),
            },
            name: row.get(name)?,
        })
    }
}

/// A blob, and the file that it is in.
#[derive(Debug, Clone)]
pub(super) struct KeptFile {
    pub(super) blob: Blob,
    pub(super) digest: Digest,
    pub(super) file: KeptAt,
}

/// Some blobs of an app that was removed.
#[derive(Debug)]
pub(super) struct RemovedFiles {
    pub(super) app: i64,
    pub(super) tenant: TenantId,
    pub(super) name: AppName,
    pub(super) files: Vec<KeptAt>,
}

const COLUMNS: &str =
    "blob.name, blob.size, blob.digest, blob.content_type, blob.created_ms, blob.file, blob.place";
/// Above every byte of UTF-8.
const ABOVE_ALL: u8 = 0xff;

pub(super) fn file(connection: &Connection, blob: &BlobId) -> Result<Option<KeptFile>, BlobError> {
    let failed = failed("look for a blob in its index");
    let mut query = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM app CROSS JOIN blob ON blob.app = app.id
             WHERE app.tenant = ?1 AND app.name = ?2 AND blob.container = ?3 AND blob.name = ?4"
        ))
        .map_err(&failed)?;
    let Container { tenant, app, name } = &blob.container;
    let of_name = params![
        tenant.as_str(),
        app.as_str(),
        name.as_str(),
        blob.name.as_str().as_bytes()
    ];
    let row = query.query_row(of_name, RawFile::read).optional();
    row.map_err(&failed)?.map(RawFile::check).transpose()
}

pub(super) fn files(
    connection: &Connection,
    container: &Container,
    prefix: &str,
    after: Option<&BlobName>,
    count_max: u32,
) -> Result<Vec<KeptFile>, BlobError> {
    let failed = failed("list blobs in their index");
    let mut query = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM app CROSS JOIN blob ON blob.app = app.id
             WHERE app.tenant = ?1 AND app.name = ?2 AND blob.container = ?3
             AND blob.name >= ?4 AND blob.name > ?5 AND blob.name < ?6
             ORDER BY blob.name LIMIT ?7"
        ))
        .map_err(&failed)?;
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        // No byte of UTF-8 is the last there is.
        Some(last) => *last += 1,
        None => end.push(ABOVE_ALL),
    }
    let after = after.map_or(&[][..], |name| name.as_str().as_bytes());
    let Container { tenant, app, name } = container;
    let from = params![
        tenant.as_str(),
        app.as_str(),
        name.as_str(),
        prefix.as_bytes(),
        after,
        end,
        count_max
    ];
    let rows = query.query_map(from, RawFile::read).map_err(&failed)?;
    rows.map(|row| row.map_err(&failed)?.check()).collect()
}

/// A row as it is kept.
struct RawFile {
    name: Vec<u8>,
    size: i64,
    digest: [u8; 32],
    content_type: Option<String>,
    created_ms: i64,
    file: KeptAt,
}

impl RawFile {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            size: row.get(1)?,
            digest: row.get(2)?,
            content_type: row.get(3)?,
            created_ms: row.get(4)?,
            file: KeptAt::read(row, 5, 6)?,
        })
    }

    fn check(self) -> Result<KeptFile, BlobError> {
        let name = String::from_utf8(self.name).map_err(|error| damaged::<BlobError>(&error))?;
        let name = BlobName::new(&name).map_err(|error| damaged::<BlobError>(&error))?;
        let content_type = self.content_type.as_deref().map(ContentType::new);
        let content_type = content_type.transpose();
        let digest = Digest::from_bytes(self.digest);
        Ok(KeptFile {
            blob: Blob {
                name,
                size: unsigned(self.size),
                etag: Etag::new(&digest.hex()),
                content_type: content_type.map_err(|error| damaged::<BlobError>(&error))?,
                created: UnixMillis::of_i64(self.created_ms),
            },
            digest,
            file: self.file,
        })
    }
}

pub(super) fn created(
    connection: &Connection,
    container: &Container,
) -> Result<Option<UnixMillis>, BlobError> {
    let found = || -> rusqlite::Result<Option<i64>> {
        let mut query = connection.prepare_cached(
            "SELECT container.created_ms FROM app CROSS JOIN container ON container.app = app.id
             WHERE app.tenant = ?1 AND app.name = ?2 AND container.name = ?3",
        )?;
        let Container { tenant, app, name } = container;
        let of_name = params![tenant.as_str(), app.as_str(), name.as_str()];
        query.query_row(of_name, |row| row.get(0)).optional()
    };
    let found = found().map_err(failed("look for a container"))?;
    Ok(found.map(UnixMillis::of_i64))
}

pub(super) fn kept(
    connection: &Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<KeptBlobs, BlobError> {
    let found = || -> rusqlite::Result<Option<KeptBlobs>> {
        let mut query = connection
            .prepare_cached("SELECT blobs, bytes FROM app WHERE tenant = ?1 AND name = ?2")?;
        let kept = query.query_row(params![tenant.as_str(), app.as_str()], |row| {
            Ok(KeptBlobs {
                blobs: unsigned(row.get(0)?),
                bytes: unsigned(row.get(1)?),
            })
        });
        kept.optional()
    };
    let found = found().map_err(failed("read what an app keeps in blobs"))?;
    Ok(found.unwrap_or_default())
}

/// Whether some blob is in this file, one of a removed app too.
pub(super) fn is_used(connection: &Connection, file: &str) -> Result<bool, BlobError> {
    let found = || -> rusqlite::Result<bool> {
        let mut query =
            connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM blob WHERE file = ?1)")?;
        query.query_row([file], |row| row.get(0))
    };
    found().map_err(failed("look for a file in the index of blobs"))
}

/// Some blobs of the next app that was removed, if there is one. It may have none. Where objects can't go, those that have
/// nothing but objects hold up no others: they are passed over, and so are the objects of those that have files too.
pub(super) fn removed(
    connection: &Connection,
    count_max: u32,
    can_objects_go: bool,
) -> Result<Option<RemovedFiles>, BlobError> {
    let failed = failed("look for removed apps' blobs");
    let (next, blobs) = if can_objects_go {
        (
            "SELECT app, tenant, name FROM removed LIMIT 1",
            "SELECT file, place FROM blob WHERE app = ?1 LIMIT ?2",
        )
    } else {
        (
            "SELECT app, tenant, name FROM removed
             WHERE EXISTS (SELECT 1 FROM blob WHERE blob.app = removed.app AND blob.place = 0)
             OR NOT EXISTS (SELECT 1 FROM blob WHERE blob.app = removed.app)
             LIMIT 1",
            "SELECT file, place FROM blob WHERE app = ?1 AND place = 0 LIMIT ?2",
        )
    };
    let app = connection
        .query_row(next, [], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
            ))
        })
        .optional()
        .map_err(&failed)?;
    let Some((app, tenant, name)) = app else {
        return Ok(None);
    };
    let mut query = connection.prepare_cached(blobs).map_err(&failed)?;
    let rows = query
        .query_map(params![app, count_max], |row| KeptAt::read(row, 0, 1))
        .map_err(&failed)?;
    Ok(Some(RemovedFiles {
        app,
        tenant: TenantId::new(&tenant).map_err(|error| damaged::<BlobError>(&error))?,
        name: AppName::new(&name).map_err(|error| damaged::<BlobError>(&error))?,
        files: rows.collect::<Result<_, _>>().map_err(&failed)?,
    }))
}

/// Whether some blob is in an object of a bucket.
pub(super) fn has_objects(connection: &Connection) -> Result<bool, BlobError> {
    let found = || -> rusqlite::Result<bool> {
        // Only a store that had a bucket is looked through.
        let mut query = connection.prepare(
            "SELECT EXISTS (SELECT 1 FROM bucket)
             AND EXISTS (SELECT 1 FROM blob JOIN app ON app.id = blob.app WHERE blob.place = 1)",
        )?;
        query.query_row([], |row| row.get(0))
    };
    found().map_err(failed("look for blobs in a bucket"))
}
