//! Giving room back: files of removed apps, and files that no blob is in.
//!
//! Owns that no file goes that somebody needs: one that is being written, one that the index has, or any while a backup is
//! under way. A walk over all folders finds those that are nobody's: one at each start, and one whenever a file couldn't
//! go at once, or nobody heard whose it is: whoever asked the index has left.

use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use super::Inner;
use super::files::failed;
use super::flights::Flight;
use super::{index, look};
use crate::blobs::{BlobError, SWEEP_MAX};

/// Where the walk over all folders is.
#[derive(Debug)]
pub(super) struct Walk {
    is_due: bool,
    /// Files of which nobody has heard whose they are. They hold their places among uploads, so they aren't many.
    unheard: Vec<Flight>,
    folders: Vec<PathBuf>,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            is_due: true,
            unheard: Vec::new(),
            folders: Vec::new(),
        }
    }
}

/// A change of the index that may leave a file to nobody. Dropped before it was heard of, it has a walk look for it.
pub(super) struct Unheard<'a> {
    inner: &'a Inner,
    is_heard: bool,
}

impl<'a> Unheard<'a> {
    pub(super) fn new(inner: &'a Inner) -> Self {
        Self {
            inner,
            is_heard: false,
        }
    }

    pub(super) fn hear(mut self) {
        self.is_heard = true;
    }
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if !self.is_heard {
            self.inner.walk_again();
        }
    }
}

impl Inner {
    fn walk(&self) -> MutexGuard<'_, Walk> {
        // Nothing that can panic runs under the lock.
        self.walk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn walk_again(&self) {
        self.walk().is_due = true;
    }

    /// As [`Self::walk_again`]; until then the file counts as one that is being written.
    pub(super) fn walk_when_heard(&self, flight: Flight) {
        let mut walk = self.walk();
        walk.is_due = true;
        walk.unheard.push(flight);
    }

    /// Says whether there may be more.
    pub(super) async fn sweep(self: &Arc<Self>) -> Result<bool, BlobError> {
        if self.is_backed_up() {
            return Ok(false);
        }
        let removed = self
            .index
            .read(|connection| look::removed(connection, SWEEP_MAX))?;
        // One that began before that has what was removed since.
        if let Some(removed) = removed.filter(|_| !self.is_backed_up()) {
            self.sweep_removed(removed).await?;
            return Ok(true);
        }
        let next = self.walk().folders.pop();
        let Some(folder) = next else {
            return self.begin_walk().await;
        };
        let inner = Arc::clone(self);
        let looked = self.on_disk("look for files that are nobody's", move || {
            inner.look_into(&folder)
        });
        let looked = looked.await;
        // What was in the folder, and below it, is looked for again.
        looked.map(|()| true).inspect_err(|_| self.walk_again())
    }

    async fn begin_walk(&self) -> Result<bool, BlobError> {
        let unheard = {
            let mut walk = self.walk();
            if !walk.is_due {
                return Ok(false);
            }
            walk.is_due = false;
            std::mem::take(&mut walk.unheard)
        };
        // The writer does one after another: what it was asked before is in the index by then, or never will be.
        let done = self.index.write(0, |_| Ok(())).await;
        let mut walk = self.walk();
        if let Err(error) = done {
            walk.is_due = true;
            walk.unheard.extend(unheard);
            return Err(error);
        }
        walk.folders.push(self.files.root().to_owned());
        Ok(true)
    }

    async fn sweep_removed(&self, removed: look::RemovedFiles) -> Result<(), BlobError> {
        let look::RemovedFiles {
            app,
            tenant,
            name,
            files: names,
        } = removed;
        let (files, gone) = (self.files.clone(), names.clone());
        let removing = self.on_disk("remove blobs", move || {
            let remove = || -> std::io::Result<()> {
                for file in &gone {
                    files.remove(&files.path(&tenant, &name, file))?;
                }
                if gone.is_empty() {
                    files.remove_folders(&tenant, &name)?;
                }
                Ok(())
            };
            remove().map_err(failed("remove blobs"))
        });
        removing.await?;
        // The files go first: rows without files are found again, and those of a removed app are nobody's to read.
        let forgotten = self
            .index
            .write(0, move |connection| index::forget(connection, app, &names));
        forgotten.await
    }

    /// Removes what is nobody's of a folder, and notes the folders in it.
    fn look_into(&self, folder: &Path) -> Result<(), BlobError> {
        let failed = failed("look for files that are nobody's");
        let listed = self.files.list(folder).map_err(&failed)?;
        self.walk().folders.extend(listed.folders);
        for (name, path) in listed.files {
            // In this order: what isn't being written any more is in the index, if it is a blob's.
            let is_needed = self.flights.has(&name)
                || self
                    .index
                    .read(|connection| look::is_used(connection, &name))?;
            if is_needed {
                continue;
            }
            if self.is_backed_up() {
                self.walk_again();
                return Ok(());
            }
            self.files.remove(&path).map_err(&failed)?;
            tracing::debug!(path = %path.display(), "a file that no blob is in is removed");
        }
        Ok(())
    }
}
