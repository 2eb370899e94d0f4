//! From files to an archive. The same files give the same bytes.

use std::collections::BTreeMap;
use std::io;

use everwarm_manifest::{AssetPath, ByteSize};

use crate::{BundleError, Coding, FILE_BYTES_MAX, FILES, FILES_BYTES_MAX, FILES_MAX};

/// What all entries may be read by.
const MODE: u32 = 0o644;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
#[error("the archive of assets can't be made: {0}")]
pub struct PackError(#[from] io::Error);

/// Takes files in any order, and makes an archive of them.
#[derive(Debug, Default)]
pub struct Packer {
    entries: BTreeMap<String, Vec<u8>>,
    files: usize,
    bytes: u64,
}

impl Packer {
    /// Adds a file, if there is room for it.
    ///
    /// # Errors
    ///
    /// [`BundleError`] of a limit.
    pub fn add(&mut self, path: &AssetPath, bytes: Vec<u8>) -> Result<(), BundleError> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(BundleError::TooMany);
        }
        self.entry(FILES, path, bytes)
    }

    /// Adds what was compressed of a file.
    ///
    /// # Errors
    ///
    /// [`BundleError`] of a limit.
    pub fn add_variant(
        &mut self,
        path: &AssetPath,
        coding: Coding,
        bytes: Vec<u8>,
    ) -> Result<(), BundleError> {
        self.entry(coding.as_str(), path, bytes)
    }

    fn entry(&mut self, folder: &str, path: &AssetPath, bytes: Vec<u8>) -> Result<(), BundleError> {
        let size = bytes.len() as u64;
        if size > FILE_BYTES_MAX {
            return Err(BundleError::FileTooLarge {
                name: path.to_string(),
                size: ByteSize::new(size),
            });
        }
        self.bytes += size;
        if self.bytes > FILES_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        self.entries.insert(format!("{folder}/{path}"), bytes);
        Ok(())
    }

    /// The archive.
    ///
    /// # Errors
    ///
    /// [`PackError`], which memory alone can cause.
    pub fn finish(self) -> Result<Vec<u8>, PackError> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in self.entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(MODE);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, &name, &*bytes)?;
        }
        Ok(archive.into_inner()?)
    }
}
