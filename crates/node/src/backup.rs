//! Backups of a running node, and the way back.
//!
//! Owns how long a backup may stand still: as long as it is taken, nothing is collected. What is in it is the store's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use everwarm_store::embedded::backup::{BackupError, RestoreError, Restored, check};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::node::Node;

/// Pieces that wait to be taken.
const PIECES_WAITING_MAX: usize = 4;
/// How long one may wait.
const PIECE_TIME_MAX: Duration = Duration::from_mins(1);

/// A backup that is being made, for as long as this value lives.
#[derive(Debug)]
pub struct Backup {
    pieces: mpsc::Receiver<Bytes>,
    work: JoinHandle<Result<(), BackupError>>,
}

impl Node {
    /// Begins a backup of all that the node keeps.
    pub fn back_up(self: &Arc<Self>) -> Backup {
        let (taken, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        let node = Arc::clone(self);
        let work = tokio::spawn(async move {
            if let Err(error) = node.flush_usage().await {
                return Err(BackupError::Failed {
                    doing: "store what was used until now",
                    source: Box::new(error),
                });
            }
            let (given, mut made) = mpsc::channel(1);
            let forward = async {
                while let Some(piece) = made.recv().await {
                    let sent = timeout(PIECE_TIME_MAX, taken.send(piece)).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        break;
                    }
                }
                // After a break it tells the store that nobody wants more.
                drop(made);
            };
            let (backed_up, ()) = tokio::join!(node.store.back_up(given), forward);
            backed_up
        });
        Backup { pieces, work }
    }
}

impl Backup {
    /// The next piece; `None` when that was all.
    ///
    /// # Errors
    ///
    /// [`BackupError`]: what came until now is no backup.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, BackupError> {
        if let Some(piece) = self.pieces.recv().await {
            return Ok(Some(piece));
        }
        let done = (&mut self.work).await;
        done.unwrap_or_else(|error| {
            Err(BackupError::Failed {
                doing: "make a backup",
                source: Box::new(error),
            })
        })
        .map(|()| None)
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Restores a backup into a data folder that is empty or not there yet. Blocks on the disk.
///
/// # Errors
///
/// [`RestoreError`]; no node starts on the folder then.
pub fn restore(archive: impl std::io::Read, data_dir: &Path) -> Result<Restored, RestoreError> {
    everwarm_store::embedded::backup::restore(archive, data_dir)
}
