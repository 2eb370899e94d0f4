//! Blobs of an archive, on the way back: those that its index has, in its order, each checked against its digest. Those in
//! a bucket aren't in an archive, and are counted.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use everwarm_manifest::Digest;
use sha2::{Digest as _, Sha256};
use tar::Entry;

use super::super::blobs;
use super::super::disk::{Disk as _, LocalDisk, make_dirs};
use super::archive::blob_name;
use super::restore::{CHUNK, RestoreError, damaged, expect, io_failed, write_part};
use crate::EngineError;
use crate::blobs::KeptBlobs;

/// Blobs that are listed at once.
const BLOBS_A_PAGE: u32 = 1_000;

/// Takes each blob that the index has, in the order of their files' names. Says which are in a bucket instead.
pub(super) fn take<'a, R: Read + 'a>(
    mut next: impl FnMut() -> Result<Entry<'a, R>, RestoreError>,
    index: &Path,
    files: &Path,
    keep: bool,
) -> Result<KeptBlobs, RestoreError> {
    let of_index = |error: EngineError| damaged(format!("its index of blobs: {error}"));
    let elsewhere = blobs::elsewhere(index).map_err(of_index)?;
    if keep {
        blobs::forget_owner(index).map_err(of_index)?;
        let synced = File::open(index).and_then(|file| file.sync_all());
        synced.map_err(io_failed("write a database"))?;
    }
    let mut after: Option<String> = None;
    loop {
        let page = blobs::listed(index, after.as_deref(), BLOBS_A_PAGE);
        let page = page.map_err(of_index)?;
        for blob in &page {
            let name = blob_name(blob);
            let mut entry = next()?;
            expect(&entry, &name, blob.size)?;
            let path = blob.path(files);
            let digest = if keep {
                let folder = path.parent().unwrap_or(files);
                make_dirs(&LocalDisk, folder).map_err(io_failed("write a blob"))?;
                let digest = write_part(&mut entry, &path, "write a blob")?;
                LocalDisk
                    .sync_dir(folder)
                    .map_err(io_failed("write a blob"))?;
                digest
            } else {
                hash_entry(&mut entry)?
            };
            if digest != blob.digest {
                return Err(damaged(format!(
                    "`{name}` in it has other bytes than it says"
                )));
            }
        }
        after = page.into_iter().next_back().map(|blob| blob.file);
        if after.is_none() {
            return Ok(elsewhere);
        }
    }
}

fn hash_entry(entry: &mut Entry<'_, impl Read>) -> Result<Digest, RestoreError> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = entry
            .read(&mut chunk)
            .map_err(io_failed("read the backup"))?;
        if read == 0 {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&chunk[..read]);
    }
}
