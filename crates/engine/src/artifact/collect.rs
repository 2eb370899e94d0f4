//! Removing compiled code that nothing needs any more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use everwarm_manifest::Digest;

use super::{CompiledArtifacts, INCOMING};

impl CompiledArtifacts {
    /// Removes the code of components that `is_needed` doesn't name and that was written before that time, for every
    /// engine. Returns how many bytes that was. Code that is mapped goes on running: its file is gone, its pages
    /// aren't.
    ///
    /// # Errors
    ///
    /// When a folder can't be listed or a file can't be removed; what was removed until then is gone.
    pub fn collect(
        &self,
        before: SystemTime,
        is_needed: impl Fn(Digest) -> bool,
    ) -> io::Result<u64> {
        let mut bytes = 0;
        for folder in entries(&self.root)? {
            if folder.file_name().is_some_and(|name| name == INCOMING) || !folder.is_dir() {
                continue;
            }
            for path in entries(&folder)? {
                // What isn't named like ours is somebody else's.
                let Some(component) = component_of(&path) else {
                    continue;
                };
                if is_needed(component) {
                    continue;
                }
                let _changing = self.changing();
                bytes += remove_older(&path, before)?;
            }
        }
        Ok(bytes)
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

/// The component that a file of code, or its record, is named after.
fn component_of(path: &Path) -> Option<Digest> {
    let kind = path.extension()?.to_str()?;
    let name = path.file_stem()?.to_str()?;
    ["cwasm", "record"]
        .contains(&kind)
        .then(|| format!("sha256:{name}").parse().ok())
        .flatten()
}

/// Its size, if it was removed.
fn remove_older(path: &Path, before: SystemTime) -> io::Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        // Another hand was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    if metadata.modified()? >= before {
        return Ok(0);
    }
    fs::remove_file(path)?;
    Ok(metadata.len())
}
