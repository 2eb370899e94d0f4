//! The form of a backup: a tar archive (POSIX ustar) whose parts have fixed names and a fixed order.
//!
//! Owns the names and what is checked of a part before it is read. First [`ABOUT`], which says what the archive is,
//! then the catalog, then key-value data, then queues, then SQL databases and [`SQL_LIST`], which says what each has to
//! be, then the index of blobs, then the artifacts, then the blobs in the order of their files' names. Knows nothing of
//! stores.

use std::io;

use bytes::Bytes;
use everwarm_manifest::{AppName, DatabaseName, Digest, TenantId};
use serde::{Deserialize, Serialize};
use tar::{EntryType, Header};

use super::super::blobs::ListedBlob;
use crate::sql::Database;

/// The form that this binary writes. It reads those before too: the first is without key-value data, the second without
/// SQL databases, the third without queues, the fourth without blobs.
pub(super) const FORMAT: u32 = 5;
/// The part that says what the archive is.
pub(super) const ABOUT: &str = "everwarm-backup.json";
/// The copy of the catalog.
pub(super) const CATALOG: &str = "catalog.sqlite";
/// The copy of key-value data.
pub(super) const KV: &str = "kv.sqlite";
/// The copy of queues and schedules.
pub(super) const QUEUE: &str = "queue.sqlite";
/// The copy of the index of blobs.
pub(super) const BLOBS: &str = "blobs.sqlite";
/// What stands after SQL databases: a list of them with their digests, which are known when all are copied.
pub(super) const SQL_LIST: &str = "sql/databases.json";
const SQL: &str = "sql";
const ARTIFACTS: &str = "artifacts";
const BLOB_FILES: &str = "blobs";
/// Bytes that a part is filled up to.
const BLOCK: u64 = 512;
/// What stands at the end of an archive.
pub(super) const END: [u8; 1_024] = [0; 1_024];

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    /// The archive's form.
    pub(super) format: u32,
    /// The release that made it.
    pub(super) everwarm: String,
    /// The version of the catalog's tables.
    pub(super) schema: i64,
    /// When it was made.
    pub(super) made_ms: u64,
    /// The digest of the catalog.
    pub(super) catalog: Digest,
    /// How many artifacts it has.
    pub(super) artifacts: u64,
    /// Its key-value data; archives of the first form have none.
    pub(super) kv: Option<FilePart>,
    /// Its SQL databases; archives of the first two forms have none.
    pub(super) sql: Option<SqlPart>,
    /// Its queues; archives of the first three forms have none.
    pub(super) queue: Option<FilePart>,
    /// Its index of blobs; archives of the first four forms have none.
    pub(super) blobs: Option<FilePart>,
}

/// What an archive says of its SQL databases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlPart {
    /// The version of the engine's own tables in them.
    pub(super) schema: i64,
}

/// One SQL database of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlDatabase {
    pub(super) tenant: TenantId,
    pub(super) app: AppName,
    pub(super) name: DatabaseName,
    /// The digest of the part.
    pub(super) digest: Digest,
}

/// What an archive says of its key-value data, its queues and its index of blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilePart {
    /// The version of its tables.
    pub(super) schema: i64,
    /// The digest of the part.
    pub(super) digest: Digest,
}

impl About {
    pub(super) fn to_json(&self) -> Bytes {
        let mut json = serde_json::to_vec_pretty(self)
            .expect("a struct of numbers and texts can be written as JSON");
        json.push(b'\n');
        json.into()
    }
}

/// The name of an SQL database's part.
pub(super) fn database_name(database: &Database) -> String {
    let Database { tenant, app, name } = database;
    format!("{SQL}/{tenant}/{app}/{name}.sqlite")
}

/// Which SQL database it is by the name of its part; `None` for any other name, so that no name leads out of a folder.
pub(super) fn database_of(name: &str) -> Option<Database> {
    let rest = name.strip_prefix(SQL)?.strip_prefix('/')?;
    let (tenant, rest) = rest.split_once('/')?;
    let (app, file) = rest.split_once('/')?;
    let database = Database {
        tenant: TenantId::new(tenant).ok()?,
        app: AppName::new(app).ok()?,
        name: DatabaseName::new(file.strip_suffix(".sqlite")?).ok()?,
    };
    // The one name that it can have.
    (database_name(&database) == name).then_some(database)
}

/// The list of SQL databases.
pub(super) fn sql_list(databases: &[SqlDatabase]) -> Bytes {
    let mut json = serde_json::to_vec_pretty(databases)
        .expect("a list of names and digests can be written as JSON");
    json.push(b'\n');
    json.into()
}

/// The name of an artifact's part.
pub(super) fn artifact_name(tenant: &TenantId, digest: Digest) -> String {
    format!("{ARTIFACTS}/{tenant}/{}.wasm", digest.hex())
}

/// Whose artifact it is by the name of its part; `None` for any other name, so that no name leads out of a folder.
pub(super) fn artifact_of(name: &str) -> Option<(TenantId, Digest)> {
    let (tenant, file) = name
        .strip_prefix(ARTIFACTS)?
        .strip_prefix('/')?
        .split_once('/')?;
    let digest = format!("sha256:{}", file.strip_suffix(".wasm")?)
        .parse()
        .ok()?;
    let tenant = TenantId::new(tenant).ok()?;
    // The one name that it can have.
    (artifact_name(&tenant, digest) == name).then_some((tenant, digest))
}

/// The name of a blob's part.
pub(super) fn blob_name(blob: &ListedBlob) -> String {
    let ListedBlob {
        tenant, app, file, ..
    } = blob;
    format!("{BLOB_FILES}/{tenant}/{app}/{file}")
}

/// What stands before a part.
pub(super) fn entry_head(name: &str, bytes: u64) -> io::Result<Bytes> {
    let mut header = Header::new_ustar();
    header.set_path(name)?;
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(0);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    Ok(Bytes::copy_from_slice(header.as_bytes()))
}

/// What stands after a part of so many bytes.
pub(super) fn entry_end(bytes: u64) -> Bytes {
    let over = bytes % BLOCK;
    let missing = if over == 0 { 0 } else { BLOCK - over };
    let missing = usize::try_from(missing).expect("less than a block");
    Bytes::from_static(&END).slice(..missing)
}

#[cfg(test)]
mod tests {
    use everwarm_manifest::TenantId;

    use super::*;
    use crate::artifacts::digest_of;

    #[test]
    fn longest_names_fit_and_are_read_back() {
        for tenant in ["a", &"t".repeat(63)] {
            let Ok(tenant) = TenantId::new(tenant) else {
                continue;
            };
            let digest = digest_of(b"x");
            let name = artifact_name(&tenant, digest);
            entry_head(&name, 1).unwrap();
            assert_eq!(artifact_of(&name), Some((tenant, digest)));
        }
    }

    #[test]
    fn names_of_databases_are_read_back_and_others_are_none() {
        let long = "x".repeat(63);
        let database = Database {
            tenant: TenantId::new(&long).unwrap(),
            app: AppName::new(&long).unwrap(),
            name: DatabaseName::new(&long).unwrap(),
        };
        let name = database_name(&database);
        entry_head(&name, 1).unwrap();
        assert_eq!(database_of(&name), Some(database));
        for name in [
            "sql/a/b.sqlite",
            "sql/a/b/c",
            "sql/a/../c.sqlite",
            "sql/../b/c.sqlite",
            "sql//b/c.sqlite",
            "/sql/a/b/c.sqlite",
            "sql/a/b/c/d.sqlite",
            "sql/a/b/.sqlite",
            "sql/a/b/c.sqlite/",
            "sql/A/b/c.sqlite",
            SQL_LIST,
        ] {
            assert_eq!(database_of(name), None, "{name}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_none() {
        let hex = digest_of(b"x").hex();
        for name in [
            format!("artifacts/../{hex}.wasm"),
            format!("artifacts//{hex}.wasm"),
            format!("artifacts/a/b/{hex}.wasm"),
            format!("/artifacts/a/{hex}.wasm"),
            format!("artifacts/a/{}.wasm", hex.to_uppercase()),
            format!("artifacts/a/{hex}.wasm/"),
            "artifacts/a/x.wasm".to_owned(),
            "../catalog.sqlite".to_owned(),
        ] {
            assert_eq!(artifact_of(&name), None, "{name}");
        }
    }
}
