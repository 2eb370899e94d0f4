//! A part of an object until it is whole: in a file that has no name, so that guests who write slowly hold no memory.
//! Blocks on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use bytes::Bytes;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    len: usize,
}

impl Spool {
    /// Makes one in a folder, which is made if it isn't there. `name` is nobody else's.
    pub(super) fn new(folder: &Path, name: &str) -> io::Result<Self> {
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path)?;
        fs::remove_file(&path)?;
        Ok(Self { file, len: 0 })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len();
        Ok(())
    }

    /// What is in it, which is empty then.
    pub(super) fn take(&mut self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.len];
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_exact(&mut bytes)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.set_len(0)?;
        self.len = 0;
        Ok(bytes.into())
    }
}
