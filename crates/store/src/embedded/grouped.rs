//! Small data of all apps in one SQLite file: one writer that commits in groups, and readers beside it.
//!
//! Owns the file, its connections, and how calls reach them. What is kept in it is its owner's ([`Data`]): key-value
//! data (`kv`), messages of queues and schedules (`queue`).
//!
//! # One file, and not the catalog's
//!
//! What is here isn't in the catalog, for a deploy shouldn't wait for functions that write, nor they for it: each file
//! has its own lock, log and syncs. It isn't a file for each app either:
//!
//! - Writes that come together share one sync, whosever they are. With a file each, 64 apps would wait for 64 syncs.
//! - File descriptors are bounded by the cores, not by the apps.
//! - A backup copies it in one go, and a schema is brought up to date once.
//!
//! What a file each would give comes otherwise. Quotas count in a row of each app's. An app that is removed loses its
//! name at once and what it had sweep by sweep. A neighbour who writes much is bounded by what may wait
//! (`WAITING_KIB_MAX`) and by what one transaction takes; places are given in the order in which they were asked for.
//! The file doesn't shrink: what is removed makes room for what comes, and a backup has none of it.
//!
//! # Reads
//!
//! In WAL mode readers see what is committed, and neither wait for the writer nor hold it up. They run on the caller's
//! thread: to hand a read of microseconds to another thread costs more than the read. SQLite's `unix-excl` layer keeps
//! the log's index in this process's memory, shared by its connections, so that a read takes no lock of the kernel's,
//! and keeps other processes out, as the catalog's lock does.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use rusqlite::{Connection, ErrorCode, InterruptHandle};
use tokio::sync::{Semaphore, oneshot};

use super::backup::BackupError;
use super::commits::{Committing, rolled_back};
use super::database::{self, Tables};
use super::disk::{Disk as _, LocalDisk, Medium, remove_if_there};
use super::worker::{Lost, Worker};
use super::{EngineError, OpenError};

mod apps;
mod log;
mod readers;

use log::Log;
use readers::{Readers, STATEMENTS_MAX};

/// SQLite's layer whose locks and index are the process's own.
const LAYER: &str = "unix-excl";
/// Kibibytes of writes that may wait or be in one transaction; callers beyond that wait to hand theirs in.
const WAITING_KIB_MAX: usize = 32 << 10;

/// What is in such a file.
pub(super) trait Data: Send + 'static {
    /// What the log calls it.
    const NAME: &'static str;
    /// What is being attempted, as errors say it.
    const WORDS: Words;
    /// The writer's thread.
    const THREAD: &'static str;
    /// The thread that copies the file.
    const COPY_THREAD: &'static str;
    /// Its tables.
    const TABLES: &'static Tables;
    /// The port's error.
    type Error: Fails;

    /// Brings what is kept to where a process begins. Nobody reads or writes it yet.
    fn begin(_writer: &mut Connection) -> rusqlite::Result<()> {
        Ok(())
    }
}

/// "The store failed to ...".
pub(super) struct Words {
    pub(super) read: &'static str,
    pub(super) change: &'static str,
    pub(super) copy: &'static str,
}

/// A port's error, as far as SQLite may be at fault.
pub(super) trait Fails: Sized + Send + 'static {
    fn disk_full() -> Self;
    fn damaged(reason: String) -> Self;
    fn failed(doing: &'static str, source: EngineError) -> Self;
    /// What of it the disk is to blame for.
    fn fault(&self) -> Option<Fault>;
}

/// [`Fails`] of a port's error: each has the same three variants for it, with its own words.
macro_rules! fails {
    ($error:ty) => {
        impl $crate::embedded::grouped::Fails for $error {
            fn disk_full() -> Self {
                Self::DiskFull
            }

            fn damaged(reason: String) -> Self {
                Self::Damaged { reason }
            }

            fn failed(doing: &'static str, source: $crate::embedded::EngineError) -> Self {
                Self::Failed { doing, source }
            }

            fn fault(&self) -> Option<$crate::embedded::grouped::Fault> {
                use $crate::embedded::grouped::Fault;
                match self {
                    Self::DiskFull => Some(Fault::Full),
                    Self::Damaged { .. } => Some(Fault::Damaged),
                    _ => None,
                }
            }
        }
    };
}

pub(super) use fails;

/// Why SQLite may have undone more than one job.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Full,
    Damaged,
}

/// One such file.
#[derive(Debug)]
pub(super) struct Grouped<D> {
    // The order matters: the last connection that is closed writes the log back, and that is the writer's.
    /// Those that read; `None` when the store was let go.
    readers: RwLock<Option<Readers>>,
    copying: Mutex<Option<Copying>>,
    writer: Worker<Writer<D>>,
    room: Arc<Semaphore>,
    path: PathBuf,
    medium: Medium,
}

/// The thread that copies the file for a backup.
struct Copying {
    interrupt: InterruptHandle,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for Copying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Copying")
    }
}

/// The connection that writes.
#[derive(Debug)]
struct Writer<D> {
    connection: Connection,
    log: Log,
    /// What the last job heard from the disk.
    fault: Option<Fault>,
    data: PhantomData<D>,
}

impl<D: Data> Committing for Writer<D> {
    const NAME: &'static str = D::NAME;

    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn rest(&mut self) {
        self.log.tend(&self.connection, D::NAME);
    }

    fn why_rolled_back(&self) -> rusqlite::Error {
        let code = match self.fault {
            Some(Fault::Full) => rusqlite::ffi::SQLITE_FULL,
            Some(Fault::Damaged) => rusqlite::ffi::SQLITE_CORRUPT,
            None => return rolled_back(),
        };
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }
}

impl<D: Data> Grouped<D> {
    pub(super) fn open(path: PathBuf, medium: Medium) -> Result<Self, OpenError> {
        Self::open_with(path, medium, |_| Ok(())).map(|(opened, ())| opened)
    }

    /// Opens it, and does something with it before anybody else does. Blocks on the disk.
    pub(super) fn open_with<T>(
        path: PathBuf,
        medium: Medium,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<(Self, T), OpenError> {
        let (mut writer, readers) = connect::<D>(&path, &medium)?;
        let done = job(&mut writer.connection);
        let done = done.map_err(database::failed("prepare the database", &path))?;
        let start = OpenError::io("start a thread for the store in", &path);
        let opened = Self {
            writer: Worker::spawn(D::THREAD, writer).map_err(start)?,
            readers: RwLock::new(Some(readers)),
            copying: Mutex::default(),
            room: Arc::new(Semaphore::new(WAITING_KIB_MAX)),
            path,
            medium,
        };
        Ok((opened, done))
    }

    /// Opens the file again that was closed.
    pub(super) fn start(&self) -> Result<(), OpenError> {
        let (writer, readers) = connect(&self.path, &self.medium)?;
        let start = OpenError::io("start a thread for the store in", &self.path);
        self.writer.start(writer).map_err(start)?;
        self.set_readers(Some(readers));
        Ok(())
    }

    /// Reads, on the caller's thread.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, D::Error>,
    ) -> Result<T, D::Error> {
        let readers = self.readers.read().unwrap_or_else(PoisonError::into_inner);
        match &*readers {
            Some(readers) => readers.with(read),
            None => Err(D::Error::failed(D::WORDS.read, Box::new(Lost::Stopped))),
        }
    }

    /// Changes something, together with others who want to: `bytes` is what the job holds in memory.
    pub(super) async fn write<T, F>(&self, bytes: usize, job: F) -> Result<T, D::Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, D::Error> + Send + 'static,
    {
        let doing = D::WORDS.change;
        let kib = u32::try_from(bytes / 1_024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await;
        let room = room.map_err(|error| D::Error::failed(doing, Box::new(error)))?;
        let done = self.writer.run(move |writer: &mut Writer<D>| {
            let done = job(&mut writer.connection);
            writer.fault = done.as_ref().err().and_then(Fails::fault);
            // The job's bytes are gone.
            drop(room);
            done
        });
        done.await
            .unwrap_or_else(|lost| Err(lost_error(doing, lost)))
    }

    /// Copies the file into another one. Writes go on meanwhile, and are in the copy or not; the log only grows until
    /// the copy is there.
    pub(super) async fn copy(&self, to: &Path) -> Result<(), BackupError> {
        let failed = |source: EngineError| BackupError::Failed {
            doing: D::WORDS.copy,
            source,
        };
        // One whose receiver left would write on.
        self.end_copy();
        let to = to.to_owned();
        let connection = readers::open(&self.path, layer(&self.medium))
            .map_err(|error| failed(Box::new(error)))?;
        let interrupt = connection.get_interrupt_handle();
        let (answer, answered) = oneshot::channel();
        let spawned = std::thread::Builder::new()
            .name(D::COPY_THREAD.to_owned())
            .spawn(move || {
                let copied = copy(&connection, &to);
                // Before the answer: then the file may be let go.
                drop(connection);
                // Whoever wanted it may have left.
                let _ = answer.send(copied);
            });
        let thread = spawned.map_err(|error| failed(Box::new(error)))?;
        *self.copying() = Some(Copying { interrupt, thread });
        let copied = answered.await;
        let copied = copied.unwrap_or_else(|_| Err("its thread has panicked".into()));
        copied.map_err(failed)
    }
}

impl<D> Grouped<D> {
    /// Finishes what it was asked for, and closes the file.
    pub(super) fn stop(&self) {
        self.set_readers(None);
        self.end_copy();
        self.writer.stop();
    }

    fn set_readers(&self, readers: Option<Readers>) {
        // Nothing under the lock leaves anything half-done.
        *self.readers.write().unwrap_or_else(PoisonError::into_inner) = readers;
    }

    fn end_copy(&self) {
        let copying = self.copying().take();
        if let Some(Copying { interrupt, thread }) = copying {
            interrupt.interrupt();
            if thread.join().is_err() {
                tracing::error!("a thread of the store had panicked");
            }
        }
    }

    fn copying(&self) -> MutexGuard<'_, Option<Copying>> {
        // Nothing that can panic runs under the lock.
        self.copying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D> Drop for Grouped<D> {
    fn drop(&mut self) {
        self.stop();
    }
}

fn layer(medium: &Medium) -> &str {
    medium.vfs.as_deref().unwrap_or(LAYER)
}

fn connect<D: Data>(path: &Path, medium: &Medium) -> Result<(Writer<D>, Readers), OpenError> {
    let layer = layer(medium);
    let mut connection = database::open(path, medium, Some(layer), D::TABLES, |_| Ok(()))?;
    // What a change may have to undo is bounded by what a batch may have: no file for it.
    let configured = connection.pragma_update(None, "temp_store", "MEMORY");
    let log = configured.and_then(|()| Log::of(&mut connection, path, medium));
    let log = log.map_err(database::failed("configure the database", path))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    D::begin(&mut connection).map_err(database::failed("begin to use the database", path))?;
    let readers = Readers::open(path, layer)?;
    let writer = Writer {
        connection,
        log,
        fault: None,
        data: PhantomData,
    };
    Ok((writer, readers))
}

fn copy(connection: &Connection, to: &Path) -> Result<(), EngineError> {
    remove_if_there(&LocalDisk, to)?;
    let text = to
        .to_str()
        .ok_or("the data folder's path isn't UTF-8, which SQLite needs here")?;
    // The folder may be open to others; the file isn't.
    LocalDisk.create(to)?;
    // The copy is another file: writing it is no change of this one.
    connection.pragma_update(None, "query_only", false)?;
    connection.execute("VACUUM INTO ?1", [text])?;
    Ok(())
}

/// Makes the error of what SQLite couldn't do.
pub(super) fn failed<E: Fails>(doing: &'static str) -> impl Fn(rusqlite::Error) -> E {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => E::disk_full(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(&error),
        _ => E::failed(doing, Box::new(error)),
    }
}

pub(super) fn damaged<E: Fails>(reason: &dyn std::fmt::Display) -> E {
    E::damaged(reason.to_string())
}

/// Makes the error of a job that wasn't kept.
fn lost_error<E: Fails>(doing: &'static str, lost: Lost) -> E {
    let code = match &lost {
        Lost::NotCommitted(error) => error
            .downcast_ref::<rusqlite::Error>()
            .and_then(rusqlite::Error::sqlite_error_code),
        Lost::Stopped => None,
    };
    match code {
        Some(ErrorCode::DiskFull) => E::disk_full(),
        Some(ErrorCode::DatabaseCorrupt) => damaged(&lost),
        _ => E::failed(doing, Box::new(lost)),
    }
}

/// Into SQL, where numbers have a sign.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Back from SQL, where nothing that is counted is negative.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
