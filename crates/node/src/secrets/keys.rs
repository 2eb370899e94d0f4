//! Where the keys of secrets come from: a file, a credential of systemd's, the environment, or the data folder, where
//! the node makes them itself.
//!
//! Owns which files are taken for keys, and the file in the data folder. What keys look like is `everwarm-secrets`'.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use everwarm_secrets::{Key, KeyError, KeyRing, RING_BYTES_MAX};
use everwarm_store::embedded::disk::{LocalDisk, write_whole};
use rustix::fs::OFlags;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroize as _;

/// Permissions of a key's file that say that others reach it.
pub(crate) const OTHERS: u32 = 0o077;
/// The same of a credential, which systemd may let the service read by an access list, shown as the group's.
pub(crate) const OTHERS_OF_A_CREDENTIAL: u32 = 0o037;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A file that the operator keeps.
    File(PathBuf),
    /// A file that systemd made for this service.
    Credential(PathBuf),
    /// The environment, whose keys stand in one line each or have spaces or commas between them.
    Variable(SecretString),
    /// The data folder, where the first start makes a key.
    DataFolder,
}

/// The keys of secrets can't be had.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// A file isn't one that keys are read from.
    #[error("the keys of secrets in {}: {fault}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: FileFault,
    },
    /// What the environment has is no ring.
    #[error("the keys of secrets in EVERWARM_SECRETS_KEY: {0}")]
    Variable(#[source] KeyError),
    /// No key can be made.
    #[error("the operating system gave no random numbers to make a key of secrets: {0}")]
    Random(getrandom::Error),
}

/// What is wrong with a file of keys.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The system refused.
    #[error("can't {doing}: {source}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// It is a folder, a pipe or something else.
    #[error("it is no file")]
    NoFile,
    /// Others may read it: what they know protects nothing.
    #[error(
        "other users can reach it (mode {mode:o}): take it from them (chmod 600), and put another one in its place if \
         they may have read it"
    )]
    Open {
        /// Its permissions.
        mode: u32,
    },
    /// It is larger than any that is whole.
    #[error("it is too large")]
    TooLarge,
    /// It is no ring.
    #[error("{0}")]
    Ring(#[from] KeyError),
}

impl KeySourceError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        "EW4044"
    }
}

impl KeySource {
    /// Reads the keys; the data folder's are made if there are none. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`KeySourceError`].
    pub fn read(&self, in_data_folder: &Path) -> Result<KeyRing, KeySourceError> {
        match self {
            Self::File(path) => read(path, OTHERS),
            Self::Credential(path) => read(path, OTHERS_OF_A_CREDENTIAL),
            Self::Variable(text) => {
                let mut lines = text.expose_secret().replace([',', ' '], "\n");
                let ring = KeyRing::parse(&lines);
                lines.zeroize();
                ring.map_err(KeySourceError::Variable)
            }
            Self::DataFolder if in_data_folder.exists() => read(in_data_folder, OTHERS),
            Self::DataFolder => {
                let ring = KeyRing::new(Key::random().map_err(KeySourceError::Random)?);
                write(in_data_folder, &ring)?;
                Ok(ring)
            }
        }
    }
}

/// Writes a file of keys, for its user alone. When it returns, it is there after power loss too.
///
/// # Errors
///
/// [`KeySourceError::File`]; then the file is as it was, or as it should be.
pub fn write(path: &Path, ring: &KeyRing) -> Result<(), KeySourceError> {
    let text = ring.to_text();
    let temporary = path.with_extension("new");
    let bytes = text.expose_secret().as_bytes();
    write_whole(&LocalDisk, &temporary, path, bytes).map_err(|source| KeySourceError::File {
        path: path.to_owned(),
        fault: FileFault::Io {
            doing: "write it",
            source,
        },
    })
}

/// Reads a file of keys that nobody but its user may read.
///
/// # Errors
///
/// [`KeySourceError::File`].
pub fn read_file(path: &Path) -> Result<KeyRing, KeySourceError> {
    read(path, OTHERS)
}

fn read(path: &Path, others: u32) -> Result<KeyRing, KeySourceError> {
    let path = path.to_owned();
    ring_of(&path, others).map_err(|fault| KeySourceError::File { path, fault })
}

fn ring_of(path: &Path, others: u32) -> Result<KeyRing, FileFault> {
    let mut text = read_private(path, others, RING_BYTES_MAX)?;
    let ring = KeyRing::parse(&text);
    text.zeroize();
    Ok(ring?)
}

/// Reads a file that nobody else may read, as text.
pub(crate) fn read_private(
    path: &Path,
    others: u32,
    bytes_max: usize,
) -> Result<String, FileFault> {
    let io = |doing| move |source| FileFault::Io { doing, source };
    // Nobody waits for the other end of a pipe.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags).open(path);
    let file = file.map_err(io("open it"))?;
    let metadata = file.metadata().map_err(io("look at it"))?;
    if !metadata.is_file() {
        return Err(FileFault::NoFile);
    }
    let mode = metadata.mode() & 0o777;
    if mode & others != 0 {
        return Err(FileFault::Open { mode });
    }
    // As long as it will be: a text that grows leaves copies behind.
    let mut text = String::with_capacity(bytes_max + 1);
    let read = file.take(bytes_max as u64 + 1).read_to_string(&mut text);
    let fault = match read {
        Ok(bytes) if bytes <= bytes_max => return Ok(text),
        Ok(_) => FileFault::TooLarge,
        Err(source) => io("read it")(source),
    };
    text.zeroize();
    Err(fault)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn key_in_the_data_folder_is_made_once_and_only_its_user_can_read_it() {
        let folder = folder();
        let path = folder.path().join("secrets.key");
        let first = KeySource::DataFolder.read(&path).unwrap();
        let again = KeySource::DataFolder.read(&path).unwrap();
        assert!(first.ids().eq(again.ids()));
        let mode = fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert!(!path.with_extension("new").exists());
    }

    #[test]
    fn file_that_others_can_read_is_refused_and_a_credential_is_its_groups_too() {
        let folder = folder();
        let path = folder.path().join("keys");
        write(&path, &KeyRing::new(Key::random().unwrap())).unwrap();
        for (mode, is_file, is_credential) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o440, false, true),
            (0o644, false, false),
            (0o620, false, false),
        ] {
            set_mode(&path, mode);
            let file = KeySource::File(path.clone()).read(Path::new(""));
            let credential = KeySource::Credential(path.clone()).read(Path::new(""));
            let read = (file.is_ok(), credential.is_ok());
            assert_eq!(read, (is_file, is_credential), "mode {mode:o}");
        }
        let error = KeySource::File(path).read(Path::new("")).unwrap_err();
        assert!(error.to_string().contains("mode 620"), "{error}");
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused_and_said_by_name() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("garbage"), "ewk_a-secret-that-was-cut").unwrap();
        fs::write(at("large"), vec![b'#'; RING_BYTES_MAX + 1]).unwrap();
        fs::write(at("binary"), [0xff, 0xfe]).unwrap();
        fs::write(at("empty"), "").unwrap();
        fs::create_dir(at("folder")).unwrap();
        for name in ["garbage", "large", "binary", "empty"] {
            set_mode(&at(name), 0o600);
        }
        for (name, expected) in [
            ("garbage", "line 1 is no key"),
            ("large", "too large"),
            ("binary", "can't read it"),
            ("empty", "no key in it"),
            ("folder", "no file"),
            ("nothing", "can't open it"),
        ] {
            let error = KeySource::File(at(name)).read(Path::new("")).unwrap_err();
            let told = error.to_string();
            assert!(told.contains(expected) && told.contains(name), "{told}");
            assert!(!told.contains("that-was-cut"), "{told}");
        }
    }

    #[test]
    fn environment_has_keys_in_one_line_or_many() {
        let (new, old) = (Key::random().unwrap(), Key::random().unwrap());
        let (first, second) = (new.to_text(), old.to_text());
        for between in [",", " ", "\n", ", "] {
            let text = [first.expose_secret(), second.expose_secret()].join(between);
            let ring = KeySource::Variable(text.into())
                .read(Path::new(""))
                .unwrap();
            assert!(ring.ids().eq([new.id(), old.id()]));
        }
        let source = KeySource::Variable("hunter2".into());
        let told = format!("{source:?} {}", source.read(Path::new("")).unwrap_err());
        assert!(told.contains("EVERWARM_SECRETS_KEY"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}
