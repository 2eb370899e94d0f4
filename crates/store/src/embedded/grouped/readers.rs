//! Connections that read beside the writer.
//!
//! Owns that a reader waits for no writer and, as long as there are enough of them, for no other reader: each thread
//! begins at a place of its own and takes the first connection that is free. Knows no SQL.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread::available_parallelism;

use rusqlite::Connection;

use super::super::OpenError;
use super::super::database::{connect, failed};

/// Each has two file descriptors, and 2 MiB of pages at most.
const READERS_MAX: usize = 8;
/// Statements that a connection keeps.
pub(super) const STATEMENTS_MAX: usize = 32;

/// Connections that only read.
#[derive(Debug)]
pub(super) struct Readers(Vec<Mutex<Connection>>);

impl Readers {
    /// Opens them on a file that has its tables: one for each core.
    pub(super) fn open(path: &Path, vfs: &str) -> Result<Self, OpenError> {
        let count = available_parallelism().map_or(1, usize::from);
        let readers = (0..count.min(READERS_MAX)).map(|_| open(path, vfs).map(Mutex::new));
        readers.collect::<Result<_, _>>().map(Self)
    }

    /// Reads. Blocks while all connections are taken.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        let first = place() % self.0.len();
        for reader in self.0[first..].iter().chain(&self.0[..first]) {
            match reader.try_lock() {
                Ok(connection) => return read(&connection),
                // Reading leaves nothing half-done.
                Err(TryLockError::Poisoned(poisoned)) => return read(&poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let reader = self.0[first].lock();
        read(&reader.unwrap_or_else(PoisonError::into_inner))
    }
}

/// One more connection that only reads.
pub(super) fn open(path: &Path, vfs: &str) -> Result<Connection, OpenError> {
    // Opened for writing all the same: SQLite takes another kind of lock for a file that is opened for reading only.
    let connection = connect(path, Some(vfs))?;
    connection
        .pragma_update(None, "query_only", true)
        .and_then(|()| connection.pragma_update(None, "trusted_schema", false))
        .map_err(failed("configure the database", path))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Where a thread begins: threads count up.
fn place() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    PLACE.with(|place| *place)
}
