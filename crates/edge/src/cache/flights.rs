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
    pub(crate) async fn landing(mut self) -> Option<Landing> {
        let landed = self
            .receiver
            .wait_for(|landing| !matches!(landing, Landing::Flying));
        match tokio::time::timeout(WAIT_MAX, landed).await {
            Ok(Ok(landing)) => Some(landing.clone()),
            Ok(Err(_)) => None,
            Err(_) => Some(Landing::NotKept),
        }
    }
}
