//! A certificate and its key in two files.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::certificate::{Certificate, CertificateError};
use secrecy::{ExposeSecret as _, SecretBox};

/// Bytes of a file with a chain or a key; larger ones are none.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

/// What tells that a file was written, replaced or made readable since.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([Option<[i64; 5]>; 2]);

/// A pair can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// A file can't be read.
    #[error("{path}: it can't be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What they hold can't be used.
    #[error("{path}: {source}")]
    Certificate {
        /// The file that it is about.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
}

impl Pair {
    pub(super) fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self { certificate, key }
    }

    pub(super) fn certificate(&self) -> &Path {
        &self.certificate
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint([&self.certificate, &self.key].map(|path| {
            let of = fs::metadata(path).ok()?;
            Some([
                of.ino().cast_signed(),
                of.size().cast_signed(),
                of.ctime(),
                of.ctime_nsec(),
                of.mtime(),
            ])
        }))
    }

    /// Reads both. A key that everybody on the machine can read is used, and told: containers mount them so.
    pub(super) fn load(&self) -> Result<Certificate, PairError> {
        let chain = read(&self.certificate)?;
        let key = SecretBox::new(Box::new(read(&self.key)?));
        let mode = fs::metadata(&self.key).map_or(0, |metadata| metadata.permissions().mode());
        if mode & 0o007 != 0 {
            tracing::warn!(
                path = %self.key.display(),
                mode = format_args!("{:o}", mode & 0o777),
                "every user of this machine can reach this key: take their rights away (chmod o=)"
            );
        }
        Certificate::from_pem(&chain, key.expose_secret()).map_err(|source| {
            let path = match source {
                CertificateError::NoKey(_) | CertificateError::Key(_) => &self.key,
                _ => &self.certificate,
            };
            PairError::Certificate {
                path: path.clone(),
                source,
            }
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PairError> {
    let failed = |source| PairError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}
