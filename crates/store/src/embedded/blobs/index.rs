//! The index of blobs in SQLite: which blob is in which file or object, and the app's books. Owns its SQL, and that a change and the
//! books are one. Reads are in `look`.

use everwarm_manifest::{AppName, Digest, TenantId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::grouped::{failed, signed, unsigned};
use super::look::{self, KeptAt, KeptFile};
use crate::blobs::{BlobError, BlobId, BlobQuota, Condition, Container, ContentType};
use crate::catalog::UnixMillis;

/// What is put into the index.
#[derive(Debug)]
pub(super) struct NewEntry {
    pub(super) blob: BlobId,
    pub(super) file: KeptAt,
    pub(super) size: u64,
    pub(super) digest: Digest,
    pub(super) content_type: Option<ContentType>,
    pub(super) created: UnixMillis,
}

/// The books of one app, while they are changed.
struct Books {
    app: i64,
    blobs: u64,
    bytes: u64,
}

impl Books {
    fn of(
        connection: &Connection,
        tenant: &TenantId,
        app: &AppName,
    ) -> rusqlite::Result<Option<Self>> {
        let mut query = connection
            .prepare_cached("SELECT id, blobs, bytes FROM app WHERE tenant = ?1 AND name = ?2")?;
        let books = query.query_row(params![tenant.as_str(), app.as_str()], |row| {
            Ok(Self {
                app: row.get(0)?,
                blobs: unsigned(row.get(1)?),
                bytes: unsigned(row.get(2)?),
            })
        });
        books.optional()
    }

    fn open(connection: &Connection, container: &Container) -> rusqlite::Result<Self> {
        let Container { tenant, app, .. } = container;
        if let Some(books) = Self::of(connection, tenant, app)? {
            return Ok(books);
        }
        connection
            .prepare_cached("INSERT INTO app (tenant, name, blobs, bytes) VALUES (?1, ?2, 0, 0)")?
            .execute(params![tenant.as_str(), app.as_str()])?;
        let books = Self::of(connection, tenant, app)?;
        books.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// One blob more, or another in the place of one that had so many bytes.
    fn put(&mut self, before: Option<u64>, bytes: u64, quota: BlobQuota) -> Result<(), BlobError> {
        let more = bytes.saturating_sub(before.unwrap_or(0));
        if before.is_none() && self.blobs >= quota.blobs_max {
            return Err(BlobError::TooManyBlobs {
                blobs_max: quota.blobs_max,
            });
        }
        if more > 0 && self.bytes.saturating_add(more) > quota.bytes_max {
            return Err(BlobError::TooManyBytes {
                kept: self.bytes,
                more,
                bytes_max: quota.bytes_max,
            });
        }
        self.bytes = self.bytes.saturating_sub(before.unwrap_or(0)) + bytes;
        self.blobs += u64::from(before.is_none());
        Ok(())
    }

    fn take(&mut self, bytes: u64) {
        self.blobs = self.blobs.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE app SET blobs = ?2, bytes = ?3 WHERE id = ?1")?
            .execute(params![self.app, signed(self.blobs), signed(self.bytes)])?;
        Ok(())
    }
}

/// Puts a blob into the index. Returns the file of the one that had the name.
pub(super) fn put(
    connection: &mut Connection,
    new: &NewEntry,
    condition: &Condition,
    quota: BlobQuota,
) -> Result<Option<KeptAt>, BlobError> {
    let doing = "put a blob into its index";
    let savepoint = connection.savepoint().map_err(failed(doing))?;
    let before = look::file(&savepoint, &new.blob)?;
    condition.check(before.as_ref().map(|file| &file.blob.etag))?;
    let container = &new.blob.container;
    let mut books = Books::open(&savepoint, container).map_err(failed(doing))?;
    books.put(before.as_ref().map(|file| file.blob.size), new.size, quota)?;
    let written = || -> rusqlite::Result<()> {
        let name = container.name.as_str();
        savepoint
            .prepare_cached(
                "INSERT OR IGNORE INTO container (app, name, created_ms) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![books.app, name, new.created.as_i64()])?;
        savepoint
            .prepare_cached(
                "INSERT INTO blob (app, container, name, file, size, digest, content_type, created_ms, place)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (app, container, name) DO UPDATE
                 SET file = excluded.file, size = excluded.size, digest = excluded.digest,
                 content_type = excluded.content_type, created_ms = excluded.created_ms,
                 place = excluded.place",
            )?
            .execute(params![
                books.app,
                name,
                new.blob.name.as_str().as_bytes(),
                new.file.name,
                signed(new.size),
                new.digest.as_bytes(),
                new.content_type.as_ref().map(ContentType::as_str),
                new.created.as_i64(),
                new.file.place as i64,
            ])?;
        books.write(&savepoint)
    };
    written().map_err(failed(doing))?;
    savepoint.commit().map_err(failed(doing))?;
    Ok(before.map(|file| file.file))
}

/// Takes a blob from the index. Returns its file.
pub(super) fn delete(
    connection: &mut Connection,
    blob: &BlobId,
    condition: &Condition,
) -> Result<Option<KeptAt>, BlobError> {
    let doing = "take a blob from its index";
    let savepoint = connection.savepoint().map_err(failed(doing))?;
    let before = look::file(&savepoint, blob)?;
    condition.check(before.as_ref().map(|file| &file.blob.etag))?;
    let Some(before) = before else {
        return Ok(None);
    };
    remove(&savepoint, &blob.container, &before).map_err(failed(doing))?;
    savepoint.commit().map_err(failed(doing))?;
    Ok(Some(before.file))
}

fn remove(connection: &Connection, container: &Container, file: &KeptFile) -> rusqlite::Result<()> {
    let mut books = Books::open(connection, container)?;
    connection
        .prepare_cached("DELETE FROM blob WHERE app = ?1 AND container = ?2 AND name = ?3")?
        .execute(params![
            books.app,
            container.name.as_str(),
            file.blob.name.as_str().as_bytes()
        ])?;
    books.take(file.blob.size);
    books.write(connection)
}

/// Gives a blob another name. Returns whether there was one, and the file of the one that had that name.
pub(super) fn rename(
    connection: &mut Connection,
    from: &BlobId,
    to: &BlobId,
    now: UnixMillis,
) -> Result<(bool, Option<KeptAt>), BlobError> {
    let doing = "rename a blob in its index";
    let savepoint = connection.savepoint().map_err(failed(doing))?;
    if look::file(&savepoint, from)?.is_none() {
        return Ok((false, None));
    }
    if from == to {
        return Ok((true, None));
    }
    let before = look::file(&savepoint, to)?;
    let renamed = || -> rusqlite::Result<()> {
        if let Some(before) = &before {
            remove(&savepoint, &to.container, before)?;
        }
        let books = Books::open(&savepoint, &to.container)?;
        savepoint
            .prepare_cached(
                "INSERT OR IGNORE INTO container (app, name, created_ms) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![books.app, to.container.name.as_str(), now.as_i64()])?;
        savepoint
            .prepare_cached(
                "UPDATE blob SET container = ?4, name = ?5 WHERE app = ?1 AND container = ?2 AND name = ?3",
            )?
            .execute(params![
                books.app,
                from.container.name.as_str(),
                from.name.as_str().as_bytes(),
                to.container.name.as_str(),
                to.name.as_str().as_bytes(),
            ])?;
        Ok(())
    };
    renamed().map_err(failed(doing))?;
    savepoint.commit().map_err(failed(doing))?;
    Ok((true, before.map(|file| file.file)))
}

/// Takes some blobs of a container from the index, and the container when it has none. Returns their files.
pub(super) fn clear(
    connection: &mut Connection,
    container: &Container,
    count_max: u32,
) -> Result<Vec<KeptAt>, BlobError> {
    let doing = "take blobs from their index";
    let savepoint = connection.savepoint().map_err(failed(doing))?;
    let page = look::files(&savepoint, container, "", None, count_max)?;
    let cleared = || -> rusqlite::Result<()> {
        for file in &page {
            remove(&savepoint, container, file)?;
        }
        if page.is_empty() {
            let of_app = "SELECT id FROM app WHERE tenant = ?1 AND name = ?2";
            savepoint.execute(
                &format!("DELETE FROM container WHERE app = ({of_app}) AND name = ?3"),
                params![
                    container.tenant.as_str(),
                    container.app.as_str(),
                    container.name.as_str()
                ],
            )?;
        }
        Ok(())
    };
    cleared().map_err(failed(doing))?;
    savepoint.commit().map_err(failed(doing))?;
    Ok(page.into_iter().map(|file| file.file).collect())
}

/// Takes an app's name from it: readers find nothing any more. Its blobs go with sweeps.
pub(super) fn remove_app(
    connection: &mut Connection,
    tenant: &TenantId,
    app: &AppName,
) -> Result<bool, BlobError> {
    let mut removed = || -> rusqlite::Result<bool> {
        let savepoint = connection.savepoint()?;
        let Some(books) = Books::of(&savepoint, tenant, app)? else {
            return Ok(false);
        };
        savepoint.execute("DELETE FROM app WHERE id = ?1", [books.app])?;
        savepoint.execute("DELETE FROM container WHERE app = ?1", [books.app])?;
        savepoint.execute(
            "INSERT INTO removed (app, tenant, name) VALUES (?1, ?2, ?3)",
            params![books.app, tenant.as_str(), app.as_str()],
        )?;
        savepoint.commit()?;
        Ok(true)
    };
    removed().map_err(failed("remove an app's blobs"))
}

/// Forgets blobs of a removed app, whose files are gone; and the app, when there were none to forget and it has no others,
/// in objects.
pub(super) fn forget(
    connection: &mut Connection,
    app: i64,
    files: &[KeptAt],
) -> Result<(), BlobError> {
    let mut forgotten = || -> rusqlite::Result<()> {
        let savepoint = connection.savepoint()?;
        for file in files {
            savepoint
                .prepare_cached("DELETE FROM blob WHERE file = ?1")?
                .execute([&file.name])?;
        }
        if files.is_empty() {
            savepoint.execute(
                "DELETE FROM removed WHERE app = ?1
                 AND NOT EXISTS (SELECT 1 FROM blob WHERE blob.app = ?1)",
                [app],
            )?;
        }
        savepoint.commit()
    };
    forgotten().map_err(failed("forget a removed app's blobs"))
}

/// What this store is called in the bucket, which is `chance` if it has no name yet.
pub(super) fn owner(connection: &mut Connection, chance: &str) -> rusqlite::Result<String> {
    let savepoint = connection.savepoint()?;
    let found = savepoint
        .query_row("SELECT owner FROM bucket", [], |row| row.get(0))
        .optional()?;
    if let Some(name) = found {
        return Ok(name);
    }
    savepoint.execute("INSERT INTO bucket (owner) VALUES (?1)", [chance])?;
    savepoint.commit()?;
    Ok(chance.to_owned())
}
