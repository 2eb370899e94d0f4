//! All blobs of a copy of the index that are in files, as a backup has them. Owns their order: that of their files' names.

use std::path::{Path, PathBuf};

use everwarm_manifest::{AppName, Digest, TenantId};
use rusqlite::params;

use super::super::database::connect;
use super::super::grouped::unsigned;
use super::files::{is_name, path_of};
use crate::EngineError;
use crate::blobs::KeptBlobs;

/// A blob as a backup has it.
#[derive(Debug)]
pub(in super::super) struct ListedBlob {
    pub(in super::super) tenant: TenantId,
    pub(in super::super) app: AppName,
    /// The name of its file.
    pub(in super::super) file: String,
    pub(in super::super) size: u64,
    pub(in super::super) digest: Digest,
}

impl ListedBlob {
    /// Its file, below the folder of all.
    pub(in super::super) fn path(&self, root: &Path) -> PathBuf {
        path_of(root, &self.tenant, &self.app, &self.file)
    }
}

/// Blobs of an index that nobody else has open, those after `after`; without those of apps that were removed, and of
/// objects in a bucket.
pub(in super::super) fn listed(
    index: &Path,
    after: Option<&str>,
    count: u32,
) -> Result<Vec<ListedBlob>, EngineError> {
    let connection = connect(index, None)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "query_only", true)?;
    let mut query = connection.prepare(
        "SELECT app.tenant, app.name, blob.file, blob.size, blob.digest
         FROM blob INDEXED BY of_file JOIN app ON app.id = blob.app
         WHERE blob.file > ?1 AND blob.place = 0 ORDER BY blob.file LIMIT ?2",
    )?;
    let mut rows = query.query(params![after.unwrap_or_default(), count])?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        let (tenant, app): (String, String) = (row.get(0)?, row.get(1)?);
        let file: String = row.get(2)?;
        // An archive may come from anywhere: no name leads out of a folder.
        if !is_name(&file) {
            return Err(format!("`{}` is no name of a blob's file", file.escape_debug()).into());
        }
        listed.push(ListedBlob {
            tenant: TenantId::new(&tenant)?,
            app: AppName::new(&app)?,
            file,
            size: unsigned(row.get(3)?),
            digest: Digest::from_bytes(row.get(4)?),
        });
    }
    Ok(listed)
}

/// Blobs that are in objects of a bucket, and so in no backup, and their bytes; of an index that nobody else has open.
pub(in super::super) fn elsewhere(index: &Path) -> Result<KeptBlobs, EngineError> {
    let connection = connect(index, None)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    let counted = connection.query_row(
        "SELECT count(*), coalesce(sum(blob.size), 0) FROM blob JOIN app ON app.id = blob.app
         WHERE blob.place = 1",
        [],
        |row| {
            Ok(KeptBlobs {
                blobs: unsigned(row.get(0)?),
                bytes: unsigned(row.get(1)?),
            })
        },
    );
    Ok(counted?)
}

/// Takes the store's name in its bucket from an index that is restored: the store that was backed up may still be there.
pub(in super::super) fn forget_owner(index: &Path) -> Result<(), EngineError> {
    let connection = connect(index, None)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // A name that nobody has says that there was a bucket.
    connection.execute("UPDATE bucket SET owner = lower(hex(randomblob(16)))", [])?;
    Ok(())
}
