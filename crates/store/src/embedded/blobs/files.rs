//! The files of blobs: one for each, below its app's folder, and which of them are nobody's.
//!
//! Owns the layout `<tenant>/<app>/<two digits>/<file>`, all of a form that leads nowhere else. A file's name is the
//! engine's own: what a blob is called never is a path. Blocks on the disk, and knows nothing of threads.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use everwarm_manifest::{AppName, TenantId};

use super::super::disk::{Disk, NewFile, make_dirs};
use crate::EngineError;
use crate::blobs::BlobError;

/// Digits of a file's name, and of the folder that it is in: the last of them.
const NAME_DIGITS: usize = 24;
const FOLDER_DIGITS: usize = 2;
/// How often a file is made anew whose folder a sweep has removed.
const TRIES_MAX: usize = 3;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Files {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    making: Arc<Mutex<()>>,
}

/// What is in a folder.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) folders: Vec<PathBuf>,
    /// Names of files, with their paths.
    pub(super) files: Vec<(String, PathBuf)>,
}

impl Files {
    pub(super) fn new(disk: Arc<dyn Disk>, root: PathBuf) -> Self {
        Self {
            disk,
            root,
            making: Arc::default(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The name of a file: `run` is the process's, `number` the file's.
    pub(super) fn name(run: u64, number: u32) -> String {
        format!("{run:016x}{number:08x}")
    }

    pub(super) fn path(&self, tenant: &TenantId, app: &AppName, file: &str) -> PathBuf {
        path_of(&self.root, tenant, app, file)
    }

    /// Makes the file, with the folders above it.
    pub(super) fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let folder = path.parent().unwrap_or(&self.root);
        let mut tries = 1;
        loop {
            self.make_folder(folder)?;
            match self.disk.create(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES_MAX => {
                    tries += 1;
                }
                made => return made,
            }
        }
    }

    /// Whoever finds a folder there can rely on its name: one at a time makes folders, and is through with it.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let _one = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        make_dirs(&*self.disk, folder)
    }

    /// Makes the bytes and the name of a file survive power loss.
    pub(super) fn keep(&self, mut file: Box<dyn NewFile>, path: &Path) -> io::Result<()> {
        file.sync()?;
        self.disk.sync_dir(path.parent().unwrap_or(&self.root))
    }

    pub(super) fn open(&self, path: &Path, start: u64) -> io::Result<Box<dyn Read + Send>> {
        self.disk.open_at(path, start)
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        match self.disk.remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What is in a folder; nothing when it isn't there.
    pub(super) fn list(&self, folder: &Path) -> io::Result<Listed> {
        let entries = match self.disk.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Listed::default()),
            entries => entries?,
        };
        let mut listed = Listed::default();
        for path in entries {
            match self.disk.metadata(&path) {
                Ok(found) if found.is_dir => listed.folders.push(path),
                Ok(_) => {
                    let name = path.file_name().and_then(|name| name.to_str());
                    // What has another form isn't ours to remove.
                    if let Some(name) = name.filter(|name| is_name(name)) {
                        listed.files.push((name.to_owned(), path));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(listed)
    }

    /// Removes the folders of an app that are empty.
    pub(super) fn remove_folders(&self, tenant: &TenantId, app: &AppName) -> io::Result<()> {
        let of_app = self.root.join(tenant.as_str()).join(app.as_str());
        for folder in self.list(&of_app)?.folders {
            // One that has something by now stays.
            let _ = self.disk.remove_dir(&folder);
        }
        let _ = self.disk.remove_dir(&of_app);
        Ok(())
    }
}

/// Where the file of a blob is below the folder of all.
pub(in super::super) fn path_of(
    root: &Path,
    tenant: &TenantId,
    app: &AppName,
    file: &str,
) -> PathBuf {
    let folder = &file[file.len().saturating_sub(FOLDER_DIGITS)..];
    root.join(tenant.as_str())
        .join(app.as_str())
        .join(folder)
        .join(file)
}

/// Whether a text is the name of a blob's file.
pub(in super::super) fn is_name(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == NAME_DIGITS && text.bytes().all(is_digit)
}

/// Makes the error of what a disk didn't do.
pub(super) fn failed(doing: &'static str) -> impl Fn(io::Error) -> BlobError {
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::DiskFull,
        _ => BlobError::Failed {
            doing,
            source: Box::new(error) as EngineError,
        },
    }
}
