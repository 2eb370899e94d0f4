//! Content-addressed files: a component's bytes in a file that is named by their SHA-256.
//!
//! Owns the layout `<tenant>/<first two digits>/<digest>.wasm`, and that a file is there whole or
//! not at all, after power loss too. Knows nothing of threads.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use everwarm_manifest::{Digest, TenantId};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::artifacts::{ArtifactError, Collected, digest_of};
use crate::catalog::UnixMillis;

/// Bytes read at once when a whole file is hashed.
const HASH_CHUNK: usize = 256 << 10;

/// The folder of all artifacts.
#[derive(Debug)]
pub(super) struct ArtifactFiles {
    root: PathBuf,
}

/// Where files are written before they get their name. No tenant's name starts with a dot.
const INCOMING: &str = ".incoming";

impl ArtifactFiles {
    /// Takes the folder over. Whatever an earlier process left half-written there is removed.
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        let incoming = root.join(INCOMING);
        if incoming.is_dir() {
            fs::remove_dir_all(&incoming)?;
        }
        make_dirs(&incoming)?;
        Ok(Self { root })
    }

    /// Tenants' names and digests hold no separator and no dot, so no path leaves the root.
    fn path(&self, tenant: &TenantId, digest: Digest) -> PathBuf {
        let name = digest.hex();
        self.root
            .join(tenant.as_str())
            .join(&name[..2])
            .join(format!("{name}.wasm"))
    }

    /// `digest` is that of the bytes: the caller has it.
    pub(super) fn put(
        &self,
        tenant: &TenantId,
        digest: Digest,
        bytes: &Bytes,
    ) -> Result<(), ArtifactError> {
        let path = self.path(tenant, digest);
        match hash_file(&path) {
            Ok(found) if found == digest => return Ok(()),
            Ok(found) => {
                tracing::warn!(path = %path.display(), %found, "damaged artifact is replaced");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed("check the artifact", &path, source)),
        }
        self.write_whole(&path, bytes)
            .map_err(|source| failed("write the artifact", &path, source))
    }

    pub(super) fn get(&self, tenant: &TenantId, digest: Digest) -> Result<Bytes, ArtifactError> {
        let path = self.path(tenant, digest);
        let bytes = fs::read(&path)
            .map(Bytes::from)
            .map_err(|source| missing_or_failed(digest, &path, source))?;
        check(digest, digest_of(&bytes)).map(|()| bytes)
    }

    pub(super) fn local_file(
        &self,
        tenant: &TenantId,
        digest: Digest,
    ) -> Result<PathBuf, ArtifactError> {
        let path = self.path(tenant, digest);
        let found = hash_file(&path).map_err(|source| missing_or_failed(digest, &path, source))?;
        check(digest, found).map(|()| path)
    }

    pub(super) fn contains(
        &self,
        tenant: &TenantId,
        digest: Digest,
    ) -> Result<bool, ArtifactError> {
        let path = self.path(tenant, digest);
        path.try_exists()
            .map_err(|source| failed("look for the artifact", &path, source))
    }

    /// Removes every artifact that isn't named and was written before that time.
    pub(super) fn remove_all_but(
        &self,
        kept: &BTreeSet<(String, [u8; 32])>,
        before: UnixMillis,
    ) -> Result<Collected, ArtifactError> {
        let mut collected = Collected::default();
        for tenant in entries(&self.root)? {
            let Some(name) = tenant.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if name == INCOMING {
                continue;
            }
            for prefix in entries(&tenant)? {
                for path in entries(&prefix)? {
                    let is_kept = digest_in_name(&path)
                        .is_some_and(|digest| kept.contains(&(name.to_owned(), digest)));
                    if !is_kept && let Some(bytes) = remove_older(&path, before)? {
                        collected.artifacts += 1;
                        collected.bytes += bytes;
                    }
                }
            }
        }
        Ok(collected)
    }

    fn write_whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        make_dirs(path.parent().unwrap_or(&self.root))?;
        // Deleted when anything below fails.
        let mut temp = NamedTempFile::new_in(self.root.join(INCOMING))?;
        temp.write_all(bytes)?;
        persist(temp, path)
    }
}

/// What is in a folder; nothing when there is no such folder, or it is a file.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ArtifactError> {
    let listed =
        fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    match listed {
        Err(error)
            if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) =>
        {
            Ok(Vec::new())
        }
        other => other.map_err(|source| failed("list the folder", folder, source)),
    }
}

fn digest_in_name(path: &Path) -> Option<[u8; 32]> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".wasm")?;
    let digest: Digest = format!("sha256:{stem}").parse().ok()?;
    Some(*digest.as_bytes())
}

/// Removes a file that was written before that time, and says how large it was.
fn remove_older(path: &Path, before: UnixMillis) -> Result<Option<u64>, ArtifactError> {
    let removed = || -> io::Result<Option<u64>> {
        let metadata = fs::metadata(path)?;
        let age = metadata.modified()?.duration_since(UNIX_EPOCH);
        let written_ms = age.unwrap_or_default().as_millis();
        if !metadata.is_file() || written_ms >= u128::from(before.0) {
            return Ok(None);
        }
        fs::remove_file(path)?;
        Ok(Some(metadata.len()))
    };
    removed().map_err(|source| failed("remove the artifact", path, source))
}

fn check(digest: Digest, found: Digest) -> Result<(), ArtifactError> {
    if found == digest {
        Ok(())
    } else {
        Err(ArtifactError::Damaged { digest, found })
    }
}

fn missing_or_failed(digest: Digest, path: &Path, source: io::Error) -> ArtifactError {
    if source.kind() == io::ErrorKind::NotFound {
        ArtifactError::NotFound { digest }
    } else {
        failed("read the artifact", path, source)
    }
}

fn failed(doing: &str, path: &Path, source: io::Error) -> ArtifactError {
    ArtifactError::Failed {
        doing: format!("{doing} {}", path.display()),
        source: Box::new(source),
    }
}

fn hash_file(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; HASH_CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&chunk[..read]);
    }
}

/// Makes a written temporary file last under its name: syncs the bytes, renames, syncs the folder.
pub(super) fn persist(temp: NamedTempFile, path: &Path) -> io::Result<()> {
    temp.as_file().sync_all()?;
    temp.persist(path)?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the names in a folder survive power loss.
fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// As `create_dir_all`, but each new folder's name is synced too.
fn make_dirs(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new("."));
    make_dirs(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_dir(parent),
    }
}
