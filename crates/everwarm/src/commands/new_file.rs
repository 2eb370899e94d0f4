//! A file that is there whole or not at all: written beside its place, and given its name at the end.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::exit::{Exit, Failure};

/// See the module's documentation. Readable by its user alone, and gone when it is dropped before [`NewFile::keep`].
#[derive(Debug)]
pub(crate) struct NewFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl NewFile {
    /// Begins a file whose place is free.
    pub(crate) fn begin(path: &Path) -> Result<Self, Failure> {
        if path.exists() {
            let message = format!("{} is there already: choose another name", path.display());
            return Err(Failure::uncoded(Exit::Usage, message));
        }
        let file = NamedTempFile::new_in(folder(path)).map_err(|error| failed(path, &error))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Where it is going to be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that it is in.
    pub(crate) fn folder(&self) -> &Path {
        folder(&self.path)
    }

    /// Writes more of it.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let added = self.file.write_all(bytes);
        added.map_err(|error| self.failed(&error))
    }

    /// What was written, to be looked at before it has its name.
    pub(crate) fn written(&self) -> Result<File, Failure> {
        let opened = File::open(self.file.path());
        opened.map_err(|error| self.failed(&error))
    }

    /// Gives it its name, once all of it is on the disk.
    pub(crate) fn keep(self) -> Result<(), Failure> {
        let Self { file, path } = self;
        let kept = file.as_file().sync_all().and_then(|()| {
            file.persist_noclobber(&path).map_err(|error| error.error)?;
            File::open(folder(&path))?.sync_all()
        });
        kept.map_err(|error| failed(&path, &error))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        failed(&self.path, error)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    let message = format!("couldn't write {}: {error}", path.display());
    Failure::uncoded(Exit::Failure, message)
}
