//! What ACME keeps: the account, the certificates, and what was ordered. In a folder for each server, so that what a
//! server for tests gave is never taken for what another gives.
//!
//! Files are for the node's user alone, and are there whole or not at all, after power loss too.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::plan::{Held, Memory};
use crate::certificate::Certificate;

/// Bytes of the digest that names a server's folder.
const DIGEST_BYTES: usize = 8;
/// What the names of certificates end with: the key and the chain in one file, so that they change together.
const PEM: &str = "pem";

/// The folder of one server.
#[derive(Debug, Clone)]
pub(super) struct AcmeFiles {
    folder: PathBuf,
}

impl AcmeFiles {
    pub(super) fn open(root: &Path, directory: &str) -> io::Result<Self> {
        let digest = Sha256::digest(directory);
        let folder = root.join(hex::encode(&digest[..DIGEST_BYTES]));
        let files = Self { folder };
        make_private_dirs(&files.certificates_folder())?;
        Ok(files)
    }

    fn certificates_folder(&self) -> PathBuf {
        self.folder.join("certificates")
    }

    fn memory_file(&self) -> PathBuf {
        self.folder.join("orders.json")
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    /// The certificates that are still good, by host. What can't be used is logged, and had anew.
    pub(super) fn certificates(&self) -> io::Result<BTreeMap<String, (Held, Arc<Certificate>)>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(self.certificates_folder())? {
            let path = entry?.path();
            let host = path.file_stem().and_then(|host| host.to_str());
            let Some(host) = host.filter(|_| path.extension().is_some_and(|end| end == PEM)) else {
                continue;
            };
            let pem = SecretString::from(fs::read_to_string(&path)?);
            let bytes = pem.expose_secret().as_bytes();
            match Certificate::from_pem(bytes, bytes) {
                Ok(certificate) if certificate.not_after() <= SystemTime::now() => {
                    fs::remove_file(&path)?;
                }
                Ok(certificate) => {
                    let held = Held::new(&certificate, fs::metadata(&path)?.modified()?);
                    found.insert(host.to_owned(), (held, Arc::new(certificate)));
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "a kept certificate can't be used");
                }
            }
        }
        Ok(found)
    }

    /// `host` is a name of labels: it holds no separator.
    pub(super) fn keep_certificate(&self, host: &str, pem: &SecretString) -> io::Result<()> {
        let path = self.certificates_folder().join(format!("{host}.{PEM}"));
        write_private(&path, pem.expose_secret().as_bytes())
    }

    /// What was ordered. A file that can't be read is as none: it can only delay orders.
    pub(super) fn memory(&self) -> Memory {
        let path = self.memory_file();
        let read = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Memory::default(),
            read => read,
        };
        let parsed = read.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        parsed.unwrap_or_else(|error| {
            tracing::error!(path = %path.display(), %error, "it isn't known any more what was ordered");
            Memory::default()
        })
    }

    pub(super) fn keep_memory(&self, memory: &Memory) -> io::Result<()> {
        write_private(&self.memory_file(), &serde_json::to_vec(memory)?)
    }

    /// The account's credentials, if there is one.
    pub(super) fn account(&self) -> io::Result<Option<SecretString>> {
        match fs::read_to_string(self.account_file()) {
            Ok(text) => Ok(Some(text.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn keep_account(&self, account: &SecretString) -> io::Result<()> {
        write_private(&self.account_file(), account.expose_secret().as_bytes())
    }
}

/// Writes, syncs, renames, and syncs the folder. Temporary files are for their user alone from the start.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temp = NamedTempFile::new_in(folder)?;
    temp.write_all(bytes)?;
    temp.as_file().sync_all()?;
    temp.persist(path)?;
    File::open(folder)?.sync_all()
}

/// Makes folders for this user alone, and the name of each last.
fn make_private_dirs(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new("."));
    make_private_dirs(parent)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(parent)?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::certificate::tests::pem;

    #[test]
    fn what_is_kept_is_for_its_user_alone_and_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        let files = AcmeFiles::open(&root.path().join("acme"), "https://a/").unwrap();
        let (chain, key) = pem(&["a.example.com"]);
        let text = format!("{key}{chain}").into();
        files.keep_certificate("a.example.com", &text).unwrap();
        files.keep_account(&"{}".to_owned().into()).unwrap();
        let mut memory = Memory::default();
        memory.begin(1, "b.example.com");
        files.keep_memory(&memory).unwrap();

        let again = AcmeFiles::open(&root.path().join("acme"), "https://a/").unwrap();
        assert_eq!(again.certificates().unwrap().len(), 1);
        assert_eq!(again.memory(), memory);
        assert!(again.account().unwrap().is_some());
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(again.account_file()), 0o600);
        assert_eq!(mode(again.memory_file()), 0o600);
        let pem = again.certificates_folder().join("a.example.com.pem");
        assert_eq!(mode(pem), 0o600);
        assert_eq!(mode(again.folder), 0o700);

        let other = AcmeFiles::open(&root.path().join("acme"), "https://b/").unwrap();
        assert!(other.certificates().unwrap().is_empty());
        assert!(other.account().unwrap().is_none());
    }

    #[test]
    fn what_is_broken_is_as_if_it_were_not_there() {
        let root = tempfile::tempdir().unwrap();
        let files = AcmeFiles::open(root.path(), "https://a/").unwrap();
        fs::write(files.memory_file(), "{").unwrap();
        fs::write(files.certificates_folder().join("a.example.pem"), "x").unwrap();
        assert_eq!(files.memory(), Memory::default());
        assert!(files.certificates().unwrap().is_empty());
    }
}
