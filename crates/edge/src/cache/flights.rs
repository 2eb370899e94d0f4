//! Requests for the same answer at the same time: one asks the function, the others wait for its answer. Owns who leads,
//! and that nobody follows where answers turned out to be none that are kept.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use everwarm_cache::entry::Entry;
use everwarm_cache::key::{Url, Values};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Those that follow one request; more ask alone.
const FOLLOWERS_MAX: usize = 4_096;
/// The longest that anybody waits for another's answer; then each asks alone.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The same once its head is there and its body comes in pieces: as slowly as the one who asked first reads them.
const WAIT_FOR_PIECES_MAX: Duration = Duration::from_secs(1);
/// How long nobody follows once an answer wasn't kept.
const ALONE_TIME: Duration = Duration::from_secs(5);
/// Places in which is kept what isn't followed; whoever comes later to one takes it.
const PLACES: usize = 256;

type Key = (Url, Values);

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flights(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    flying: Mutex<HashMap<Key, watch::Sender<Landing>>>,
    /// The upper half of a hash, and until when.
    alone: Box<[AtomicU64]>,
    hasher: RandomState,
    started: Instant,
}

/// What came of a flight.
#[derive(Debug, Clone)]
pub(crate) enum Landing {
    /// Nothing yet.
    Flying,
    /// An answer in pieces, that is kept if all of them come.
    Coming,
    /// An answer that is kept.
    Kept(Arc<Entry>),
    /// One that isn't: each asks alone.
    NotKept,
}

/// What somebody who asks is.
pub(crate) enum Joined {
    /// The one that asks the function.
    Leads(Lead),
    /// One that waits for its answer.
    Follows(Wait),
    /// One that asks alone.
    Alone,
}

/// Asks for all that follow. Dropped before it landed, one of them leads.
pub(crate) struct Lead {
    flights: Flights,
    key: Key,
    sender: watch::Sender<Landing>,
}

/// Until when somebody waits for another's answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For its head.
    head: Instant,
    /// For all of it.
    whole: Instant,
}

impl Patience {
    /// That of a request which may take so long in all: half of it is left for an answer of its own.
    pub(crate) fn of(started: Instant, wall_time: Duration) -> Self {
        let half = wall_time / 2;
        Self {
            head: started + WAIT_MAX.min(half),
            whole: started + (WAIT_MAX + WAIT_FOR_PIECES_MAX).min(half),
        }
    }
}

/// Waits for another's answer.
pub(crate) struct Wait {
    receiver: watch::Receiver<Landing>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            flying: Mutex::default(),
            alone: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            started: Instant::now(),
        }
    }
}

impl Flights {
    pub(crate) fn join(&self, key: Key) -> Joined {
        if self.0.is_alone(&key) {
            return Joined::Alone;
        }
        let mut flying = self.0.flying.lock();
        if let Some(flight) = flying.get(&key) {
            if flight.receiver_count() >= FOLLOWERS_MAX {
                return Joined::Alone;
            }
            let receiver = flight.subscribe();
            return Joined::Follows(Wait { receiver });
        }
        let sender = watch::Sender::new(Landing::Flying);
        flying.insert(key.clone(), sender.clone());
        Joined::Leads(Lead {
            flights: self.clone(),
            key,
            sender,
        })
    }

    /// Leads, unless somebody does already.
    pub(crate) fn lead(&self, key: Key) -> Option<Lead> {
        match self.join(key) {
            Joined::Leads(lead) => Some(lead),
            Joined::Follows(_) | Joined::Alone => None,
        }
    }
}

impl Inner {
    fn place(&self, key: &Key) -> (&AtomicU64, u64) {
        let hash = self.hasher.hash_one(key);
        let place = usize::try_from(hash % PLACES as u64).unwrap_or(0);
        (&self.alone[place], hash & !u64::from(u32::MAX))
    }

    fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs() & u64::from(u32::MAX)
    }

    fn is_alone(&self, key: &Key) -> bool {
        let (place, name) = self.place(key);
        let kept = place.load(Ordering::Relaxed);
        let until = kept & u64::from(u32::MAX);
        kept & !u64::from(u32::MAX) == name && self.seconds() < until
    }

    fn be_alone(&self, key: &Key) {
        let (place, name) = self.place(key);
        place.store(
            name | (self.seconds() + ALONE_TIME.as_secs()),
            Ordering::Relaxed,
        );
    }
}

impl Lead {
    /// Tells those that follow that the answer comes in pieces.
    pub(crate) fn comes_in_pieces(&self) {
        self.sender.send_replace(Landing::Coming);
    }

    /// Tells those that follow what came of it.
    pub(crate) fn land(self, landing: Landing) {
        if matches!(landing, Landing::NotKept) {
            self.flights.0.be_alone(&self.key);
        }
        // Nobody joins a flight that is over.
        self.flights.0.flying.lock().remove(&self.key);
        self.sender.send_replace(landing);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Those that follow hear it by the sender's end.
        let mut flying = self.flights.0.flying.lock();
        let is_mine = flying
            .get(&self.key)
            .is_some_and(|flight| flight.same_channel(&self.sender));
        if is_mine {
            flying.remove(&self.key);
        }
    }
}

impl Wait {
    /// What came of it. `None` when whoever led gave up, and somebody else has to.
    pub(crate) async fn landing(mut self, patience: Patience) -> Option<Landing> {
        let head = self.until(patience.head, |landing| !matches!(landing, Landing::Flying));
        match head.await {
            Some(Landing::Coming) => {
                let is_over =
                    |landing: &Landing| !matches!(landing, Landing::Flying | Landing::Coming);
                let now = tokio::time::Instant::now().into_std();
                let pieces = now + WAIT_FOR_PIECES_MAX;
                self.until(patience.whole.min(pieces), is_over).await
            }
            other => other,
        }
    }

    async fn until(
        &mut self,
        end: Instant,
        is_it: impl FnMut(&Landing) -> bool,
    ) -> Option<Landing> {
        match tokio::time::timeout_at(end.into(), self.receiver.wait_for(is_it)).await {
            Ok(Ok(landing)) => Some(landing.clone()),
            Ok(Err(_)) => None,
            Err(_) => Some(Landing::NotKept),
        }
    }
}

#[cfg(test)]
mod tests {
    use everwarm_cache::key::{Id, Listed, UrlRef};
    use everwarm_manifest::Cache;
    use http::HeaderMap;

    use super::*;

    fn key(target: &str) -> Key {
        let url = UrlRef {
            app: Id::of_function("v", &"f".parse().unwrap()),
            https: false,
            host: "a.example",
            target,
        };
        let values = Listed::of(&Cache::default()).values(&HeaderMap::new());
        (url.to_owned(), values.unwrap())
    }

    fn patience() -> Patience {
        let now = tokio::time::Instant::now().into_std();
        Patience::of(now, Duration::from_mins(1))
    }

    fn leads(flights: &Flights, target: &str) -> Lead {
        flights.lead(key(target)).expect("nobody leads")
    }

    fn follows(flights: &Flights, target: &str) -> Wait {
        let Joined::Follows(wait) = flights.join(key(target)) else {
            panic!("somebody leads");
        };
        wait
    }

    #[tokio::test]
    async fn who_leads_and_leaves_is_followed_by_another() {
        let flights = Flights::default();
        let lead = leads(&flights, "/a");
        let wait = follows(&flights, "/a");
        drop(leads(&flights, "/b"));
        drop(lead);
        assert!(wait.landing(patience()).await.is_none());
        drop(leads(&flights, "/a"));
        assert!(flights.0.flying.lock().is_empty());
    }

    #[tokio::test]
    async fn nobody_follows_where_an_answer_was_not_kept() {
        let flights = Flights::default();
        let lead = leads(&flights, "/a");
        let wait = follows(&flights, "/a");
        lead.land(Landing::NotKept);
        assert!(matches!(
            wait.landing(patience()).await,
            Some(Landing::NotKept)
        ));
        assert!(matches!(flights.join(key("/a")), Joined::Alone));
        assert!(matches!(flights.join(key("/b")), Joined::Leads(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_or_never_answers_holds_nobody_up() {
        let flights = Flights::default();
        let slow = leads(&flights, "/a");
        let waits = [follows(&flights, "/a"), follows(&flights, "/a")];
        let [early, late] = waits;
        let began = tokio::time::Instant::now();
        let patience = patience();
        let landing = early.landing(patience).await;
        assert!(matches!(landing, Some(Landing::NotKept)));
        assert!(began.elapsed() >= WAIT_MAX && began.elapsed() < WAIT_MAX + WAIT_FOR_PIECES_MAX);
        slow.comes_in_pieces();
        let landing = late.landing(patience).await;
        assert!(matches!(landing, Some(Landing::NotKept)));
        assert!(began.elapsed() < WAIT_MAX + 2 * WAIT_FOR_PIECES_MAX);
    }

    #[test]
    fn half_of_a_requests_time_is_left_to_it() {
        let now = Instant::now();
        let short = Patience::of(now, Duration::from_secs(4));
        assert_eq!(
            (short.head, short.whole),
            (now + Duration::from_secs(2), now + Duration::from_secs(2))
        );
        let long = Patience::of(now, Duration::from_mins(10));
        assert_eq!(long.head, now + WAIT_MAX);
    }
}
