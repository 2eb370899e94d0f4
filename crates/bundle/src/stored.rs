//! A bundle on this machine whose files are read while it is in use: where each is, once, and then its bytes, in pieces.
//!
//! Owns that every read is checked against its digest, and that reads are done on the threads for what blocks, so many at
//! once as the library says. Keeps no bytes.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_manifest::{Digest, TenantId};
use parking_lot::Mutex;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinError;

use crate::library::Library;
use crate::{BundleError, Contents, PIECE_BYTES, Part};

/// How long files that couldn't be read aren't looked at again: it costs reading all of them.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Why files can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FilesError {
    /// The bundle isn't there, or can't be read.
    #[error("the files in {} can't be read: {reason}", path.display())]
    Unreadable {
        /// The bundle.
        path: PathBuf,
        /// Why.
        reason: Arc<str>,
    },
    /// It isn't what was deployed.
    #[error("the files in {} are damaged ({reason}): deploy the app again", path.display())]
    Damaged {
        /// The bundle.
        path: PathBuf,
        /// How that is known.
        reason: Arc<str>,
    },
    /// The operating system gives no file or memory.
    #[error("the operating system gave no file or memory to read files: {0}")]
    Machine(Arc<str>),
}

impl FilesError {
    fn io(path: &Path, error: &io::Error) -> Self {
        let is_limit = matches!(
            Errno::from_io_error(error),
            Some(Errno::NOMEM | Errno::MFILE | Errno::NFILE)
        );
        if is_limit {
            return Self::Machine(error.to_string().into());
        }
        Self::Unreadable {
            path: path.to_owned(),
            reason: error.to_string().into(),
        }
    }

    fn damaged(path: &Path, reason: &str) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    fn bundle(path: &Path, error: &BundleError) -> Self {
        match error {
            BundleError::Io(error) => Self::io(path, error),
            error => Self::damaged(path, &error.to_string()),
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Stored {
    library: Arc<Library>,
    path: PathBuf,
}

impl Stored {
    /// Reads a bundle whole, and what `index` makes of where its files are, on the same thread.
    ///
    /// # Errors
    ///
    /// [`FilesError`] when it can't be read, or isn't what was deployed.
    pub async fn open<I: Send + 'static>(
        library: &Arc<Library>,
        tenant: &TenantId,
        bundle: Digest,
        index: impl FnOnce(&Arc<Self>, &Contents) -> I + Send + 'static,
    ) -> Result<I, FilesError> {
        let stored = Arc::new(Self {
            library: Arc::clone(library),
            path: library.bundles().local_file(tenant, bundle),
        });
        let read = library.read({
            let stored = Arc::clone(&stored);
            move || {
                let contents = stored.contents(bundle);
                contents.map(|contents| index(&stored, &contents))
            }
        });
        let failed = |error: JoinError| FilesError::damaged(&stored.path, &error.to_string());
        read.await.map_err(failed)?
    }

    fn contents(&self, bundle: Digest) -> Result<Contents, FilesError> {
        let path = &self.path;
        let file = std::fs::File::open(path).map_err(|error| FilesError::io(path, &error))?;
        let reader = io::BufReader::with_capacity(64 << 10, file);
        let contents = crate::read(reader).map_err(|error| FilesError::bundle(path, &error))?;
        if contents.digest != bundle {
            let reason = format!("its bytes are {}", contents.digest);
            return Err(FilesError::damaged(path, &reason));
        }
        Ok(contents)
    }

    /// What is kept of it in memory is kept there.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Reads a piece of a file, or all of one that has no pieces. The future begins when it is polled.
    ///
    /// # Errors
    ///
    /// [`FilesError`] when it can't be read, or isn't what was deployed.
    pub fn read(
        self: &Arc<Self>,
        part: &Part,
        piece: usize,
    ) -> impl Future<Output = Result<Bytes, FilesError>> + Send + use<> {
        let (stored, extent) = (Arc::clone(self), Extent::of(part, piece));
        async move {
            let read = stored.library.read({
                let stored = Arc::clone(&stored);
                move || extent.read(&stored.path)
            });
            let failed = |error: JoinError| FilesError::damaged(&stored.path, &error.to_string());
            read.await.map_err(failed)?
        }
    }
}

/// Bytes that are read at once, and the digest that they have.
struct Extent {
    offset: u64,
    length: u64,
    digest: Digest,
}

impl Extent {
    fn of(part: &Part, piece: usize) -> Self {
        match part.pieces.get(piece) {
            Some(digest) => {
                let from = piece as u64 * PIECE_BYTES as u64;
                Self {
                    offset: part.offset + from,
                    length: part.length.saturating_sub(from).min(PIECE_BYTES as u64),
                    digest: *digest,
                }
            }
            None => Self {
                offset: part.offset,
                length: part.length,
                digest: part.digest,
            },
        }
    }

    fn read(&self, path: &Path) -> Result<Bytes, FilesError> {
        let mut bytes = vec![0; usize::try_from(self.length).unwrap_or(0)];
        let file = std::fs::File::open(path).map_err(|error| FilesError::io(path, &error))?;
        file.read_exact_at(&mut bytes, self.offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => FilesError::damaged(path, "it is too short"),
                _ => FilesError::io(path, &error),
            })?;
        if Sha256::digest(&bytes)[..] != self.digest.as_bytes()[..] {
            return Err(FilesError::damaged(path, "a file in it has other bytes"));
        }
        Ok(bytes.into())
    }
}

/// A bundle that couldn't be read is let alone for a moment.
#[derive(Debug, Default)]
pub struct Rest(Mutex<Option<(Instant, FilesError)>>);

impl Rest {
    /// Whether it may be looked at.
    ///
    /// # Errors
    ///
    /// How it failed a moment ago.
    pub fn is_over(&self) -> Result<(), FilesError> {
        match &*self.0.lock() {
            Some((at, error)) if at.elapsed() < REST_AFTER_FAILURE => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// It has failed now.
    pub fn begin(&self, error: &FilesError) {
        *self.0.lock() = Some((Instant::now(), error.clone()));
    }
}
