//! The form of a backup: a tar archive (POSIX ustar) whose parts have fixed names and a fixed order.
//!
//! Owns the names and what is checked of a part before it is read. First [`ABOUT`], which says what the archive is,
//! then the catalog, then key-value data, then the artifacts. Knows nothing of stores.

use std::io;

use bytes::Bytes;
use everwarm_manifest::{Digest, TenantId};
use serde::{Deserialize, Serialize};
use tar::{EntryType, Header};

/// The form that this binary writes. It reads the first one too, which is without key-value data.
pub(super) const FORMAT: u32 = 2;
/// The part that says what the archive is.
pub(super) const ABOUT: &str = "everwarm-backup.json";
/// The copy of the catalog.
pub(super) const CATALOG: &str = "catalog.sqlite";
/// The copy of key-value data.
pub(super) const KV: &str = "kv.sqlite";
const ARTIFACTS: &str = "artifacts";
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
    pub(super) kv: Option<KvPart>,
}

/// What an archive says of its key-value data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KvPart {
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
