//! The connections of one tenant that wait for their next request.
//!
//! Owns how many wait, for how long, and which is taken. Each thread has its own: a request finds one that its own
//! thread drives before one of another's, which costs a change of threads and back for its head, and for each piece of its body.
//! So a connection is lent to other threads a few times in a row only: a thread that asks often gets one of its own. Knows
//! neither grants nor how a connection is made. A pool belongs to one tenant and one list of addresses, since a connection that
//! was made under one function's grants may be used under another's.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use everwarm_engine::stripes::{Striped, mine};
use everwarm_manifest::HttpTarget;
use hyper::client::conn::{http1, http2};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::carry::SentBody;

/// How long a connection waits for its next request; servers commonly close theirs after a minute.
const IDLE_TIME_MAX: Duration = Duration::from_secs(50);
/// Connections to one target that wait, a thread.
const IDLE_OF_TARGET_MAX: usize = 32;
/// Connections that wait, a thread.
const IDLE_MAX: usize = 256;
/// How long a connection whose last response has just been read may take to become ready.
const READY_TIME_MAX: Duration = Duration::from_millis(100);

/// How often in a row a connection goes to threads that don't drive it. Whoever comes then makes one of its own.
const LENT_MAX: u8 = 3;
/// As above, of one that requests share: many of them come before the one that makes one has made it.
const SHARED_LENT_MAX: u8 = 64;

/// The way into a connection. HTTP/2 is shared by requests, HTTP/1.1 has one at a time.
pub(super) enum Sender {
    H1(http1::SendRequest<SentBody>),
    H2(http2::SendRequest<SentBody>),
}

/// A connection, and which thread's it is: that whose runtime drives it.
pub(super) struct Connection {
    pub(super) sender: Sender,
    home: usize,
    /// How often in a row it was lent.
    lent: u8,
}

impl Connection {
    /// One that was made by this thread.
    pub(super) fn new(sender: Sender) -> Self {
        Self {
            sender,
            home: mine(),
            lent: 0,
        }
    }

    /// One more way into a connection that requests share.
    pub(super) fn shared(&self) -> Option<Self> {
        let Sender::H2(sender) = &self.sender else {
            return None;
        };
        Some(Self {
            sender: Sender::H2(sender.clone()),
            ..*self
        })
    }
}

/// See the module's documentation.
pub(super) struct Pool(Striped<Mutex<Place>>);

#[derive(Default)]
struct Place {
    of_targets: HashMap<HttpTarget, Kept>,
    /// Of HTTP/1.1.
    waiting: usize,
    reaper: Option<AbortHandle>,
}

#[derive(Default)]
struct Kept {
    h1: Vec<Waiting<http1::SendRequest<SentBody>>>,
    h2: Option<Waiting<http2::SendRequest<SentBody>>>,
}

struct Waiting<S> {
    sender: S,
    since: Instant,
    lent: u8,
}

impl Pool {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Striped::from_fn(|_| Mutex::default())))
    }

    /// A connection to `target` that is ready for a request.
    pub(super) async fn take(&self, target: &HttpTarget) -> Option<Connection> {
        loop {
            let mut found = self.find(target)?;
            let Sender::H1(sender) = &mut found.sender else {
                return Some(found);
            };
            // The thread that drives it may still have to notice that the last response was read.
            let ready = tokio::time::timeout(READY_TIME_MAX, sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) {
                return Some(found);
            }
        }
    }

    /// One of this thread, or else of any other that lends it, which is still sooner ready than a new one.
    fn find(&self, target: &HttpTarget) -> Option<Connection> {
        let home = mine();
        let take = |(from, place): (usize, &Mutex<Place>)| {
            let (sender, lent) = place.lock().take(target, from != home)?;
            Some(Connection {
                sender,
                home: from,
                lent,
            })
        };
        let own = take((home, self.0.mine()));
        own.or_else(|| self.0.iter().enumerate().find_map(take))
    }

    /// Keeps a connection for the next request to `target`.
    pub(super) fn put(self: &Arc<Self>, target: &HttpTarget, connection: Connection) {
        let Connection { sender, home, lent } = connection;
        let mut place = self.0.at(home).lock();
        let dropped = place.put(target, sender, lent);
        if place.reaper.as_ref().is_none_or(AbortHandle::is_finished)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let reaper = runtime.spawn(reap(Arc::downgrade(self), home));
            place.reaper = Some(reaper.abort_handle());
        }
        drop(place);
        // Closing a connection wakes whoever drives it: not under the lock.
        drop(dropped);
    }

    /// Closes one connection that waits, on any thread. Says whether there was one.
    pub(super) fn close_one(&self) -> bool {
        let closed = self.0.iter().find_map(|place| place.lock().oldest());
        closed.is_some()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for place in self.0.iter() {
            if let Some(reaper) = place.lock().reaper.take() {
                reaper.abort();
            }
        }
    }
}

/// Closes what has waited too long, until nothing waits.
async fn reap(pool: Weak<Pool>, place: usize) {
    loop {
        tokio::time::sleep(IDLE_TIME_MAX / 2).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut place = pool.0.at(place).lock();
        let expired = place.expire(Instant::now());
        let is_empty = place.of_targets.is_empty();
        if is_empty {
            place.reaper = None;
        }
        drop(place);
        drop(expired);
        if is_empty {
            return;
        }
    }
}

/// Counts how often in a row a connection is lent. None when it was often enough: it is lent again to those who come next.
fn lend(lent: &mut u8, most: u8, to_another: bool) -> Option<()> {
    let is_lent = to_another && *lent < most;
    *lent = if is_lent { *lent + 1 } else { 0 };
    (is_lent || !to_another).then_some(())
}

impl Place {
    /// And how often in a row it was lent then.
    fn take(&mut self, target: &HttpTarget, to_another: bool) -> Option<(Sender, u8)> {
        let kept = self.of_targets.get_mut(target)?;
        kept.h2.take_if(|shared| shared.sender.is_closed());
        if let Some(shared) = &mut kept.h2 {
            lend(&mut shared.lent, SHARED_LENT_MAX, to_another)?;
            shared.since = Instant::now();
            return Some((Sender::H2(shared.sender.clone()), shared.lent));
        }
        // The one that was used last is the likeliest to be open still.
        lend(&mut kept.h1.last_mut()?.lent, LENT_MAX, to_another)?;
        let waiting = kept.h1.pop()?;
        self.waiting -= 1;
        Some((Sender::H1(waiting.sender), waiting.lent))
    }

    /// Returns what there is no room for.
    fn put(&mut self, target: &HttpTarget, sender: Sender, lent: u8) -> Option<Sender> {
        let since = Instant::now();
        if !self.of_targets.contains_key(target) {
            self.of_targets.insert(target.clone(), Kept::default());
        }
        let kept = self.of_targets.get_mut(target)?;
        match sender {
            Sender::H2(sender) => {
                if kept.h2.is_none() {
                    kept.h2 = Some(Waiting {
                        sender,
                        since,
                        lent,
                    });
                }
                None
            }
            Sender::H1(sender) => {
                kept.h1.push(Waiting {
                    sender,
                    since,
                    lent,
                });
                self.waiting += 1;
                if kept.h1.len() > IDLE_OF_TARGET_MAX {
                    self.waiting -= 1;
                    return Some(Sender::H1(kept.h1.remove(0).sender));
                }
                if self.waiting > IDLE_MAX {
                    return self.oldest();
                }
                None
            }
        }
    }

    /// The connection of HTTP/1.1 that has waited longest.
    fn oldest(&mut self) -> Option<Sender> {
        let kept = self
            .of_targets
            .values_mut()
            .filter(|kept| !kept.h1.is_empty())
            .min_by_key(|kept| kept.h1[0].since)?;
        self.waiting -= 1;
        Some(Sender::H1(kept.h1.remove(0).sender))
    }

    /// What has waited too long, or was closed by the other side.
    fn expire(&mut self, now: Instant) -> Vec<Sender> {
        let mut expired = Vec::new();
        for kept in self.of_targets.values_mut() {
            let before = kept.h1.len();
            let old = kept.h1.extract_if(.., |waiting| {
                waiting.sender.is_closed() || now - waiting.since >= IDLE_TIME_MAX
            });
            expired.extend(old.map(|waiting| Sender::H1(waiting.sender)));
            self.waiting -= before - kept.h1.len();
            let shared = kept
                .h2
                .take_if(|shared| shared.sender.is_closed() || now - shared.since >= IDLE_TIME_MAX);
            expired.extend(shared.map(|shared| Sender::H2(shared.sender)));
        }
        self.of_targets
            .retain(|_, kept| !kept.h1.is_empty() || kept.h2.is_some());
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_is_lent_so_often_and_then_to_the_next() {
        let mut lent = 0;
        let mut asked = |to_another| lend(&mut lent, 2, to_another).is_some();
        assert_eq!(
            [true; 6].map(&mut asked),
            [true, true, false, true, true, false]
        );
        // Its own thread always has it, which begins the row anew.
        assert_eq!([true, false, true, true].map(asked), [true; 4]);
    }
}
