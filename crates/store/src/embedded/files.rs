//! Content-addressed files: a component's bytes in a file that is named by their SHA-256.
//!
//! Bundles of assets are kept in the same way, under the same ending.
//!
//! Owns the layout `<tenant>/<first two digits>/<digest>.wasm`, and that a file is there whole or
//! not at all, after power loss too. Knows nothing of threads.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use everwarm_manifest::{Digest, TenantId};
use sha2::{Digest as _, Sha256};

use super::disk::{Disk, make_dirs, write_whole};
use super::worker::{Job, State};
use crate::artifacts::{ArtifactError, Collected, digest_of};
use crate::catalog::UnixMillis;

/// Bytes read at once when a whole file is hashed.
const HASH_CHUNK: usize = 256 << 10;

/// The folder of all artifacts.
#[derive(Debug)]
pub(super) struct ArtifactFiles {
    disk: Arc<dyn Disk>,
    root: PathBuf,
}

/// Where files are written before they get their name. No tenant's name starts with a dot.
const INCOMING: &str = ".incoming";

impl State for ArtifactFiles {
    fn turn(&mut self, jobs: Vec<Job<Self>>) {
        for job in jobs {
            // Each file is synced by itself.
            (job.work)(self)(Ok(()));
        }
    }
}

impl ArtifactFiles {
    /// Takes the folder over. Whatever an earlier process left half-written there is removed.
    pub(super) fn open(disk: Arc<dyn Disk>, root: PathBuf) -> io::Result<Self> {
        let incoming = root.join(INCOMING);
        make_dirs(&*disk, &incoming)?;
        for left in disk.list(&incoming)? {
            disk.remove_file(&left)?;
        }
        Ok(Self { disk, root })
    }

    fn path(&self, tenant: &TenantId, digest: Digest) -> PathBuf {
        path_of(&self.root, tenant, digest)
    }

    /// `digest` is that of the bytes: the caller has it.
    pub(super) fn put(
        &self,
        tenant: &TenantId,
        digest: Digest,
        bytes: &Bytes,
    ) -> Result<(), ArtifactError> {
        let path = self.path(tenant, digest);
        match self.hash_file(&path) {
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
        let mut bytes = Vec::new();
        self.disk
            .open(&path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|source| missing_or_failed(digest, &path, source))?;
        let bytes = Bytes::from(bytes);
        check(digest, digest_of(&bytes)).map(|()| bytes)
    }

    pub(super) fn local_file(
        &self,
        tenant: &TenantId,
        digest: Digest,
    ) -> Result<PathBuf, ArtifactError> {
        let path = self.path(tenant, digest);
        let found = self
            .hash_file(&path)
            .map_err(|source| missing_or_failed(digest, &path, source))?;
        check(digest, found).map(|()| path)
    }

    pub(super) fn contains(
        &self,
        tenant: &TenantId,
        digest: Digest,
    ) -> Result<bool, ArtifactError> {
        let path = self.path(tenant, digest);
        match self.disk.metadata(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(failed("look for the artifact", &path, source)),
        }
    }

    /// Removes every artifact that isn't named and was written before that time.
    pub(super) fn remove_all_but(
        &self,
        kept: &BTreeSet<(String, [u8; 32])>,
        before: UnixMillis,
    ) -> Result<Collected, ArtifactError> {
        let mut collected = Collected::default();
        for tenant in self.entries(&self.root)? {
            let Some(name) = tenant.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if name == INCOMING {
                continue;
            }
            for prefix in self.entries(&tenant)? {
                for path in self.entries(&prefix)? {
                    let is_kept = digest_in_name(&path)
                        .is_some_and(|digest| kept.contains(&(name.to_owned(), digest)));
                    if !is_kept && let Some(bytes) = self.remove_older(&path, before)? {
                        collected.artifacts += 1;
                        collected.bytes += bytes;
                    }
                }
            }
        }
        Ok(collected)
    }

    fn write_whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        make_dirs(&*self.disk, path.parent().unwrap_or(&self.root))?;
        // One thread writes, so the name is nobody else's.
        let temporary = self.root.join(INCOMING).join("artifact");
        write_whole(&*self.disk, &temporary, path, bytes)
    }

    /// What is in a folder; nothing when there is no such folder, or it is a file.
    fn entries(&self, folder: &Path) -> Result<Vec<PathBuf>, ArtifactError> {
        match self.disk.list(folder) {
            Err(error)
                if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory]
                    .contains(&error.kind()) =>
            {
                Ok(Vec::new())
            }
            other => other.map_err(|source| failed("list the folder", folder, source)),
        }
    }

    /// Removes a file that was written before that time, and says how large it was.
    fn remove_older(&self, path: &Path, before: UnixMillis) -> Result<Option<u64>, ArtifactError> {
        let removed = || -> io::Result<Option<u64>> {
            let found = self.disk.metadata(path)?;
            if found.is_dir || found.modified >= before {
                return Ok(None);
            }
            self.disk.remove_file(path)?;
            Ok(Some(found.len))
        };
        removed().map_err(|source| failed("remove the artifact", path, source))
    }

    fn hash_file(&self, path: &Path) -> io::Result<Digest> {
        hash_all(&mut *self.disk.open(path)?)
    }
}

/// Tenants' names and digests hold no separator and no dot, so no path leaves the root.
pub(super) fn path_of(root: &Path, tenant: &TenantId, digest: Digest) -> PathBuf {
    let name = digest.hex();
    root.join(tenant.as_str())
        .join(&name[..2])
        .join(format!("{name}.wasm"))
}

/// The digest of a file on the operating system's disk.
pub(super) fn hash_file(path: &Path) -> io::Result<Digest> {
    hash_all(&mut std::fs::File::open(path)?)
}

fn hash_all(file: &mut dyn Read) -> io::Result<Digest> {
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

fn digest_in_name(path: &Path) -> Option<[u8; 32]> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".wasm")?;
    let digest: Digest = format!("sha256:{stem}").parse().ok()?;
    Some(*digest.as_bytes())
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
