//! SQLite's layer over the simulated disk.
//!
//! Owns which disk a path is on: one layer is registered for the process, and each disk has a folder of its own in it.
//! What connections share is in `shared`. Knows nothing of what survives a power cut.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use sqlite_vfs::{DatabaseHandle, LockKind, OpenAccess, OpenKind, OpenOptions, Vfs};

use super::shared::{Index, Member, Shared};
use super::simulated::{Opened, SimulatedDisk, place};

/// The name that the layer is registered under.
pub(crate) const NAME: &str = "simulated";

/// A disk, and what the connections of each file share.
struct Mounted {
    disk: SimulatedDisk,
    shared: BTreeMap<PathBuf, Shared>,
}

static DISKS: LazyLock<Mutex<BTreeMap<PathBuf, Mounted>>> = LazyLock::new(|| {
    sqlite_vfs::register(NAME, Layer, false).expect("a new layer has a name of its own");
    Mutex::default()
});

/// Puts a disk under a folder, in the place of the one that is there.
pub(crate) fn mount(root: &Path, disk: &SimulatedDisk) {
    let mounted = Mounted {
        disk: disk.clone(),
        shared: BTreeMap::new(),
    };
    DISKS.lock().unwrap().insert(root.to_owned(), mounted);
}

pub(crate) fn unmount(root: &Path) {
    DISKS.lock().unwrap().remove(root);
}

fn disk_of(path: &Path) -> io::Result<SimulatedDisk> {
    mounted(path, |mounted| mounted.disk.clone())
}

fn mounted<T>(path: &Path, look: impl FnOnce(&mut Mounted) -> T) -> io::Result<T> {
    let mut disks = DISKS.lock().unwrap();
    let root = path.ancestors().find(|folder| disks.contains_key(*folder));
    let root = root.unwrap_or(path).to_owned();
    let mounted = disks.get_mut(&root).map(look);
    mounted.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no disk is there"))
}

struct Layer;

struct Database {
    file: Opened,
    /// As SQLite's own layer does it, the first sync of a new log or journal makes its name last too.
    syncs_folder: bool,
    member: Member,
}

impl Vfs for Layer {
    type Handle = Database;

    fn open(&self, path: &str, options: OpenOptions) -> io::Result<Database> {
        let path = Path::new(path);
        let disk = disk_of(path)?;
        let may_create = matches!(options.access, OpenAccess::Create | OpenAccess::CreateNew);
        let is_new = !disk.contains(path);
        let member = mounted(path, |mounted| {
            let shared = mounted.shared.entry(path.to_owned()).or_default();
            shared.join()
        })?;
        Ok(Database {
            file: disk.open_or_create(path, may_create)?,
            syncs_folder: is_new && matches!(options.kind, OpenKind::Wal | OpenKind::MainJournal),
            member,
        })
    }

    fn delete(&self, path: &str) -> io::Result<()> {
        use everwarm_store::embedded::disk::Disk as _;
        let path = Path::new(path);
        disk_of(path)?.remove_file(path)
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        let path = Path::new(path);
        Ok(disk_of(path)?.contains(path))
    }

    fn temporary_name(&self) -> String {
        unreachable!("the store needs no temporary files")
    }

    fn random(&self, buffer: &mut [i8]) {
        buffer.fill(7);
    }

    fn sleep(&self, duration: Duration) -> Duration {
        std::thread::sleep(duration);
        duration
    }
}

impl DatabaseHandle for Database {
    type WalIndex = Index;

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.len() as u64)
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.file.read_at(buffer, place(offset));
        if read < buffer.len() {
            buffer[read..].fill(0);
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, place(offset))
    }

    fn sync(&mut self, _data_only: bool) -> io::Result<()> {
        self.file.sync_bytes()?;
        if self.syncs_folder {
            self.file.sync_folder()?;
            self.syncs_folder = false;
        }
        Ok(())
    }

    fn set_len(&mut self, size: u64) -> io::Result<()> {
        self.file.set_length(place(size))
    }

    fn lock(&mut self, lock: LockKind) -> io::Result<bool> {
        Ok(self.member.lock(lock))
    }

    fn reserved(&mut self) -> io::Result<bool> {
        Ok(self.member.is_reserved())
    }

    fn current_lock(&self) -> io::Result<LockKind> {
        Ok(self.member.lock)
    }

    fn wal_index(&self, _readonly: bool) -> io::Result<Index> {
        Ok(self.member.index())
    }
}
