//! What the store asks of a disk, and the one that the operating system gives.
//!
//! Owns the calls that durability hangs on: writing, syncing, renaming, and syncing a folder. They are behind a trait
//! so that a test can put a disk there that forgets, at a power cut, what wasn't synced. Knows nothing of what files
//! hold.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::catalog::UnixMillis;

/// What the store's files and SQLite's pages are on.
#[derive(Debug, Clone)]
pub struct Medium {
    /// Where artifacts and the node's key are.
    pub disk: Arc<dyn Disk>,
    /// SQLite's own layer over a disk, by the name that it is registered under; the operating system's by default.
    pub vfs: Option<String>,
    /// Whether SQLite waits for the disk. Without it power loss takes acknowledged writes: the tests show that they
    /// notice.
    pub synchronous: bool,
}

impl Medium {
    /// The operating system's disk.
    pub fn local() -> Self {
        Self {
            disk: Arc::new(LocalDisk),
            vfs: None,
            synchronous: true,
        }
    }
}

/// A disk. A file's bytes are safe when [`NewFile::sync`] has returned, a name when [`Disk::sync_dir`] has.
pub trait Disk: Debug + Send + Sync {
    /// Makes a file that isn't there yet, for its user alone.
    ///
    /// # Errors
    ///
    /// The system's, `AlreadyExists` among them.
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;

    /// Opens a file for reading from its start.
    ///
    /// # Errors
    ///
    /// The system's.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;

    /// Opens a file for reading from so many bytes after its start.
    ///
    /// # Errors
    ///
    /// The system's.
    fn open_at(&self, path: &Path, start: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = self.open(path)?;
        io::copy(&mut (&mut file).take(start), &mut io::sink())?;
        Ok(file)
    }

    /// Opens a file that is there, to make it longer.
    ///
    /// # Errors
    ///
    /// The system's, `NotFound` among them.
    fn open_to_grow(&self, path: &Path) -> io::Result<Box<dyn GrowingFile>>;

    /// What is known of a file or folder without opening it.
    ///
    /// # Errors
    ///
    /// The system's, `NotFound` among them.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// Gives a file another name on the same disk, in the place of whichever file has it.
    ///
    /// # Errors
    ///
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// The system's, `NotFound` among them.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder for its user alone. Its parent is there.
    ///
    /// # Errors
    ///
    /// The system's, `AlreadyExists` among them.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    ///
    /// The system's, `NotFound` among them.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Bytes that may still be written to the disk that a folder is on.
    ///
    /// # Errors
    ///
    /// The system's.
    fn room(&self, folder: &Path) -> io::Result<u64>;

    /// What is in a folder, by full paths, in no order.
    ///
    /// # Errors
    ///
    /// The system's, `NotFound` and `NotADirectory` among them.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// Makes the names in a folder survive power loss.
    ///
    /// # Errors
    ///
    /// The system's.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub trait NewFile: Write + Send {
    /// Makes what was written survive power loss.
    ///
    /// # Errors
    ///
    /// The system's. Whether the bytes are safe isn't known then.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is made longer ahead of whoever writes it.
pub trait GrowingFile: Debug + Send {
    /// Bytes that it has.
    ///
    /// # Errors
    ///
    /// The system's.
    fn length(&self) -> io::Result<u64>;

    /// Writes so many zeros, each of them: where there is only a length, a write is one of the file system's journal too.
    ///
    /// # Errors
    ///
    /// The system's. How many are there isn't known then.
    fn write_zeros(&mut self, from: u64, count: usize) -> io::Result<()>;

    /// Takes away what is behind so many bytes.
    ///
    /// # Errors
    ///
    /// The system's.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Makes what it has survive power loss.
    ///
    /// # Errors
    ///
    /// The system's. What is safe isn't known then.
    fn sync(&mut self) -> io::Result<()>;
}

/// What is known of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Bytes.
    pub len: u64,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// When it was written last.
    pub modified: UnixMillis,
    /// Who may do what with it: Unix permission bits.
    pub mode: u32,
}

/// The disk that the operating system gives.
#[derive(Debug, Clone, Copy)]
pub struct LocalDisk;

impl NewFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl GrowingFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn write_zeros(&mut self, from: u64, count: usize) -> io::Result<()> {
        self.write_all_at(&vec![0; count], from)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Disk for LocalDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        Ok(Box::new(options.open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn open_at(&self, path: &Path, start: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Box::new(file))
    }

    fn open_to_grow(&self, path: &Path) -> io::Result<Box<dyn GrowingFile>> {
        Ok(Box::new(OpenOptions::new().write(true).open(path)?))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let metadata = fs::metadata(path)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH);
        let modified_ms = modified.unwrap_or_default().as_millis();
        Ok(Metadata {
            len: metadata.len(),
            is_dir: metadata.is_dir(),
            modified: UnixMillis(u64::try_from(modified_ms).unwrap_or(u64::MAX)),
            mode: metadata.mode() & 0o7777,
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn room(&self, folder: &Path) -> io::Result<u64> {
        let room = rustix::fs::statvfs(folder)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

/// Writes a file, for its user alone, that is there whole or not at all, after power loss too: under another name first,
/// which may be left behind by a crash and is overwritten.
///
/// # Errors
///
/// The system's. Which of the two is there isn't known then.
pub fn write_whole(disk: &dyn Disk, temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = || -> io::Result<()> {
        remove_if_there(disk, temporary)?;
        let mut file = disk.create(temporary)?;
        file.write_all(bytes)?;
        file.sync()?;
        disk.rename(temporary, path)?;
        disk.sync_dir(parent(path))
    }();
    if written.is_err() {
        // What failed is told; the next start clears what is left.
        let _ = disk.remove_file(temporary);
    }
    written
}

pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder with all above it. Each new folder's name survives power loss.
pub(super) fn make_dirs(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    if disk.metadata(folder).is_ok_and(|found| found.is_dir) {
        return Ok(());
    }
    let above = parent(folder);
    if above != folder {
        make_dirs(disk, above)?;
    }
    match disk.create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // Whoever finds it there relies on its name.
        _ => disk.sync_dir(above).inspect_err(|_| {
            let _ = disk.remove_dir(folder);
        }),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
