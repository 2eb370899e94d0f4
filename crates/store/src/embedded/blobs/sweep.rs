//! Giving room back: files and objects of removed apps, and those that no blob is in.
//!
//! Owns that none goes that somebody needs: one that is being written, one that the index has, a file while a backup is
//! under way, an object of another store's; and that objects which can't go hold up no file. A walk over all folders, and
//! then over the bucket, finds those that are nobody's: one at each start, and one whenever something couldn't go at once, or
//! nobody heard whose it is: whoever asked the index has left. What a server was asked to keep may come to be long after it
//! was given up, so the bucket is walked over every day too.

use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::{Bucket, BucketFault};
use super::files::failed;
use super::flights::Flight;
use super::look::{KeptAt, Place};
use super::{Inner, index, look};
use crate::blobs::{BlobError, SWEEP_MAX};

/// How often the bucket is walked over at least.
const BUCKET_EVERY: Duration = Duration::from_hours(24);

/// Where the walk over all folders and the bucket is.
#[derive(Debug)]
pub(super) struct Walk {
    is_due: bool,
    /// Files of which nobody has heard whose they are. They hold their places among uploads, so they aren't many.
    unheard: Vec<Flight>,
    folders: Vec<PathBuf>,
    /// The next page of the bucket's objects, if there is one.
    objects: Option<NextPage>,
    begun: Option<Instant>,
    /// Whether the bucket failed to remove some: the files come first, and then it is asked again.
    has_failed: bool,
}

/// Where the next page begins; the first one's place has no name.
#[derive(Debug, Default)]
struct NextPage(Option<String>);

impl Default for Walk {
    fn default() -> Self {
        Self {
            is_due: true,
            unheard: Vec::new(),
            folders: Vec::new(),
            objects: None,
            begun: None,
            has_failed: false,
        }
    }
}

impl Walk {
    fn is_due(&self, has_bucket: bool) -> bool {
        let is_old = |begun: Instant| begun.elapsed() >= BUCKET_EVERY;
        self.is_due || (has_bucket && self.begun.is_none_or(is_old))
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
        let is_ours = self.bucket.as_ref().is_some_and(|bucket| bucket.is_ours());
        let can_objects_go = is_ours && !self.walk().has_failed;
        let removed = self
            .index
            .read(|connection| look::removed(connection, SWEEP_MAX, can_objects_go))?;
        // One that began before that has what was removed since.
        if let Some(removed) = removed.filter(|_| !self.is_backed_up())
            && self.sweep_removed(removed).await?
        {
            return Ok(true);
        }
        let next = self.walk().folders.pop();
        let Some(folder) = next else {
            let page = self.walk().objects.take();
            return match (&self.bucket, page) {
                (Some(bucket), Some(page)) => {
                    let looked = self.look_into_bucket(bucket, page).await;
                    looked.map(|()| true).inspect_err(|_| {
                        let mut walk = self.walk();
                        walk.is_due = true;
                        // This ends the sweeps for now: the next ones ask the bucket again.
                        walk.has_failed = false;
                    })
                }
                _ => self.begin_walk().await,
            };
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
        let is_ours = match &self.bucket {
            // What fails is in the log, and the next sweep asks again.
            Some(bucket) if !bucket.is_ours() => match bucket.claim().await {
                Ok(true) => {
                    self.walk_again();
                    true
                }
                _ => false,
            },
            bucket => bucket.is_some(),
        };
        let unheard = {
            let mut walk = self.walk();
            if !walk.is_due(is_ours) {
                // All files have gone: the next sweeps ask the bucket again.
                walk.has_failed = false;
                return Ok(false);
            }
            walk.is_due = false;
            walk.begun = Some(Instant::now());
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
        walk.objects = is_ours.then(NextPage::default);
        Ok(true)
    }

    /// Says whether there was something to do that could be done.
    async fn sweep_removed(&self, removed: look::RemovedFiles) -> Result<bool, BlobError> {
        let look::RemovedFiles {
            app,
            tenant,
            name,
            files,
        } = removed;
        let was_empty = files.is_empty();
        let (mut gone, objects): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|kept| kept.place == Place::Folder);
        let paths = gone
            .iter()
            .map(|kept| self.files.path(&tenant, &name, &kept.name));
        let (files, paths) = (self.files.clone(), paths.collect::<Vec<_>>());
        let (owner, of_app) = (tenant.clone(), name.clone());
        let removing = self.on_disk("remove blobs", move || {
            let remove = || -> std::io::Result<()> {
                for path in &paths {
                    files.remove(path)?;
                }
                if was_empty {
                    files.remove_folders(&owner, &of_app)?;
                }
                Ok(())
            };
            remove().map_err(failed("remove blobs"))
        });
        removing.await?;
        if let Some(bucket) = self.bucket.as_ref().filter(|bucket| bucket.is_ours()) {
            let unread = |kept: &&KeptAt| !self.flights.is_read(&kept.name);
            let names: Vec<_> = objects
                .iter()
                .filter(unread)
                .map(|kept| kept.name.clone())
                .collect();
            match bucket.remove(bucket.paths(&tenant, &name, &names)).await {
                Ok(()) => gone.extend(objects),
                Err(fault) => {
                    // The log has heard of a server that fails. The files are forgotten, and those of other apps come next.
                    tracing::debug!(%fault, "objects of a removed app stay for now");
                    self.walk().has_failed = true;
                    if gone.is_empty() {
                        return Ok(true);
                    }
                }
            }
        } else if gone.is_empty() && !was_empty {
            return Ok(false);
        }
        // The files go first: rows without files are found again, and those of a removed app are nobody's to read.
        let forgotten = self
            .index
            .write(0, move |connection| index::forget(connection, app, &gone));
        forgotten.await?;
        Ok(true)
    }

    /// Removes what is nobody's of some of the bucket's objects.
    async fn look_into_bucket(
        &self,
        bucket: &Bucket,
        NextPage(from): NextPage,
    ) -> Result<(), BlobError> {
        // Whose they are may have changed since the last page.
        let is_ours = bucket.claim().await;
        if !is_ours.map_err(BucketFault::into_error)? {
            return Ok(());
        }
        let page = bucket.list(from).await;
        let page = page.map_err(BucketFault::into_error)?;
        let mut nobodys = Vec::new();
        for (name, path) in page.files {
            if !self.is_needed(&name)? && !self.flights.is_read(&name) {
                tracing::debug!(object = %path, "an object that no blob is in is removed");
                nobodys.push(path);
            }
        }
        let removed = bucket.remove(nobodys).await;
        removed.map_err(BucketFault::into_error)?;
        self.walk().objects = page.next.map(|next| NextPage(Some(next)));
        Ok(())
    }

    /// Whether a file or an object is being written, or is a blob's.
    fn is_needed(&self, name: &str) -> Result<bool, BlobError> {
        // In this order: what isn't being written any more is in the index, if it is a blob's.
        Ok(self.flights.has(name)
            || self
                .index
                .read(|connection| look::is_used(connection, name))?)
    }

    /// Removes what is nobody's of a folder, and notes the folders in it.
    fn look_into(&self, folder: &Path) -> Result<(), BlobError> {
        let failed = failed("look for files that are nobody's");
        let listed = self.files.list(folder).map_err(&failed)?;
        self.walk().folders.extend(listed.folders);
        for (name, path) in listed.files {
            if self.is_needed(&name)? {
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
