//! The part of the store that is on the disk: which answers are there, and what goes first.
//!
//! Owns that an answer gets there only if it wasn't purged since it was in memory, nor replaced by a later one. Locks: a
//! part of what is on the disk before one of what is in memory, never the other way round; the queue of what is to be written
//! comes last.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::{Answers, Place, Share, Since, Store};
use crate::disk::{
    Disk, Filed, Files, Filing, Known, LetGo, Place as FilePlace, Removal, UrlName, variant_name,
};
use crate::entry::{Entry, Variant};
use crate::key::{Id, Url, UrlRef, Values};
use crate::storable::NotKept;

impl Store {
    /// Keeps answers in a folder too, which is nobody else's, and takes up what an earlier process left there of the apps
    /// that are known. Does nothing where the disk's bound is zero.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn open_disk(self: &Arc<Self>, root: PathBuf) -> io::Result<()> {
        if self.bounds.disk_bytes == 0 {
            return Ok(());
        }
        self.close_disk();
        let disk = Disk::open(root, Arc::downgrade(self))?;
        *self.disk.lock() = Some(disk);
        Ok(())
    }

    /// Lets another process have the folder. Waits for what is to be removed yet. Blocks.
    pub fn close_disk(&self) {
        let disk = self.disk.lock().take();
        let Some(disk) = disk else { return };
        disk.close();
        self.forget_files();
    }

    /// The same while this process serves on: the other one begins with nothing, since what is made untrue here from now on
    /// would be there. Blocks.
    ///
    /// # Errors
    /// The folder's files may be taken up all the same.
    pub fn give_disk_up(&self) -> io::Result<()> {
        let disk = self.disk.lock().take();
        let Some(disk) = disk else { return Ok(()) };
        let given_up = disk.close_for_good();
        self.forget_files();
        given_up
    }

    /// Nothing is known to be on the disk any more. Files that are there stay.
    pub(crate) fn forget_files(&self) {
        let shares: Vec<_> = self.shares.lock().values().cloned().collect();
        for share in shares {
            share.files.each(|_, files| {
                files.take(|_| true);
            });
        }
    }

    pub(crate) fn disk(&self) -> Option<Arc<Disk>> {
        self.disk.lock().clone()
    }

    /// What is known of an app by its name across the node.
    pub(crate) fn app_with(&self, id: Id) -> Option<Place> {
        let shares: Vec<_> = self.shares.lock().values().cloned().collect();
        shares.into_iter().find_map(|share| {
            let app = share
                .apps
                .lock()
                .values()
                .find(|app| app.id() == id)
                .cloned();
            app.map(|app| Place {
                share: Arc::clone(&share),
                app,
            })
        })
    }

    /// A file was written. Those that go for it, perhaps itself.
    pub(crate) fn file(&self, answer: &LetGo, known: Known) -> Vec<FilePlace> {
        let LetGo {
            place,
            url,
            since,
            entry,
        } = answer;
        let Place { share, app } = place;
        let file = FilePlace {
            app: app.id(),
            number: known.number,
        };
        let bounds = &self.bounds;
        let room_max = bounds.disk_bytes_of_tenant.min(bounds.disk_bytes);
        if known.bytes > bounds.disk_bytes_of_entry || known.weight() > room_max {
            return vec![file];
        }
        let url = url.borrowed();
        let make = || Files::new(app);
        // Before it counts: so there is never more than the bounds, whoever looks.
        let mut gone = self.make_room_on_disk(share, known.weight());
        gone.extend(share.files.change(UrlName::of(url), make, |files| {
            let is_replaced = place.has_later(url, entry);
            // Purges count before they remove, and remove behind the same lock.
            if is_replaced || app.since(url) != *since {
                vec![file]
            } else {
                place.remove_older(url, entry);
                files.put(known)
            }
        }));
        gone
    }

    /// Makes room for so many bytes more. The files that go.
    fn make_room_on_disk(&self, share: &Share, more: u64) -> Vec<FilePlace> {
        let mut gone = Vec::new();
        let mut let_one_go = |share: &Share| {
            let files = share.files.let_one_go(|_, files| files.all());
            files.map(|files| gone.extend(files)).is_some()
        };
        while share.count.disk_bytes() + more > self.bounds.disk_bytes_of_tenant {
            if !let_one_go(share) {
                break;
            }
        }
        while self.all.disk_bytes() + more > self.bounds.disk_bytes {
            let largest = self.largest(|share| share.count.disk_bytes());
            if !largest.is_some_and(|share| let_one_go(&share)) {
                break;
            }
        }
        gone
    }

    /// An answer that is too large for memory, and may be kept on the disk. `None` where nothing is.
    pub fn filing(&self) -> Option<Filing> {
        let length_max = self.bounds.disk_bytes_of_entry;
        Filing::begin(&self.disk()?, length_max)
    }

    /// All of an answer has come that is kept on the disk. `entry` is without its content.
    pub fn finish(&self, filing: Filing, place: &Place, url: Url, since: Since, entry: Entry) {
        filing.finish(LetGo {
            place: place.clone(),
            url,
            since,
            entry: Arc::new(entry),
        });
    }

    /// Keeps in memory what was read from the disk, if nothing was purged since it was looked for. The one that is there
    /// then.
    ///
    /// # Errors
    /// It is larger than what is kept, or was purged.
    pub fn keep_read(
        &self,
        place: &Place,
        url: UrlRef<'_>,
        since: Since,
        entry: Arc<Entry>,
    ) -> Result<Arc<Entry>, NotKept> {
        self.put(place, url, since, entry)
    }

    /// What is kept in memory has replaced what is on the disk, or on its way there. Not itself: memory may have let go of it
    /// again meanwhile.
    pub(super) fn unfile_older(&self, place: &Place, url: UrlRef<'_>, kept: &Entry) {
        let asked = kept.freshness.parts().asked;
        self.unfile_variant(place, url, &kept.variant, |there| there < asked);
    }

    /// Removes an answer from the disk, or from the way there, by when it was asked for.
    pub(super) fn unfile_variant(
        &self,
        place: &Place,
        url: UrlRef<'_>,
        variant: &Variant,
        is_it: impl Fn(Instant) -> bool,
    ) {
        let Some(disk) = self.disk() else { return };
        disk.give_up(url, variant, |there| is_it(there.freshness.parts().asked));
        if place.app.has_files() {
            let name = variant_name(variant.function, &variant.values);
            // Nobody waits for it: if the process ends before, what is replaced is what the next one has.
            let _ = self.unfile(place, url, |known| {
                known.variant == name && is_it(known.asked)
            });
        }
    }

    pub(super) fn unfile(
        &self,
        place: &Place,
        url: UrlRef<'_>,
        is_it: impl FnMut(&Known) -> bool,
    ) -> Removal {
        let take = |files: &mut Files| files.take(is_it);
        let files = &place.share.files;
        let gone = files.change_there(&UrlName::of(url), take);
        self.remove_files(gone.unwrap_or_default())
    }

    pub(super) fn remove_files(&self, files: Vec<FilePlace>) -> Removal {
        if files.is_empty() {
            return Removal::nothing();
        }
        match self.disk() {
            Some(disk) => disk.remove(files),
            None => Removal::nothing(),
        }
    }

    /// A function's answer to a request, if memory has let go of it and it isn't on the disk yet.
    pub fn on_its_way(
        &self,
        place: &Place,
        url: UrlRef<'_>,
        function: Id,
        values: &Values,
    ) -> Option<Arc<Entry>> {
        let let_go = self.disk()?.waiting(url, function, values)?;
        (place.app.since(url) == let_go.since).then(|| Arc::clone(&let_go.entry))
    }

    /// A function's answer to a request, if it is on the disk. That counts as use.
    pub fn filed(
        &self,
        place: &Place,
        url: UrlRef<'_>,
        function: Id,
        values: &Values,
    ) -> Option<Filed> {
        if !place.app.has_files() {
            return None;
        }
        let disk = self.disk()?;
        let name = variant_name(function, values);
        let find = |files: &Files| files.find(name).cloned();
        let known = place.share.files.look(&UrlName::of(url), find)??;
        let file = FilePlace {
            app: place.app.id(),
            number: known.number,
        };
        Some(Filed::new(disk, file, &known))
    }

    /// Removes an answer from the disk that can't be read.
    pub fn forget_damaged(&self, place: &Place, url: UrlRef<'_>, filed: &Filed) {
        // Nobody waits for it: whatever reads it finds the damage again.
        let _ = self.unfile(place, url, |known| known.number == filed.place.number);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Its thread may be who drops the store, so nobody waits for it here.
        if let Some(disk) = self.disk.get_mut() {
            disk.end();
        }
    }
}

impl Place {
    /// Whether the file that an answer was read from is there yet.
    pub(crate) fn has_file(&self, url: UrlRef<'_>, variant: &Variant, number: Option<u64>) -> bool {
        let name = variant_name(variant.function, &variant.values);
        let find = |files: &Files| files.find(name).map(|known| known.number);
        let there = self.share.files.peek(&UrlName::of(url), find).flatten();
        number.is_some() && there == number
    }

    /// Removes an answer from memory that was asked for earlier than another, which would hide that.
    fn remove_older(&self, url: UrlRef<'_>, entry: &Entry) {
        let Variant { function, values } = &entry.variant;
        let is_older = |there: &Entry| {
            there.variant.function == *function
                && there.variant.values == *values
                && entry.freshness.is_later_than(&there.freshness)
        };
        let take = |answers: &mut Answers| answers.group.take(is_older);
        self.share.answers.change_there(&url, take);
    }

    /// Whether there is an answer in memory that was asked for later than another.
    fn has_later(&self, url: UrlRef<'_>, entry: &Entry) -> bool {
        let Variant { function, values } = &entry.variant;
        let is_later = |answers: &Answers| {
            let there = answers.group.find(*function, values);
            there.is_some_and(|there| there.freshness.is_later_than(&entry.freshness))
        };
        self.share.answers.peek(&url, is_later).unwrap_or(false)
    }
}

/// What is let go of in memory and may go to the disk.
pub(super) fn let_go_of(share: &Arc<Share>, url: &Url, answers: &Answers) -> Vec<LetGo> {
    let Some(since) = answers.app.since_of_what_is_let_go(url.borrowed()) else {
        return Vec::new();
    };
    let entries = answers.group.entries().iter();
    let let_go = entries.map(|entry| LetGo {
        place: Place {
            share: Arc::clone(share),
            app: Arc::clone(&answers.app),
        },
        url: url.clone(),
        since,
        entry: Arc::clone(entry),
    });
    let_go.collect()
}
