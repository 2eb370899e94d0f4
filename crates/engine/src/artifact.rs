//! Compiled artifacts: machine code on disk that this node made, and nothing else.
//!
//! Owns the proof that a file is what the compiler wrote: a record beside it with a MAC under the
//! node's key (`record`). A file is hashed whole when it enters and whenever it isn't the same file
//! any more (a copied folder, a restored backup); otherwise opening one costs a look at its inode.
//! What fails the proof is removed and must be compiled again; it is never run. Mapping is in `map`.
//! Doesn't know how code is compiled or who asks for it.
//!
//! All methods block on the disk. One process at a time uses a folder: the store's lock sees to it.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use everwarm_manifest::Digest;
use rustix::fs::{Mode, OFlags};
use secrecy::SecretBox;
use subtle::ConstantTimeEq as _;
use tempfile::NamedTempFile;
use wasmtime::Engine;
use wasmtime::component::Component;

mod collect;
mod map;
mod record;

use crate::fault::{is_limit, machine_limit};
pub use record::RecordFlaw;
use record::{Identity, RECORD_LEN, Record, Signer, hash_file};

/// Where the compiler writes before a file gets its name. No fingerprint starts with a dot.
const INCOMING: &str = ".incoming";

/// Names the machine code that an engine on this CPU can run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of an engine. Hashes all of its settings: make it once.
    pub fn of(engine: &Engine) -> Self {
        Self(crate::config::fingerprint(engine))
    }

    /// Hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The folder of compiled artifacts of one node.
#[derive(Debug)]
pub struct CompiledArtifacts {
    root: PathBuf,
    signer: Signer,
    /// Held while files are made, renewed or removed, so that no one removes what another just made.
    changing: Mutex<()>,
}

/// Code that was mapped, and how much of it.
#[derive(Debug)]
pub struct Mapped {
    /// Ready to link.
    pub component: Component,
    /// Size of the file, in bytes.
    pub bytes: u64,
}

/// A file that was proven to be what the compiler wrote, still open.
#[derive(Debug)]
pub struct Verified {
    file: File,
    identity: Identity,
}

impl Verified {
    /// Size of the file, in bytes.
    pub fn bytes(&self) -> u64 {
        self.identity.size
    }
}

impl CompiledArtifacts {
    /// Takes a folder over; makes it if it isn't there. `key` must be used for nothing else.
    ///
    /// # Errors
    ///
    /// When the folder can't be made or written to.
    pub fn open_dir(root: PathBuf, key: &SecretBox<[u8; 32]>) -> io::Result<Self> {
        let incoming = root.join(INCOMING);
        fs::create_dir_all(&incoming)?;
        // Left by compiles that were cut short. One whose node was killed may write its last even now: the folder
        // stays, and what comes late goes at the next start.
        for entry in fs::read_dir(&incoming)? {
            match fs::remove_file(entry?.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // Only this user may name files here, and so only this user can put any in.
        fs::set_permissions(&root, Permissions::from_mode(0o700))?;
        Ok(Self {
            root,
            signer: Signer::new(key),
            changing: Mutex::new(()),
        })
    }

    /// An empty file for the compiler to write to, to be handed to [`CompiledArtifacts::record`].
    /// It is removed when it is dropped instead.
    ///
    /// # Errors
    ///
    /// When the file can't be made.
    pub fn incoming(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.root.join(INCOMING))
    }

    /// Takes in what the compiler wrote: from now on [`CompiledArtifacts::open`] finds it, after
    /// power loss too. Hashes the whole file.
    ///
    /// # Errors
    ///
    /// When the disk refuses, or the file changes under our hands.
    pub fn record(
        &self,
        component: Digest,
        fingerprint: &Fingerprint,
        written: NamedTempFile,
    ) -> io::Result<()> {
        let paths = self.paths(component, fingerprint);
        let _changing = self.changing();
        fs::create_dir_all(&paths.folder)?;
        // Renaming and changing the mode change the ctime, so the file is measured after both.
        written
            .as_file()
            .set_permissions(Permissions::from_mode(0o400))?;
        written.as_file().sync_all()?;
        let file = written.persist(&paths.code)?;
        sync_dir(&paths.folder)?;
        sync_dir(&self.root)?;
        let (identity, code) = measure(&file)?;
        let record = Record {
            component,
            fingerprint: fingerprint.clone(),
            code,
            identity,
        };
        self.write_record(&record, &paths)
    }

    fn write_record(&self, record: &Record, paths: &Paths) -> io::Result<()> {
        let mut temp = NamedTempFile::new_in(self.root.join(INCOMING))?;
        temp.write_all(&self.signer.sign(record))?;
        temp.as_file().sync_all()?;
        temp.persist(&paths.record)?;
        sync_dir(&paths.folder)
    }

    /// Opens compiled code and proves that it is what the compiler wrote.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; see [`OpenError::needs_compile`].
    pub fn open(
        &self,
        component: Digest,
        fingerprint: &Fingerprint,
    ) -> Result<Verified, OpenError> {
        let paths = self.paths(component, fingerprint);
        match self.check(component, fingerprint, &paths) {
            Checked::Same(verified) => Ok(verified),
            Checked::Missing => Err(OpenError::Missing),
            Checked::Failed(error) => Err(error),
            Checked::Moved { .. } | Checked::Flawed(_) => {
                self.open_alone(component, fingerprint, &paths)
            }
        }
    }

    /// As [`CompiledArtifacts::open`], while nothing else changes files: it may have been a file in
    /// the making that looked wrong.
    fn open_alone(
        &self,
        component: Digest,
        fingerprint: &Fingerprint,
        paths: &Paths,
    ) -> Result<Verified, OpenError> {
        let _changing = self.changing();
        let flaw = match self.check(component, fingerprint, paths) {
            Checked::Same(verified) => return Ok(verified),
            Checked::Missing => return Err(OpenError::Missing),
            Checked::Failed(error) => return Err(error),
            Checked::Flawed(flaw) => flaw,
            Checked::Moved { file, mut record } => {
                let failed = |doing| move |source| OpenError::io(doing, &paths.code, source);
                let (identity, code) = measure(&file).map_err(failed("read"))?;
                if bool::from(code.as_bytes().ct_eq(record.code.as_bytes())) {
                    record.identity = identity;
                    self.write_record(&record, paths)
                        .map_err(failed("renew the record of"))?;
                    return Ok(Verified { file, identity });
                }
                Flaw::Content
            }
        };
        Err(discard(paths, flaw))
    }

    /// Opens compiled code and maps it, ready to link.
    ///
    /// # Errors
    ///
    /// As [`CompiledArtifacts::open`]; code that Wasmtime refuses is removed too.
    pub fn load(
        &self,
        component: Digest,
        fingerprint: &Fingerprint,
        engine: &Engine,
    ) -> Result<Mapped, OpenError> {
        let verified = self.open(component, fingerprint)?;
        let bytes = verified.bytes();
        let paths = self.paths(component, fingerprint);
        match map::map(engine, &verified) {
            Ok(component) => Ok(Mapped { component, bytes }),
            Err(map::MapError::Io(source)) => Err(OpenError::io("map", &paths.code, source)),
            Err(map::MapError::Changed) => Err(self.discard_alone(&paths, Flaw::Content)),
            // The code is all right: the machine has no room for it.
            Err(map::MapError::Refused(error)) if let Some(limit) = machine_limit(&error) => {
                Err(OpenError::io("map", &paths.code, limit))
            }
            Err(map::MapError::Refused(error)) => {
                Err(self.discard_alone(&paths, Flaw::Refused(format!("{error:#}"))))
            }
        }
    }

    fn discard_alone(&self, paths: &Paths, flaw: Flaw) -> OpenError {
        let _changing = self.changing();
        discard(paths, flaw)
    }

    /// One look at the files, changing nothing.
    fn check(&self, component: Digest, fingerprint: &Fingerprint, paths: &Paths) -> Checked {
        let file = match open_regular(&paths.code) {
            Ok(Some(file)) => file,
            Ok(None) => return Checked::Flawed(Flaw::NoFile),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Checked::Missing,
            Err(error) => return Checked::Failed(OpenError::io("open", &paths.code, error)),
        };
        let record = match read_record(&paths.record) {
            Ok(Some(bytes)) => self.signer.verify(&bytes, component, fingerprint),
            Ok(None) => return Checked::Flawed(Flaw::NoRecord),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Checked::Flawed(Flaw::NoRecord);
            }
            Err(error) => return Checked::Failed(OpenError::io("read", &paths.record, error)),
        };
        let record = match record {
            Ok(record) => record,
            Err(flaw) => return Checked::Flawed(Flaw::Record(flaw)),
        };
        match Identity::of(&file) {
            Ok(identity) if identity == record.identity => {
                Checked::Same(Verified { file, identity })
            }
            Ok(identity) if identity.size != record.identity.size => Checked::Flawed(Flaw::Content),
            Ok(_) => Checked::Moved { file, record },
            Err(error) => Checked::Failed(OpenError::io("look at", &paths.code, error)),
        }
    }

    fn paths(&self, component: Digest, fingerprint: &Fingerprint) -> Paths {
        let folder = self.root.join(fingerprint.as_str());
        let name = component.hex();
        Paths {
            code: folder.join(format!("{name}.cwasm")),
            record: folder.join(format!("{name}.record")),
            folder,
        }
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What must hold for any bytes as a record: none but the one that was written counts, whole and unchanged, for what it
/// was written for. Panics when it doesn't; the fuzz target `artifact_records` feeds it.
#[doc(hidden)]
pub fn fuzz_record(bytes: &[u8]) {
    record::fuzz(bytes);
}

struct Paths {
    folder: PathBuf,
    code: PathBuf,
    record: PathBuf,
}

enum Checked {
    /// The record holds and the file is the one that it was written for.
    Same(Verified),
    /// The record holds, but for another file: these bytes must be hashed again.
    Moved {
        file: File,
        record: Record,
    },
    Missing,
    Flawed(Flaw),
    Failed(OpenError),
}

/// Hashes an open file whole, and makes sure that it was one and the same from start to end.
fn measure(file: &File) -> io::Result<(Identity, Digest)> {
    let identity = Identity::of(file)?;
    let code = hash_file(file)?;
    if Identity::of(file)? == identity {
        Ok((identity, code))
    } else {
        Err(io::Error::other("the file changed while it was read"))
    }
}

/// Opens without following a link and without waiting for a pipe's writer; none when what is there
/// isn't a file.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => {
            let file = File::from(fd);
            let is_file = file.metadata()?.is_file();
            Ok(is_file.then_some(file))
        }
        Err(rustix::io::Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The bytes of a record, and no more than show that it is too long; none when what is there isn't a file.
fn read_record(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open_regular(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::with_capacity(RECORD_LEN + 1);
    file.take(RECORD_LEN as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Removes both files. Failing to is no reason to run them: they fail the same check next time.
fn discard(paths: &Paths, flaw: Flaw) -> OpenError {
    for path in [&paths.record, &paths.code] {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "bad compiled artifact can't be removed");
        }
    }
    tracing::warn!(path = %paths.code.display(), %flaw, "compiled artifact is discarded");
    OpenError::Discarded {
        path: paths.code.clone(),
        flaw,
    }
}

fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What was wrong with a compiled artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Something else stands where the file should be.
    #[error("it isn't a file")]
    NoFile,
    /// Code without a record.
    #[error("it has no record")]
    NoRecord,
    /// The record proves nothing.
    #[error(transparent)]
    Record(RecordFlaw),
    /// The bytes aren't the ones that the compiler wrote.
    #[error("its bytes aren't what was compiled")]
    Content,
    /// Wasmtime doesn't take it.
    #[error("the engine refuses it: {0}")]
    Refused(String),
}

/// Why compiled code can't be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was never compiled for this engine and CPU, or it was discarded before.
    #[error("the component isn't compiled for this engine and CPU: compile it")]
    Missing,
    /// It was there, was no proof, and is gone now.
    #[error("the compiled artifact {} was discarded ({flaw}): compile the component again", .path.display())]
    Discarded {
        /// The file that is gone.
        path: PathBuf,
        /// What was wrong with it.
        flaw: Flaw,
    },
    /// The disk refused; the artifact may be all right.
    #[error("failed to {doing} {}", .path.display())]
    Io {
        /// What was being attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// Whether compiling the component again mends it.
    pub fn needs_compile(&self) -> bool {
        matches!(self, Self::Missing | Self::Discarded { .. })
    }

    /// Whether the process has as many files or mappings as it may.
    pub fn is_machine_limit(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_limit(source),
            Self::Missing | Self::Discarded { .. } => false,
        }
    }

    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing | Self::Discarded { .. } => "EW3015",
            Self::Io { .. } => "EW4003",
        }
    }

    fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests;
