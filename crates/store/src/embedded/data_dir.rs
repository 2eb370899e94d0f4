//! The node's folder: what lies where in it, and that one process at a time uses it.
//!
//! Owns the lock and the layout. Knows nothing of what the files hold.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::OpenError;
use super::disk::{LocalDisk, make_dirs};

/// How long a process that ends may take to let the folder go.
const LET_GO_TIME_MAX: Duration = Duration::from_secs(1);
/// How long what is left of a process that was killed may take: on its way to another program a child of its still has
/// the lock, and children that compile are the last to get a busy CPU.
const REMAINS_TIME_MAX: Duration = Duration::from_secs(15);
/// How often the lock is tried meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// A process id has at most this many digits on the systems we run on.
const PID_DIGITS_MAX: u64 = 20;

/// The node's folder, locked for as long as this value lives, unless it is let go before.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    /// The kernel drops the lock when the process ends, however it ends.
    lock: Mutex<Option<File>>,
}

impl DataDir {
    /// Makes the folder if it isn't there, and locks it.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] when another process holds the lock, [`OpenError::Io`] when the folder
    /// can't be made or written to.
    pub fn lock(root: &Path) -> Result<Self, OpenError> {
        make_dirs(&LocalDisk, root).map_err(OpenError::io("make the folder", root))?;
        let lock = take_lock(root)?;
        Ok(Self {
            root: root.to_owned(),
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Lets another process have the folder.
    pub(super) fn let_go(&self) {
        *self.held() = None;
    }

    /// Locks the folder again after it was let go.
    pub(super) fn lock_again(&self) -> Result<(), OpenError> {
        let lock = take_lock(&self.root)?;
        *self.held() = Some(lock);
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Option<File>> {
        // Nothing that can panic runs under the lock.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The SQLite file of the catalog.
    pub fn catalog(&self) -> PathBuf {
        self.root.join("catalog.sqlite")
    }

    /// The SQLite file of key-value data.
    pub fn kv(&self) -> PathBuf {
        self.root.join("kv.sqlite")
    }

    /// The SQLite file of queues and schedules.
    pub fn queue(&self) -> PathBuf {
        self.root.join("queue.sqlite")
    }

    /// The folder of SQL databases.
    pub fn sql(&self) -> PathBuf {
        self.root.join("sql")
    }

    /// The SQLite file of the index of blobs.
    pub fn blob_index(&self) -> PathBuf {
        self.root.join("blobs.sqlite")
    }

    /// The folder of blobs.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Where parts of blobs are until a bucket has them.
    pub fn blob_parts(&self) -> PathBuf {
        self.root.join("blob-parts")
    }

    /// The folder of components.
    pub fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// A folder for compiled artifacts: the engine's, and a cache that may be deleted.
    pub fn compiled(&self) -> PathBuf {
        self.root.join("compiled")
    }

    /// The file of the keys that secrets are sealed with, where the node made them itself.
    pub fn secrets_key(&self) -> PathBuf {
        self.root.join("secrets.key")
    }

    /// The file of the node's key.
    pub fn node_key(&self) -> PathBuf {
        self.root.join("node.key")
    }
}

fn take_lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join("lock");
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(OpenError::io("open the lock file", &path))?;
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&mut lock);
                let patience = match holder {
                    Some(process) if is_gone(process) => REMAINS_TIME_MAX,
                    _ => LET_GO_TIME_MAX,
                };
                if started.elapsed() >= patience {
                    return Err(OpenError::InUse {
                        dir: root.to_owned(),
                        holder,
                    });
                }
                std::thread::sleep(LOOK_AGAIN);
            }
            Err(TryLockError::Error(source)) => {
                return Err(OpenError::io("lock", &path)(source));
            }
        }
    }
    write_holder(&mut lock, std::process::id())
        .map_err(OpenError::io("write to the lock file", &path))?;
    Ok(lock)
}

/// Who has the lock or had it, for the message and for how long it is waited for: the lock is the kernel's, not the number.
fn read_holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.take(PID_DIGITS_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn is_gone(process: u32) -> bool {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    id.is_some_and(|id| test_kill_process(id) == Err(Errno::SRCH))
}

fn write_holder(lock: &mut File, process: u32) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{process}")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Locks a folder as a process that isn't there any more, and hands the lock to a program that runs for so long.
    fn left_to(root: &Path, seconds: &str) -> std::process::Child {
        let mut dead = Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        let mut lock = take_lock(root).unwrap();
        write_holder(&mut lock, dead.id()).unwrap();
        let mut heir = Command::new("sleep");
        heir.arg(seconds).stdin(Stdio::from(lock));
        heir.spawn().unwrap()
    }

    #[test]
    fn what_is_left_of_a_killed_process_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let mut heir = left_to(root.path(), "1.5");
        let locked = DataDir::lock(root.path());
        assert!(locked.is_ok(), "{locked:?}");
        heir.wait().unwrap();
    }

    #[test]
    fn process_that_is_there_has_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let _held = DataDir::lock(root.path()).unwrap();
        let refused = DataDir::lock(root.path()).unwrap_err();
        let OpenError::InUse { holder, .. } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(holder, Some(std::process::id()));
    }
}
