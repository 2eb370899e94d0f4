//! What is known of one app: how much is kept of it, and what was purged.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use everwarm_manifest::TenantId;

use crate::key::{Id, UrlRef};

/// Places in which an app counts what was purged, each for many URLs.
const PLACES: usize = 1_024;

/// What is kept of one app.
pub struct AppCache {
    id: Id,
    tenant: TenantId,
    count: OfApp,
    /// Purges of more than a URL.
    purges: AtomicU64,
    /// Those of them that aren't done yet.
    purging: AtomicU32,
    /// Purges of URLs.
    places: Box<[AtomicU32]>,
    /// Requests that were answered with what is kept.
    hits: AtomicU64,
    /// Those of them that it was read from the disk for.
    disk_hits: AtomicU64,
    /// Requests that functions answered, of those that may have had an answer here.
    misses: AtomicU64,
}

/// How much is there, in memory and on the disk.
#[derive(Debug, Default)]
pub(super) struct Count {
    bytes: AtomicI64,
    disk_bytes: AtomicI64,
}

#[derive(Debug)]
struct OfApp {
    entries: AtomicI64,
    bytes: AtomicI64,
    disk_entries: AtomicI64,
    disk_bytes: AtomicI64,
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
    /// Answers on the disk, some of which are in memory too.
    pub disk_entries: u64,
    /// Bytes of the disk that they count for.
    pub disk_bytes: u64,
    /// Requests that were answered with what is kept, since the node started.
    pub hits: u64,
    /// Those of them that it was read from the disk for.
    pub disk_hits: u64,
    /// Requests that functions answered, of those that may have had an answer here, since the node started.
    pub misses: u64,
}

/// What had been purged when an answer was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Since {
    purges: u64,
    of_place: u32,
}

fn whole(count: &AtomicI64) -> u64 {
    u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0)
}

impl Count {
    pub(super) fn bytes(&self) -> u64 {
        whole(&self.bytes)
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        whole(&self.disk_bytes)
    }
}

/// Purging more than a URL, until it is dropped.
pub(super) struct Purging<'a>(&'a AppCache);

impl Drop for Purging<'_> {
    fn drop(&mut self) {
        self.0.purging.fetch_sub(1, Ordering::SeqCst);
    }
}

impl AppCache {
    /// One that had so many purges: of an app that is there again, what was before it is purged.
    pub(super) fn new(
        id: Id,
        tenant: TenantId,
        purges: u64,
        (of_tenant, all): (&Arc<Count>, &Arc<Count>),
    ) -> Self {
        Self {
            id,
            tenant,
            count: OfApp {
                entries: AtomicI64::new(0),
                bytes: AtomicI64::new(0),
                disk_entries: AtomicI64::new(0),
                disk_bytes: AtomicI64::new(0),
                tenant: Arc::clone(of_tenant),
                all: Arc::clone(all),
            },
            purges: AtomicU64::new(purges),
            purging: AtomicU32::new(0),
            places: (0..PLACES).map(|_| AtomicU32::new(0)).collect(),
            hits: AtomicU64::new(0),
            disk_hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Its name across the node.
    pub fn id(&self) -> Id {
        self.id
    }

    pub(super) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// What was purged so far of what a URL has.
    pub fn since(&self, url: UrlRef<'_>) -> Since {
        Since {
            purges: self.purges.load(Ordering::SeqCst),
            of_place: self.place_of(url).load(Ordering::SeqCst),
        }
    }

    /// The same for what is let go of, told where it was and nobody removes it meanwhile: `None` while it may be what a purge
    /// has counted and not come to yet.
    pub(super) fn since_of_what_is_let_go(&self, url: UrlRef<'_>) -> Option<Since> {
        let since = self.since(url);
        (self.purging.load(Ordering::SeqCst) == 0).then_some(since)
    }

    /// A purge of more than a URL begins: it counts from now on, and has to remove all that was before.
    pub(super) fn purge(&self) -> Purging<'_> {
        self.purging.fetch_add(1, Ordering::SeqCst);
        self.purges.fetch_add(1, Ordering::SeqCst);
        Purging(self)
    }

    /// A purge of a URL counts from now on.
    pub(super) fn purge_url(&self, url: UrlRef<'_>) {
        self.place_of(url).fetch_add(1, Ordering::SeqCst);
    }

    /// A request was answered with what is kept.
    pub fn was_used(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// It was read from the disk for that.
    pub fn was_read(&self) {
        self.disk_hits.fetch_add(1, Ordering::Relaxed);
    }

    /// A function is asked.
    pub fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// How much is kept of it.
    pub fn usage(&self) -> Usage {
        Usage {
            entries: whole(&self.count.entries),
            bytes: whole(&self.count.bytes),
            disk_entries: whole(&self.count.disk_entries),
            disk_bytes: whole(&self.count.disk_bytes),
            hits: self.hits.load(Ordering::Relaxed),
            disk_hits: self.disk_hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// It takes so much more memory, or less.
    pub(super) fn moved(&self, bytes: i64, count: i64) {
        let OfApp { tenant, all, .. } = &self.count;
        self.count.entries.fetch_add(count, Ordering::Relaxed);
        for sum in [&self.count.bytes, &tenant.bytes, &all.bytes] {
            sum.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// It takes so much more of the disk, or less.
    pub(crate) fn filed(&self, bytes: i64, count: i64) {
        let OfApp { tenant, all, .. } = &self.count;
        self.count.disk_entries.fetch_add(count, Ordering::Relaxed);
        for sum in [&self.count.disk_bytes, &tenant.disk_bytes, &all.disk_bytes] {
            sum.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Whether anything of it is on the disk.
    pub(super) fn has_files(&self) -> bool {
        self.count.disk_entries.load(Ordering::Relaxed) > 0
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
