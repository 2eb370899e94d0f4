//! What is kept of all apps, within bounds: bytes of the node, and of each tenant. What was asked for least goes first, that
//! of the tenant who takes most when the node is full.
//!
//! Owns that what was purged doesn't come back: an answer that was asked for before a purge of what it answers isn't kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use everwarm_manifest::{AppName, TenantId};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::entry::{Entry, Group, Variant};
use crate::key::{Id, Url, UrlRef, Values};
use crate::shelf::{Shelf, Weighed};
use crate::storable::NotKept;

mod room;
mod values;

pub use room::Room;
pub use values::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Places in which an app counts what was purged, each for many URLs.
const PLACES: usize = 1_024;
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
}

/// See the module's documentation.
pub struct Store {
    bounds: Bounds,
    all: Arc<Count>,
    /// Bytes of answers that aren't whole yet.
    recorded: Arc<AtomicU64>,
    shares: Mutex<HashMap<TenantId, Arc<Share>>>,
}

/// What is kept of one tenant.
struct Share {
    answers: Shelf<Url, Answers>,
    values: Shelf<values::Key, values::Value>,
    /// Whose turn it is to let one go.
    turn: AtomicU32,
    count: Arc<Count>,
    apps: Mutex<HashMap<AppName, Arc<AppCache>>>,
}

/// What is kept of one app.
pub struct AppCache {
    id: Id,
    tenant: TenantId,
    count: Arc<OfApp>,
    /// Purges of more than a URL.
    purges: AtomicU64,
    /// Purges of URLs.
    places: Box<[AtomicU32]>,
    /// Requests that were answered with what is kept.
    hits: AtomicU64,
    /// Requests that functions answered, of those that may have had an answer here.
    misses: AtomicU64,
}

/// How much is there.
#[derive(Debug, Default)]
struct Count {
    bytes: AtomicI64,
}

#[derive(Debug)]
struct OfApp {
    entries: AtomicI64,
    bytes: AtomicI64,
    tenant: Arc<Count>,
    all: Arc<Count>,
}

/// How much is kept of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Answers, and values that functions keep.
    pub entries: u64,
    /// Bytes of memory that they take, about.
    pub bytes: u64,
    /// Requests that were answered with what is kept, since the node started.
    pub hits: u64,
    /// Requests that functions answered, of those that may have had an answer here, since the node started.
    pub misses: u64,
}

/// What had been purged when an answer was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    purges: u64,
    of_place: u32,
}

/// What is kept of a URL.
struct Answers {
    group: Group,
    url_bytes: usize,
    count: Arc<OfApp>,
}

impl Weighed for Answers {
    fn bytes(&self) -> usize {
        self.group.bytes() + self.url_bytes
    }

    fn count(&self) -> usize {
        self.group.len()
    }

    fn moved(&self, bytes: i64, count: i64) {
        self.count.moved(bytes, count);
    }
}

impl OfApp {
    fn moved(&self, bytes: i64, count: i64) {
        self.entries.fetch_add(count, Ordering::Relaxed);
        for sum in [&self.bytes, &self.tenant.bytes, &self.all.bytes] {
            sum.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Share {
    /// Lets an answer or a value go, in turns. `false` when there is none.
    fn let_one_go(&self) -> bool {
        let answers_first = self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        (answers_first && self.answers.let_one_go())
            || self.values.let_one_go()
            || self.answers.let_one_go()
    }
}

impl Count {
    fn bytes(&self) -> u64 {
        u64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

impl Store {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            all: Arc::default(),
            recorded: Arc::default(),
            shares: Mutex::default(),
        })
    }

    /// What is kept of an app; the same for the same app.
    pub fn app(&self, tenant: &TenantId, app: &AppName) -> Arc<AppCache> {
        let share = self.share(tenant);
        let mut apps = share.apps.lock();
        let cache = apps.entry(app.clone()).or_insert_with(|| {
            Arc::new(AppCache {
                id: Id::of_app(tenant, app),
                tenant: tenant.clone(),
                count: Arc::new(OfApp {
                    entries: AtomicI64::new(0),
                    bytes: AtomicI64::new(0),
                    tenant: Arc::clone(&share.count),
                    all: Arc::clone(&self.all),
                }),
                purges: AtomicU64::new(0),
                places: (0..PLACES).map(|_| AtomicU32::new(0)).collect(),
                hits: AtomicU64::new(0),
                misses: AtomicU64::new(0),
            })
        });
        Arc::clone(cache)
    }

    /// What is kept of an app, if it has ever had a cache.
    pub fn find_app(&self, tenant: &TenantId, app: &AppName) -> Option<Arc<AppCache>> {
        let share = self.shares.lock().get(tenant).cloned()?;
        share.apps.lock().get(app).cloned()
    }

    /// The app is gone, and what was kept of it.
    pub fn forget_app(&self, tenant: &TenantId, app: &AppName) {
        let Some(share) = self.shares.lock().get(tenant).cloned() else {
            return;
        };
        let cache = share.apps.lock().remove(app);
        if let Some(cache) = cache {
            self.purge(&cache, &Purge::All);
            share.values.each(|key, value| {
                if key.app == cache.id {
                    value.end();
                }
            });
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
                turn: AtomicU32::new(0),
                count: Arc::default(),
                apps: Mutex::default(),
            })
        });
        Arc::clone(share)
    }

    /// Where answers of an app are.
    pub fn place(&self, app: &Arc<AppCache>) -> Place {
        Place {
            share: self.share(&app.tenant),
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
        let key = url.to_owned();
        let (app, share) = (&place.app, &place.share);
        if (entry.bytes() + key.bytes()) as u64 > self.bounds.bytes_of_entry {
            return Err(NotKept::TooLarge);
        }
        let make = || Answers {
            group: Group::default(),
            url_bytes: key.bytes(),
            count: Arc::clone(&app.count),
        };
        let kept = share.answers.change(key.clone(), make, |answers| {
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
    fn make_room(&self, share: &Share) {
        while share.count.bytes() > self.bounds.bytes_of_tenant {
            if !share.let_one_go() {
                break;
            }
        }
        while self.all.bytes() > self.bounds.bytes {
            let largest = {
                let shares = self.shares.lock();
                let shares = shares.values();
                shares.max_by_key(|share| share.count.bytes()).cloned()
            };
            if !largest.is_some_and(|share| share.let_one_go()) {
                break;
            }
        }
    }

    /// Purges what an app has kept, and says how many answers that were.
    pub fn purge(&self, app: &AppCache, what: &Purge<'_>) -> u64 {
        let share = self.share(&app.tenant);
        let purged = match what {
            Purge::Url { host, target } => {
                let of_scheme = |https| UrlRef {
                    app: app.id,
                    https,
                    host,
                    target,
                };
                let schemes = [false, true].into_iter();
                schemes
                    .map(|https| app.invalidate(&share, of_scheme(https)))
                    .sum()
            }
            Purge::Tag(tag) => {
                app.purges.fetch_add(1, Ordering::SeqCst);
                share.answers.each(|url, answers| {
                    if url.app() == app.id {
                        answers.group.remove_tagged(tag);
                    }
                })
            }
            Purge::All => {
                app.purges.fetch_add(1, Ordering::SeqCst);
                share.answers.each(|url, answers| {
                    if url.app() == app.id {
                        answers.group = Group::default();
                    }
                })
            }
        };
        purged as u64
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

    /// Removes one answer.
    pub fn remove(&self, url: UrlRef<'_>, variant: &Variant) {
        let count = || Answers {
            group: Group::default(),
            url_bytes: 0,
            count: Arc::clone(&self.app.count),
        };
        let remove = |answers: &mut Answers| answers.group.remove(variant);
        self.share.answers.change(url.to_owned(), count, remove);
    }

    /// Something unsafe was done at a URL: what is kept of it isn't true any more (RFC 9111, section 4.4).
    pub fn invalidate(&self, url: UrlRef<'_>) {
        self.app.invalidate(&self.share, url);
    }
}

impl AppCache {
    /// Its name across the node.
    pub fn id(&self) -> Id {
        self.id
    }

    /// What was purged so far of what a URL has.
    pub fn since(&self, url: UrlRef<'_>) -> Since {
        Since {
            purges: self.purges.load(Ordering::SeqCst),
            of_place: self.place_of(url).load(Ordering::SeqCst),
        }
    }

    /// A request was answered with what is kept.
    pub fn was_used(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// A function is asked.
    pub fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// How much is kept of it.
    pub fn usage(&self) -> Usage {
        let whole = |count: &AtomicI64| u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0);
        Usage {
            entries: whole(&self.count.entries),
            bytes: whole(&self.count.bytes),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    fn invalidate(&self, share: &Share, url: UrlRef<'_>) -> usize {
        let count = || {
            self.place_of(url).fetch_add(1, Ordering::SeqCst);
        };
        share.answers.remove(&url, count)
    }

    fn place_of(&self, url: UrlRef<'_>) -> &AtomicU32 {
        use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
        // Which URLs share a place changes nothing but what is kept less long.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(url);
        &self.places[usize::try_from(hash % PLACES as u64).unwrap_or(0)]
    }
}

impl std::fmt::Debug for AppCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppCache")
            .field("usage", &self.usage())
            .finish_non_exhaustive()
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
