//! What is kept of all apps, within bounds: bytes of the node, and of each tenant. What was asked for least goes first, that
//! of the tenant who takes most when the node is full.
//!
//! Owns that what was purged doesn't come back: an answer that was asked for before a purge of what it answers isn't kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use everwarm_manifest::{AppName, TenantId};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;

use crate::disk::{Disk, Files, Removal, UrlName, tag_name};
use crate::entry::{Entry, Group, NO_ROOM, Variant};
use crate::key::{Id, Url, UrlRef, Values};
use crate::shelf::{Shelf, Weighed};
use crate::storable::NotKept;

mod app;
mod filed;
mod room;
mod values;

use app::Count;
pub use app::{AppCache, Since, Usage};
pub use room::Room;
pub use values::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// What a head may take, about.
const HEAD_BYTES: u64 = 128 << 10;
/// The part of all bytes that answers may take together which aren't whole yet.
const PART_IN_PIECES: u64 = 4;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Of all tenants.
    pub bytes: u64,
    /// Of one.
    pub bytes_of_tenant: u64,
    /// One answer.
    pub bytes_of_entry: u64,
    /// Bytes of the disk, of all tenants; nothing is kept there for zero.
    pub disk_bytes: u64,
    /// The same of one.
    pub disk_bytes_of_tenant: u64,
    /// The same of one answer.
    pub disk_bytes_of_entry: u64,
}

/// See the module's documentation.
pub struct Store {
    bounds: Bounds,
    all: Arc<Count>,
    /// Bytes of answers that aren't whole yet.
    recorded: Arc<AtomicU64>,
    shares: Mutex<HashMap<TenantId, Arc<Share>>>,
    disk: Mutex<Option<Arc<Disk>>>,
}

/// What is kept of one tenant.
struct Share {
    answers: Shelf<Url, Answers>,
    values: Shelf<values::Key, values::Value>,
    files: Shelf<UrlName, Files>,
    /// Whose turn it is to let one go.
    turn: AtomicU32,
    count: Arc<Count>,
    apps: Mutex<HashMap<AppName, Arc<AppCache>>>,
    /// Apps that were removed.
    forgotten: AtomicU64,
}

/// What is kept of a URL.
struct Answers {
    group: Group,
    url_bytes: usize,
    app: Arc<AppCache>,
}

impl Weighed for Answers {
    fn bytes(&self) -> usize {
        self.group.bytes() + self.url_bytes
    }

    fn count(&self) -> usize {
        self.group.len()
    }

    fn moved(&self, bytes: i64, count: i64) {
        self.app.moved(bytes, count);
    }
}

/// Takes what is kept of a URL.
fn take_url(place: &Place, url: UrlRef<'_>, purged: &mut Purged) {
    let Place { share, app } = place;
    if let Some(answers) = share.answers.remove(&url, || app.purge_url(url)) {
        purged.answers += answers.group.len();
        let entries = answers.group.entries().iter();
        purged.filed.extend(entries.filter_map(|entry| entry.filed));
    }
    // Even where nothing is known to be there: a file that is being written counts only once it is in.
    let files = share.files.remove(&UrlName::of(url), || ());
    purged
        .files
        .extend(files.into_iter().flat_map(|files| files.all()));
}

impl Store {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            all: Arc::default(),
            recorded: Arc::default(),
            shares: Mutex::default(),
            disk: Mutex::default(),
        })
    }

    /// What is kept of an app; the same for the same app.
    pub fn app(&self, tenant: &TenantId, app: &AppName) -> Arc<AppCache> {
        let share = self.share(tenant);
        let mut apps = share.apps.lock();
        let cache = apps.entry(app.clone()).or_insert_with(|| {
            let id = Id::of_app(tenant, app);
            let purges = share.forgotten.load(Ordering::Relaxed);
            let counts = (&share.count, &self.all);
            Arc::new(AppCache::new(id, tenant.clone(), purges, counts))
        });
        Arc::clone(cache)
    }

    /// What is kept of an app, if it has ever had a cache.
    pub fn find_app(&self, tenant: &TenantId, app: &AppName) -> Option<Arc<AppCache>> {
        let share = self.shares.lock().get(tenant).cloned()?;
        share.apps.lock().get(app).cloned()
    }

    /// The app is gone, and what was kept of it once this is done.
    pub fn forget_app(&self, tenant: &TenantId, app: &AppName) -> Removal {
        let share = self.share(tenant);
        let cache = {
            let mut apps = share.apps.lock();
            // One of its name that comes is another, and finds nothing of this one.
            share.forgotten.fetch_add(1, Ordering::Relaxed);
            apps.remove(app)
        };
        if let Some(cache) = cache {
            let _ = self.purge(&cache, &Purge::All);
            share.values.each(|key, value| {
                if key.app == cache.id() {
                    value.end();
                }
            });
        }
        match self.disk() {
            Some(disk) => disk.forget(Id::of_app(tenant, app)),
            None => Removal::nothing(),
        }
    }

    /// What is kept of each app that has ever had a cache.
    pub fn apps(&self) -> Vec<(TenantId, AppName, Usage)> {
        let shares: Vec<_> = {
            let shares = self.shares.lock();
            let shares = shares.iter();
            shares
                .map(|(tenant, share)| (tenant.clone(), Arc::clone(share)))
                .collect()
        };
        let of_share = |(tenant, share): (TenantId, Arc<Share>)| {
            let apps = share.apps.lock();
            let apps = apps.iter();
            apps.map(|(app, cache)| (tenant.clone(), app.clone(), cache.usage()))
                .collect::<Vec<_>>()
        };
        shares.into_iter().flat_map(of_share).collect()
    }

    /// Bytes that all apps take, about.
    pub fn bytes(&self) -> u64 {
        self.all.bytes()
    }

    /// Whether an answer whose content is so long is kept in memory.
    pub fn has_room_for(&self, length: u64) -> bool {
        length.saturating_add(HEAD_BYTES) <= self.bounds.bytes_of_entry
    }

    /// How much room an answer has in memory for codings of its content, which are no longer than that.
    pub fn room_for_codings(&self, length: usize) -> usize {
        if self.has_room_for((length as u64).saturating_mul(2)) {
            length
        } else {
            NO_ROOM
        }
    }

    /// Room for an answer that comes in pieces.
    pub fn room(&self) -> Room {
        let all_max = self.bounds.bytes / PART_IN_PIECES;
        Room::new(&self.recorded, self.bounds.bytes_of_entry, all_max)
    }

    fn share(&self, tenant: &TenantId) -> Arc<Share> {
        let mut shares = self.shares.lock();
        let share = shares.entry(tenant.clone()).or_insert_with(|| {
            Arc::new(Share {
                answers: Shelf::new(),
                values: Shelf::new(),
                files: Shelf::new(),
                turn: AtomicU32::new(0),
                count: Arc::default(),
                apps: Mutex::default(),
                forgotten: AtomicU64::new(0),
            })
        });
        Arc::clone(share)
    }

    /// Where answers of an app are.
    pub fn place(&self, app: &Arc<AppCache>) -> Place {
        Place {
            share: self.share(app.tenant()),
            app: Arc::clone(app),
        }
    }

    /// Keeps an answer, and says which one is there then: another if that was asked for later.
    ///
    /// # Errors
    /// It is larger than what is kept, or what it answers was purged since it was asked for.
    pub fn keep(
        &self,
        place: &Place,
        url: UrlRef<'_>,
        since: Since,
        entry: Arc<Entry>,
    ) -> Result<Arc<Entry>, NotKept> {
        let kept = self.put(place, url, since, entry)?;
        self.unfile_older(place, url, &kept);
        Ok(kept)
    }

    fn put(
        &self,
        place: &Place,
        url: UrlRef<'_>,
        since: Since,
        entry: Arc<Entry>,
    ) -> Result<Arc<Entry>, NotKept> {
        let key = url.to_owned();
        let (app, share) = (&place.app, &place.share);
        let url_bytes = key.bytes();
        if (entry.bytes() + url_bytes) as u64 > self.bounds.bytes_of_entry {
            return Err(NotKept::TooLarge);
        }
        let make = || Answers {
            group: Group::default(),
            url_bytes,
            app: Arc::clone(app),
        };
        let kept = share.answers.change(key, make, |answers| {
            // Purges count before they remove, and remove behind the same lock.
            if app.since(url) == since {
                Ok(answers.group.put(entry))
            } else {
                Err(NotKept::Purged)
            }
        });
        self.make_room(share);
        kept
    }

    /// Lets go of what is beyond the bounds: of the tenant who has come, and then of the one who has most.
    fn make_room(&self, share: &Arc<Share>) {
        while share.count.bytes() > self.bounds.bytes_of_tenant {
            if !self.let_one_go(share) {
                break;
            }
        }
        while self.all.bytes() > self.bounds.bytes {
            let largest = self.largest(|share| share.count.bytes());
            if !largest.is_some_and(|share| self.let_one_go(&share)) {
                break;
            }
        }
    }

    /// The tenant who has most.
    fn largest(&self, bytes: impl Fn(&Share) -> u64) -> Option<Arc<Share>> {
        let shares = self.shares.lock();
        let shares = shares.values();
        shares.max_by_key(|share| bytes(share)).cloned()
    }

    /// Lets an answer or a value go, in turns; an answer to the disk if there is one. `false` when there is none.
    fn let_one_go(&self, share: &Arc<Share>) -> bool {
        let disk = self.disk();
        let let_answer_go = || {
            let let_go = share.answers.let_one_go(|url, answers| {
                // While nobody can look for it: it waits for the disk before it is gone here.
                if let Some(disk) = &disk {
                    for answer in filed::let_go_of(share, url, answers) {
                        disk.offer(answer);
                    }
                }
            });
            let_go.is_some()
        };
        let answers_first = share.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        (answers_first && let_answer_go())
            || share.values.let_one_go(|_, _| ()).is_some()
            || let_answer_go()
    }

    /// Purges what an app has kept, and says how many answers that were. It is done once its files are removed.
    pub fn purge(&self, app: &Arc<AppCache>, what: &Purge<'_>) -> (u64, Removal) {
        let place = self.place(app);
        match what {
            Purge::Url { host, target } => {
                let mut purged = Purged::default();
                for https in [false, true] {
                    let url = UrlRef {
                        app: app.id(),
                        https,
                        host,
                        target,
                    };
                    take_url(&place, url, &mut purged);
                }
                purged.removal(self)
            }
            Purge::Tag(tag) => {
                let name = tag_name(tag);
                let is_called_so = |entry: &Entry| entry.tags.iter().any(|own| **own == **tag);
                self.purge_each(&place, is_called_so, |tags| tags.contains(&name))
            }
            Purge::All => self.purge_each(&place, |_| true, |_| true),
        }
    }

    fn purge_each(
        &self,
        place: &Place,
        is_it: impl Fn(&Entry) -> bool,
        has_it: impl Fn(&[u64]) -> bool,
    ) -> (u64, Removal) {
        let Place { share, app } = place;
        let _purging = app.purge();
        let mut purged = Purged::default();
        purged.answers += share.answers.each(|url, answers| {
            if url.app() == app.id() {
                purged.filed.extend(answers.group.take(&is_it));
            }
        });
        share.files.each(|url, files| {
            if url.app == app.id() {
                purged.files.extend(files.take(|known| has_it(&known.tags)));
            }
        });
        purged.removal(self)
    }

    /// Something unsafe was done at a URL: what is kept of it isn't true any more (RFC 9111, section 4.4).
    pub fn invalidate(&self, place: &Place, url: UrlRef<'_>) -> Removal {
        let mut purged = Purged::default();
        take_url(place, url, &mut purged);
        purged.removal(self).1
    }

    /// Removes one answer.
    pub fn remove(&self, place: &Place, url: UrlRef<'_>, variant: &Variant) {
        let remove = |answers: &mut Answers| answers.group.remove(variant);
        place.share.answers.change_there(&url, remove);
        self.unfile_variant(place, url, variant, |_| true);
    }
}

/// What goes with a purge.
#[derive(Default)]
struct Purged {
    /// Answers in memory.
    answers: usize,
    /// The files that those were read from.
    filed: HashSet<u64>,
    /// Files.
    files: Vec<crate::disk::Place>,
}

impl Purged {
    /// How many answers it is, each counted once, and the files on their way.
    fn removal(self, store: &Store) -> (u64, Removal) {
        let on_disk_alone = |file: &&crate::disk::Place| !self.filed.contains(&file.number);
        let count = self.answers + self.files.iter().filter(on_disk_alone).count();
        (count as u64, store.remove_files(self.files))
    }
}

/// What is purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purge<'p> {
    /// All answers of a URL, by either scheme.
    Url {
        /// In lower case, with its port if it is none of its scheme.
        host: &'p str,
        /// Path and query, as clients send them.
        target: &'p str,
    },
    /// All that are called so.
    Tag(&'p str),
    /// All.
    All,
}

/// Where answers of an app are.
#[derive(Clone)]
pub struct Place {
    share: Arc<Share>,
    app: Arc<AppCache>,
}

impl Place {
    /// The app.
    pub fn app(&self) -> &Arc<AppCache> {
        &self.app
    }

    /// A function's answer to a request.
    pub fn find(&self, url: UrlRef<'_>, function: Id, values: &Values) -> Option<Arc<Entry>> {
        let find = |answers: &Answers| answers.group.find(function, values).cloned();
        self.share.answers.look(&url, find)?
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.app.fmt(f)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("bounds", &self.bounds)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
