//! Certificates in files: a folder of pairs, or one pair. Read when they have changed, and kept as they were where the
//! new ones can't be used.
//!
//! Files are looked at again and again: it works the same on every file system, with files that are replaced, and with
//! links that are switched.

mod pair;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

pub use self::pair::PairError;
use self::pair::{Fingerprint, Pair};
use crate::certificate::Certificate;
use crate::certificates::{Certificates, Set};

/// Pairs of a folder that are read.
pub const PAIRS_MAX: usize = 10_000;
/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The pair that clients get whose name has no other.
const DEFAULT: &str = "default";
/// The code that the log has for a pair that can't be used.
const BROKEN_PAIR: &str = "EW4030";

/// Where certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `<name>.crt` and `<name>.key` in a folder.
    Folder(PathBuf),
    /// One pair, for whatever name is asked for.
    Pair {
        /// The chain, as PEM.
        certificate: PathBuf,
        /// The key, as PEM.
        key: PathBuf,
    },
}

/// Certificates can't be had from files.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folder can't be read.
    #[error("the folder of certificates {path} can't be read: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The only pair can't be used.
    #[error(transparent)]
    Pair(PairError),
}

impl SourceError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "EW4031",
            Self::Pair(_) => BROKEN_PAIR,
        }
    }
}

/// The files of a source, as they were when they were read last.
#[derive(Debug)]
pub struct Files {
    source: Source,
    pairs: BTreeMap<String, Known>,
    /// The folder couldn't be read last time.
    is_lost: bool,
}

#[derive(Debug)]
struct Known {
    fingerprint: Fingerprint,
    /// What is in force, if anything ever was.
    certificate: Option<Arc<Certificate>>,
}

impl Files {
    /// Reads a source for the first time, and puts in force what it has. A broken pair of a folder is logged.
    ///
    /// # Errors
    /// When the folder can't be read, or the only pair can't be used.
    pub fn open(source: Source, certificates: &Certificates) -> Result<Self, SourceError> {
        let mut files = Self {
            source,
            pairs: BTreeMap::new(),
            is_lost: false,
        };
        if let Source::Pair { certificate, key } = &files.source {
            let pair = Pair::new(certificate.clone(), key.clone());
            pair.load().map_err(SourceError::Pair)?;
        }
        files.read()?;
        certificates.set_files(files.set());
        Ok(files)
    }

    /// Looks at the files for ever, and puts in force what has changed; `changed` is told then. Whoever starts it
    /// ends it.
    pub async fn watch(mut self, certificates: Arc<Certificates>, changed: Arc<Notify>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let looked = tokio::task::spawn_blocking(move || {
                let has_changed = self.look_again();
                (self, has_changed)
            });
            let has_changed;
            match looked.await {
                Ok(looked) => (self, has_changed) = looked,
                // It doesn't panic; the runtime is going down.
                Err(_) => return,
            }
            if has_changed {
                certificates.set_files(self.set());
                changed.notify_one();
            }
        }
    }

    fn look_again(&mut self) -> bool {
        match self.read() {
            Ok(has_changed) => {
                self.is_lost = false;
                has_changed
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_lost, true) {
                    tracing::error!(code = error.code(), %error, "certificates stay as they are");
                }
                false
            }
        }
    }

    /// Reads what has changed. Says whether anything is another now.
    fn read(&mut self) -> Result<bool, SourceError> {
        let pairs = self.list()?;
        let before = self.pairs.len();
        self.pairs.retain(|name, _| pairs.contains_key(name));
        let mut has_changed = self.pairs.len() != before;
        for (name, pair) in pairs {
            let fingerprint = pair.fingerprint();
            let known = self.pairs.get(&name);
            if known.is_some_and(|known| known.fingerprint == fingerprint) {
                continue;
            }
            let before = known.and_then(|known| known.certificate.clone());
            let certificate = match pair.load() {
                Ok(certificate) => {
                    has_changed = true;
                    tracing::info!(
                        certificate = %pair.certificate().display(),
                        names = ?certificate.names(),
                        "certificate is in force"
                    );
                    Some(Arc::new(certificate))
                }
                Err(error) => {
                    let kept = before.is_some();
                    tracing::error!(code = BROKEN_PAIR, %error, kept, "certificate can't be used");
                    before
                }
            };
            let known = Known {
                fingerprint,
                certificate,
            };
            self.pairs.insert(name, known);
        }
        Ok(has_changed)
    }

    fn list(&self) -> Result<BTreeMap<String, Pair>, SourceError> {
        match &self.source {
            Source::Folder(folder) => list(folder).map_err(|source| SourceError::Folder {
                path: folder.clone(),
                source,
            }),
            Source::Pair { certificate, key } => {
                let pair = Pair::new(certificate.clone(), key.clone());
                Ok(BTreeMap::from([(DEFAULT.to_owned(), pair)]))
            }
        }
    }

    fn set(&self) -> Set {
        let all = self.pairs.iter().filter_map(|(name, known)| {
            let certificate = known.certificate.as_ref()?;
            Some((name.clone(), Arc::clone(certificate)))
        });
        let default = self.pairs.get(DEFAULT);
        Set::new(
            all.collect(),
            default.and_then(|known| known.certificate.clone()),
        )
    }
}

/// The pairs of a folder. Names that begin with a dot are of those who keep the folder.
fn list(folder: &Path) -> io::Result<BTreeMap<String, Pair>> {
    let mut pairs = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| !name.starts_with('.')) else {
            continue;
        };
        if path.extension().is_none_or(|extension| extension != "crt") {
            continue;
        }
        if pairs.len() == PAIRS_MAX {
            tracing::warn!(folder = %folder.display(), PAIRS_MAX, "more certificates than are read");
            break;
        }
        let key = path.with_extension("key");
        pairs.insert(name.to_owned(), Pair::new(path, key));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests;
