//! The write-ahead log of such a file: when it is written back, and room ahead of it.
//!
//! Owns that a commit writes where the log's file has bytes already. Where it hasn't, the file grows by the commit, and its sync
//! waits for the file system's own journal besides the data: that takes more than twice as long. Once the log was as long as it gets,
//! it begins anew at its start; until then zeros are written ahead of it between two commits. SQLite finds the end of a log by
//! what isn't a frame of it any more ([WAL format], "the checksum algorithm"): zeros aren't.
//!
//! [WAL format]: https://www.sqlite.org/fileformat2.html#the_write_ahead_log

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::super::disk::{Disk, GrowingFile, Medium};

/// Pages of the log after which it is written back into the file: 16 MiB.
const LOG_PAGES: u64 = 4_096;
/// Bytes that the log's file has beyond the log at least, but for a commit that takes more.
const AHEAD_MIN: u64 = 512 << 10;
/// Bytes that are written ahead at once.
const AHEAD: usize = 1 << 20;
/// How long nothing is written ahead once it couldn't be.
const PAUSE: Duration = Duration::from_mins(1);
/// Bytes of the log's head, and of the head of each page in it.
const HEAD_BYTES: u64 = 32;
const FRAME_HEAD_BYTES: u64 = 24;

/// See the module's documentation. The writer's: nobody else writes the log.
#[derive(Debug)]
pub(super) struct Log {
    /// Pages of the log after the last commit.
    pages: Arc<AtomicU64>,
    frame_bytes: u64,
    /// Whether it could be written back when that was last tried.
    is_written_back: bool,
    /// `None` where commits don't wait for the disk.
    ahead: Option<Ahead>,
}

#[derive(Debug)]
struct Ahead {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// The log's file, once there is one.
    file: Option<Box<dyn GrowingFile>>,
    length: u64,
    paused_until: Option<Instant>,
}

impl Log {
    /// Of the connection that writes a file at `path`.
    pub(super) fn of(
        connection: &mut Connection,
        path: &Path,
        medium: &Medium,
    ) -> rusqlite::Result<Self> {
        let pages: Arc<AtomicU64> = Arc::default();
        let page_bytes = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let page_bytes: i64 = page_bytes;
        let counted = Arc::clone(&pages);
        // In place of SQLite's own, which writes the log back before a commit is acknowledged.
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            counted.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let ahead = medium.synchronous.then(|| {
            let mut log = path.as_os_str().to_owned();
            log.push("-wal");
            Ahead {
                disk: Arc::clone(&medium.disk),
                path: log.into(),
                file: None,
                length: 0,
                paused_until: None,
            }
        });
        Ok(Self {
            pages,
            frame_bytes: page_bytes.unsigned_abs() + FRAME_HEAD_BYTES,
            is_written_back: true,
            ahead,
        })
    }

    /// Between two commits.
    pub(super) fn tend(&mut self, connection: &Connection, name: &str) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages >= LOG_PAGES {
            // What readers still need stays, and is tried again after the next commit.
            let written = connection.pragma_query(None, "wal_checkpoint", |_| Ok(()));
            // Said once, however many commits come until it is over.
            let was = std::mem::replace(&mut self.is_written_back, written.is_ok());
            if let Err(error) = written
                && was
            {
                tracing::warn!(%error, "the {name}'s log can't be written back, and grows until it can: see that its disk has room and no errors");
            }
            return;
        }
        let end = HEAD_BYTES + pages * self.frame_bytes;
        let Some(ahead) = &mut self.ahead else { return };
        if pages == 0 || ahead.length >= end + AHEAD_MIN {
            return;
        }
        if let Err(error) = ahead.grow_unless_paused(end) {
            tracing::debug!(%error, "the {name}'s log has no room ahead of it: commits take longer");
        }
    }
}

impl Ahead {
    /// Grows, but not for a while once it couldn't: each try takes from what commits need.
    fn grow_unless_paused(&mut self, end: u64) -> io::Result<()> {
        if self
            .paused_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Ok(());
        }
        let grown = self.grow(end);
        self.paused_until = grown.is_err().then(|| Instant::now() + PAUSE);
        grown
    }

    /// Writes zeros behind what the file has.
    fn grow(&mut self, end: u64) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.disk.open_to_grow(&self.path)?),
        };
        let from = file.length()?;
        self.length = from;
        if from >= end + AHEAD_MIN {
            return Ok(());
        }
        let grown = file.write_zeros(from, AHEAD).and_then(|()| file.sync());
        match grown {
            Ok(()) => self.length = from + AHEAD as u64,
            // The commits need what is left of the disk.
            Err(_) => file.cut(from)?,
        }
        grown
    }
}
