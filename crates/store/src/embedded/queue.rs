//! Messages of queues and schedules in SQLite.
//!
//! Owns what their file ([`Grouped`]) is called in errors, and that no two leases have the same receipt. What is read
//! and written is in `read`, `write`, `lease`, `books` and `sweep`, the port in `port`.
//!
//! A lease is written as all else is: how often a message was tried is known even if the process didn't survive trying.
//! That somebody has it isn't: a process begins with none leased.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::Semaphore;

use super::OpenError;
use super::backup::BackupError;
use super::database::Tables;
use super::disk::Medium;
use super::grouped::{Data, Grouped, Words, fails};
use crate::triggers::TriggerError;

mod books;
mod lease;
mod port;
mod read;
mod sweep;
mod tables;
mod write;

pub(super) use tables::TABLES;

/// Kibibytes of leased messages that wait for their callers; beyond that a lease has one message.
const ANSWERS_KIB_MAX: usize = 32 << 10;
/// Bits of the first receipt, which is chosen by chance: one of an earlier process is none of this one's.
const FIRST_RECEIPT_BITS: u32 = 62;

/// The engine of queues and schedules.
#[derive(Debug)]
pub(super) struct Queue {
    file: Grouped<Messages>,
    /// The next one. Goes on when the file is opened again.
    receipts: AtomicU64,
    answers: Arc<Semaphore>,
}

impl Queue {
    pub(super) fn open(path: PathBuf, medium: Medium) -> Result<Self, OpenError> {
        let mut first = [0; 8];
        getrandom::fill(&mut first)
            .map_err(|error| io::Error::other(error.to_string()))
            .map_err(OpenError::io("get random bytes for", &path))?;
        let first = u64::from_ne_bytes(first) >> (u64::BITS - FIRST_RECEIPT_BITS);
        Ok(Self {
            file: Grouped::open(path, medium)?,
            receipts: AtomicU64::new(first),
            answers: Arc::new(Semaphore::new(ANSWERS_KIB_MAX)),
        })
    }

    /// Finishes what it was asked for, and closes the file.
    pub(super) fn stop(&self) {
        self.file.stop();
    }

    /// Opens the file again that was closed.
    pub(super) fn start(&self) -> Result<(), OpenError> {
        self.file.start()
    }

    /// As [`Grouped::copy`].
    pub(super) async fn copy(&self, to: &Path) -> Result<(), BackupError> {
        self.file.copy(to).await
    }
}

/// What is in the file.
#[derive(Debug)]
struct Messages;

impl Data for Messages {
    const NAME: &'static str = "queues";
    const WORDS: Words = Words {
        read: "read queues",
        change: "change queues",
        copy: "copy its queues",
    };
    const THREAD: &'static str = "store-queue";
    const COPY_THREAD: &'static str = "store-queue-copy";
    const TABLES: &'static Tables = &TABLES;
    type Error = TriggerError;

    fn begin(writer: &mut Connection) -> rusqlite::Result<()> {
        match lease::end_all(writer) {
            // Whoever uses it is told; the rest of the store isn't held up. A lease that isn't ended is over in its time.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                tracing::error!(%error, "the queues are damaged: restore them from a backup");
                Ok(())
            }
            ended => ended,
        }
    }
}

fails!(TriggerError);
