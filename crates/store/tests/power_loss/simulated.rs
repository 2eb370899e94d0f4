//! A disk in memory that forgets, at a power cut, what wasn't synced.
//!
//! Owns what survives: a file's bytes as of its last sync, a folder's names as of its last sync, and of what came after
//! any part, down to single sectors, in any order. That is more than any one file system may lose, so a store that is
//! whole here relies on nothing but what POSIX promises. Knows nothing of SQLite or artifacts.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::disk::{Disk, GrowingFile, Metadata, NewFile};

use super::change::{Chance, Change, File};

/// What of the unsynced survives a power cut.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Survives {
    Nothing,
    Everything,
    /// Each sector and name by chance; the number makes it happen again.
    Some(u64),
}

/// A call of the store's own (SQLite has its own layer) that a faulty disk answers without doing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lies {
    Never,
    AboutArtifacts,
    AboutFolders,
}

#[derive(Debug, Clone)]
pub(crate) struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Debug, Clone)]
struct State {
    root: PathBuf,
    files: Vec<File>,
    names: BTreeMap<PathBuf, Node>,
    /// The names that survive whatever happens.
    synced_names: BTreeMap<PathBuf, Node>,
    /// Changes of names since, in order.
    unsynced_names: Vec<(PathBuf, Option<Node>)>,
    operations: u64,
    /// Syncs of files, which are what a commit waits for.
    syncs: u64,
    /// Bytes that files may have in all.
    capacity: usize,
    power_ends_at: Option<u64>,
    lies: Lies,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

/// Offsets are those of files in this process's memory.
pub(crate) fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("offsets in memory fit")
}

fn no_power() -> io::Error {
    io::Error::other("the power is off")
}

fn not_found(path: &Path) -> io::Error {
    let message = format!("{} isn't there", path.display());
    io::Error::new(io::ErrorKind::NotFound, message)
}

impl SimulatedDisk {
    /// A disk with one empty folder.
    pub(crate) fn new(root: &Path) -> Self {
        let names = BTreeMap::from([(root.to_owned(), Node::Folder)]);
        Self::with(root, Vec::new(), names)
    }

    /// A disk on which all that there is has been synced.
    fn with(root: &Path, files: Vec<File>, names: BTreeMap<PathBuf, Node>) -> Self {
        Self(Arc::new(Mutex::new(State {
            root: root.to_owned(),
            files,
            synced_names: names.clone(),
            names,
            unsynced_names: Vec::new(),
            operations: 0,
            syncs: 0,
            capacity: usize::MAX,
            power_ends_at: None,
            lies: Lies::Never,
        })))
    }

    /// From now on the disk answers some calls without doing them.
    pub(crate) fn lie(&self, lies: Lies) {
        self.state().lies = lies;
    }

    /// Operations that change the disk, until now.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Syncs of files, until now.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Bytes that files have in all.
    pub(crate) fn used(&self) -> usize {
        let state = self.state();
        state.files.iter().map(|file| file.bytes.len()).sum()
    }

    /// From now on files may have so many bytes in all.
    pub(crate) fn set_capacity(&self, bytes: usize) {
        self.state().capacity = bytes;
    }

    /// Lets everybody wait who wants something of the disk, until the guard is dropped.
    pub(crate) fn hold(&self) -> impl Drop {
        Held(self.state())
    }

    /// Lets the power end before that operation: it fails, and all after it.
    pub(crate) fn end_power_at(&self, operation: u64) {
        self.state().power_ends_at = Some(operation);
    }

    /// What is found when the power is back.
    pub(crate) fn after_power_cut(&self, survives: Survives) -> Self {
        let state = self.state();
        let mut chance = Chance(match survives {
            Survives::Some(number) => number,
            Survives::Nothing | Survives::Everything => 0,
        });
        let mut keep = || match survives {
            Survives::Nothing => false,
            Survives::Everything => true,
            Survives::Some(_) => chance.next(),
        };
        let files = state
            .files
            .iter()
            .map(|file| file.after(&mut keep))
            .collect();
        let mut names = state.synced_names.clone();
        for (path, node) in &state.unsynced_names {
            if keep() {
                set(&mut names, path, *node);
            }
        }
        // What is in a folder that is lost can't be reached.
        let all = names.clone();
        names.retain(|path, _| {
            let mut above = path.ancestors().skip(1);
            above.all(|folder| {
                !folder.starts_with(&state.root) || all.get(folder) == Some(&Node::Folder)
            })
        });
        Self::with(&state.root, files, names)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Counts an operation that changes the disk, unless the power is off.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state
            .power_ends_at
            .is_some_and(|end| state.operations >= end)
        {
            return Err(no_power());
        }
        state.operations += 1;
        Ok(state)
    }

    /// Opens a file, or makes it.
    pub(crate) fn open_or_create(&self, path: &Path, may_create: bool) -> io::Result<Opened> {
        if let Some(Node::File(file)) = self.state().names.get(path).copied() {
            return Ok(Opened::new(self, path, file));
        }
        if !may_create {
            return Err(not_found(path));
        }
        let mut state = self.change()?;
        state.files.push(File::default());
        let file = state.files.len() - 1;
        state.name(path, Some(Node::File(file)));
        drop(state);
        Ok(Opened::new(self, path, file))
    }

    /// Whether there is such a file.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        matches!(self.state().names.get(path), Some(Node::File(_)))
    }
}

fn set(names: &mut BTreeMap<PathBuf, Node>, path: &Path, node: Option<Node>) {
    match node {
        Some(node) => names.insert(path.to_owned(), node),
        None => names.remove(path),
    };
}

impl State {
    fn name(&mut self, path: &Path, node: Option<Node>) {
        set(&mut self.names, path, node);
        self.unsynced_names.push((path.to_owned(), node));
    }

    fn sync_names(&mut self, folder: &Path) {
        let (here, elsewhere) = std::mem::take(&mut self.unsynced_names)
            .into_iter()
            .partition(|(path, _)| path.parent() == Some(folder));
        self.unsynced_names = elsewhere;
        let here: Vec<_> = here;
        for (path, node) in here {
            set(&mut self.synced_names, &path, node);
        }
    }
}

/// Keeps the disk from working.
struct Held<'a>(#[expect(dead_code, reason = "held, not read")] MutexGuard<'a, State>);

impl Drop for Held<'_> {
    fn drop(&mut self) {}
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Opened {
    disk: SimulatedDisk,
    path: PathBuf,
    file: usize,
    written: usize,
}

impl Opened {
    fn new(disk: &SimulatedDisk, path: &Path, file: usize) -> Self {
        Self {
            disk: disk.clone(),
            path: path.to_owned(),
            file,
            written: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.disk.state().files[self.file].bytes.len()
    }

    /// Reads as much as there is.
    pub(crate) fn read_at(&self, buffer: &mut [u8], at: usize) -> usize {
        let state = self.disk.state();
        let bytes = &state.files[self.file].bytes;
        let there = bytes.get(at..).unwrap_or_default();
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        count
    }

    fn apply(&self, change: Change) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let used: usize = state.files.iter().map(|file| file.bytes.len()).sum();
        let capacity = state.capacity;
        let file = &mut state.files[self.file];
        if used - file.bytes.len() + change.end().max(file.bytes.len()) > capacity {
            // What the layer takes as "the disk is full".
            return Err(io::ErrorKind::WriteZero.into());
        }
        file.change(change);
        Ok(())
    }

    pub(crate) fn write_at(&self, bytes: &[u8], at: usize) -> io::Result<()> {
        self.apply(Change::Write {
            at,
            bytes: bytes.to_vec(),
        })
    }

    pub(crate) fn set_length(&self, length: usize) -> io::Result<()> {
        self.apply(Change::Length(length))
    }

    pub(crate) fn sync_bytes(&self) -> io::Result<()> {
        let mut state = self.disk.change()?;
        state.syncs += 1;
        state.files[self.file].sync();
        Ok(())
    }

    /// Syncs the folder that the file is in.
    pub(crate) fn sync_folder(&self) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        self.disk.change()?.sync_names(folder);
        Ok(())
    }
}

impl Write for Opened {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_at(bytes, self.written)?;
        self.written += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for Opened {
    fn sync(&mut self) -> io::Result<()> {
        if self.disk.state().lies == Lies::AboutArtifacts {
            return Ok(());
        }
        self.sync_bytes()
    }
}

impl GrowingFile for Opened {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn write_zeros(&mut self, from: u64, count: usize) -> io::Result<()> {
        self.write_at(&vec![0; count], place(from))
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_length(place(length))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_bytes()
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        if self.state().names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Box::new(self.open_or_create(path, true)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let opened = self.open_or_create(path, false)?;
        let bytes = self.state().files[opened.file].bytes.clone();
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn open_to_grow(&self, path: &Path) -> io::Result<Box<dyn GrowingFile>> {
        Ok(Box::new(self.open_or_create(path, false)?))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let state = self.state();
        let node = state.names.get(path).ok_or_else(|| not_found(path))?;
        Ok(Metadata {
            len: match node {
                Node::Folder => 0,
                Node::File(file) => state.files[*file].bytes.len() as u64,
            },
            is_dir: *node == Node::Folder,
            modified: UnixMillis(1),
            mode: 0o600,
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let node = *state.names.get(from).ok_or_else(|| not_found(from))?;
        // Two folders: either may be written first.
        state.name(to, Some(node));
        state.name(from, None);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if !self.contains(path) {
            return Err(not_found(path));
        }
        self.change()?.name(path, None);
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if self.state().names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change()?.name(path, Some(Node::Folder));
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        if !self.list(path)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.change()?.name(path, None);
        Ok(())
    }

    fn room(&self, _folder: &Path) -> io::Result<u64> {
        let used = self.used();
        let room = self.state().capacity.saturating_sub(used);
        Ok(u64::try_from(room).expect("a capacity in memory fits"))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.state();
        match state.names.get(folder) {
            Some(Node::Folder) => Ok(state
                .names
                .keys()
                .filter(|path| path.parent() == Some(folder))
                .cloned()
                .collect()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(not_found(folder)),
        }
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        if self.state().lies == Lies::AboutFolders {
            return Ok(());
        }
        self.change()?.sync_names(folder);
        Ok(())
    }
}
