//! Answers that are on the disk: read on the threads for what blocks, so many at once; into memory, or a piece at a time for
//! those that are too large for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use everwarm_cache::disk::{Damage, Filed, Opened};
use everwarm_cache::entry::{self, Entry};
use everwarm_cache::store::Since;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Cached, Wanted};

/// Reads at once, of all lanes: each is a thread while it lasts.
const READS_MAX: usize = 16;
/// Answers that are read a piece at a time, at once: each is a file that is open.
const STREAMS_MAX: usize = 128;
/// How long a request waits for the disk; then the function is asked.
const READ_TIME_MAX: Duration = Duration::from_secs(2);

/// Time between two warnings of reads that failed.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// Reads of the disk, of all functions of a node.
#[derive(Debug, Clone)]
pub struct DiskReads {
    reads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// When there was a warning last.
    warned: Arc<Mutex<Option<Instant>>>,
}

impl Default for DiskReads {
    fn default() -> Self {
        Self {
            reads: Arc::new(Semaphore::new(READS_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            warned: Arc::default(),
        }
    }
}

impl DiskReads {
    /// Waits until the disk may be read once more.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        let turn = Arc::clone(&self.reads).acquire_owned().await;
        turn.expect("the semaphore is never closed")
    }

    /// A read failed, and the next one of the same file may not.
    pub(super) fn warn(&self, damage: &Damage) {
        let is_time = {
            let mut warned = self.warned.lock();
            let is_time = warned.is_none_or(|at| at.elapsed() >= WARN_EVERY);
            if is_time {
                *warned = Some(Instant::now());
            }
            is_time
        };
        if is_time {
            tracing::warn!(
                %damage,
                "what is kept on the disk can't be read now: functions are asked, and responses that were under way break off"
            );
        }
    }
}

/// What was read.
pub(crate) enum Read {
    /// Nothing that is of use.
    Nothing,
    /// An answer that is in memory, or was a moment ago.
    There(Arc<Entry>),
    /// One that was read, and is in memory by now.
    Whole(Arc<Entry>),
    /// One that is too large for that.
    Large(Large),
}

/// An answer whose content stays on the disk.
pub(crate) struct Large {
    /// Without its content.
    pub(crate) head: Arc<Entry>,
    pub(crate) content: Arc<Opened>,
    pub(crate) filed: Filed,
    /// One of those that are open at once.
    pub(super) stream: OwnedSemaphorePermit,
    pub(super) reads: DiskReads,
}

/// What the thread has read.
enum Found {
    Whole(Box<Entry>),
    Large(Box<Entry>, Box<Opened>),
}

/// Looks for an answer on the disk. `tells_timing`: responses say how their requests started.
pub(crate) async fn read(cached: &Cached, wanted: &Wanted, tells_timing: bool) -> Read {
    let (store, place, url) = (&cached.store, &cached.place, cached.url(wanted));
    let since = place.app().since(url);
    // In the order in which an answer goes on its way: none is between two of them.
    if let Some(kept) = store.on_its_way(place, url, cached.function, &wanted.values) {
        return Read::There(kept);
    }
    let Some(filed) = store.filed(place, url, cached.function, &wanted.values) else {
        return Read::Nothing;
    };
    let reading = async {
        let turn = cached.reads.turn().await;
        // Somebody else may have read it meanwhile.
        if let Some(kept) = place.find(url, cached.function, &wanted.values) {
            return Ok(Read::There(kept));
        }
        let (url, variant, file) = (url.to_owned(), cached.variant(wanted), filed.clone());
        let store = Arc::clone(store);
        let found = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let opened = file.open(&url, &variant)?;
            if store.has_room_for(opened.length()) {
                let length = usize::try_from(opened.length()).unwrap_or(usize::MAX);
                let whole = opened.whole(store.room_for_codings(length));
                return whole.map(|entry| Found::Whole(Box::new(entry)));
            }
            Ok(Found::Large(Box::new(opened.head()), Box::new(opened)))
        });
        let found = found.await.map_err(std::io::Error::from)??;
        Ok::<_, Damage>(taken_up(
            cached,
            wanted,
            (since, &filed),
            found,
            tells_timing,
        ))
    };
    match tokio::time::timeout(READ_TIME_MAX, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(damage)) if !damage.is_lasting() => {
            cached.reads.warn(&damage);
            Read::Nothing
        }
        Ok(Err(damage)) => {
            // What was removed while it was looked for is no damage.
            if !matches!(&damage, Damage::Io(error) if error.kind() == std::io::ErrorKind::NotFound)
            {
                tracing::warn!(%damage, "what is kept on the disk isn't used");
            }
            store.forget_damaged(place, url, &filed);
            Read::Nothing
        }
        Err(_) => Read::Nothing,
    }
}

fn taken_up(
    cached: &Cached,
    wanted: &Wanted,
    (since, filed): (Since, &Filed),
    found: Found,
    tells_timing: bool,
) -> Read {
    let (place, url) = (&cached.place, cached.url(wanted));
    match found {
        Found::Whole(mut entry) => {
            entry::fit(&mut entry.headers, tells_timing);
            let kept = cached.store.keep_read(place, url, since, Arc::new(*entry));
            kept.map_or(Read::Nothing, Read::Whole)
        }
        Found::Large(mut head, content) => {
            entry::fit(&mut head.headers, tells_timing);
            let stream = Arc::clone(&cached.reads.streams).try_acquire_owned();
            // Purged while it was opened, it is none any more.
            match stream {
                Ok(stream) if place.app().since(url) == since => Read::Large(Large {
                    head: Arc::new(*head),
                    content: Arc::new(*content),
                    filed: filed.clone(),
                    stream,
                    reads: cached.reads.clone(),
                }),
                _ => Read::Nothing,
            }
        }
    }
}
