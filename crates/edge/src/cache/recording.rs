//! An answer that goes by on its way to the client and is kept once it is whole. Owns that nothing of one that broke off is
//! kept, and the bound on what is recorded at once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_cache::control::Asks;
use everwarm_cache::disk::Filing;
use everwarm_cache::entry::{Coded, Entry, NO_ROOM};
use everwarm_cache::freshness::{Freshness, Verdict};
use everwarm_cache::storable::NotKept;
use everwarm_cache::store::{Room, Since};
use everwarm_engine::invoke::Tap;
use everwarm_manifest::Compress;
use http::{HeaderMap, StatusCode};
use tokio::time::Sleep;

use super::{Landing, Lead, Wanted};
use crate::compress;
use crate::dispatch::Target;

/// How long a client waits for the disk; then its answer isn't kept.
const STALL_TIME_MAX: Duration = Duration::from_secs(2);

/// What is known of an answer once its head is there.
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) freshness: Freshness,
    pub(crate) tags: Box<[Box<str>]>,
}

/// See the module's documentation.
pub(crate) struct Recording {
    pub(crate) target: Arc<Target>,
    pub(crate) wanted: Wanted,
    pub(crate) since: Since,
    pub(crate) head: Head,
    pub(crate) lead: Option<Lead>,
    /// `None` once it is more than is kept.
    pub(crate) room: Option<Room>,
    pub(crate) body: Vec<u8>,
    /// Where it goes once it is too large for memory.
    pub(crate) filing: Option<Filing>,
    /// Since the disk takes no more of it.
    pub(crate) stalled: Option<Pin<Box<Sleep>>>,
}

impl Recording {
    /// Makes room for so many bytes more, and counts what is behind them too. `false` when there is none.
    fn grow(&mut self, bytes: usize) -> bool {
        let Some(room) = &mut self.room else {
            return false;
        };
        let (length, capacity) = (self.body.len() + bytes, self.body.capacity());
        if length > room.bytes_max() {
            return false;
        }
        if length <= capacity {
            return true;
        }
        let larger = length.max(2 * capacity).min(room.bytes_max());
        let fits = room.take(larger - capacity);
        if fits {
            self.body.reserve_exact(larger - self.body.len());
        }
        fits
    }

    /// Keeps the answer, whose body is whole, and tells those that follow.
    pub(crate) fn keep(self, body: Bytes) -> Result<Arc<Entry>, NotKept> {
        let Self {
            target,
            wanted,
            since,
            head,
            lead,
            ..
        } = self;
        let cached = target.cache.as_ref().ok_or(NotKept::NotWhole)?;
        // What clients get of it that take a coding is made once.
        let coded = Coded::with_room(if is_coded(&target, &head, body.len()) {
            cached.store.room_for_codings(body.len())
        } else {
            0
        });
        let entry = Arc::new(Entry {
            variant: cached.variant(&wanted),
            status: head.status,
            headers: head.headers,
            body,
            freshness: head.freshness,
            tags: head.tags,
            coded,
            filed: None,
        });
        let kept = cached
            .store
            .keep(&cached.place, cached.url(&wanted), since, entry);
        let is_for_others = kept.as_ref().is_ok_and(|kept| {
            kept.freshness.judge(&Asks::default(), Instant::now()) != Verdict::Revalidate
        });
        if let Some(lead) = lead {
            lead.land(match &kept {
                Ok(kept) if is_for_others => Landing::Kept(Arc::clone(kept)),
                _ => Landing::NotKept,
            });
        }
        kept
    }

    /// All of it has gone to the disk.
    fn finish(self, filing: Filing) {
        let Some(cached) = &self.target.cache else {
            return;
        };
        // More than memory has room for, so it is long enough.
        let is_coded = is_coded(&self.target, &self.head, usize::MAX);
        let coded = Coded::with_room(if is_coded { NO_ROOM } else { 0 });
        let url = cached.url(&self.wanted).to_owned();
        let head = self.head;
        let entry = Entry {
            variant: cached.variant(&self.wanted),
            status: head.status,
            headers: head.headers,
            body: Bytes::new(),
            freshness: head.freshness,
            tags: head.tags,
            coded,
            filed: None,
        };
        cached
            .store
            .finish(filing, &cached.place, url, self.since, entry);
    }

    /// It is too large for memory: the disk may have room for it. Nobody waits for that.
    fn move_to_the_disk(&mut self, bytes: &Bytes) {
        let so_far = std::mem::take(&mut self.body);
        self.give_up();
        let cached = self.target.cache.as_ref();
        let filing = cached.and_then(|cached| cached.store.filing());
        self.filing = filing.and_then(|mut filing| {
            let is_taken = filing.push(so_far.into()) && filing.push(bytes.clone());
            is_taken.then_some(filing)
        });
    }

    /// It isn't kept in memory after all: nobody waits for it any longer.
    fn give_up(&mut self) {
        self.room = None;
        self.body = Vec::new();
        if let Some(lead) = self.lead.take() {
            lead.land(Landing::NotKept);
        }
    }
}

/// Whether clients get it in codings.
fn is_coded(target: &Target, head: &Head, length: usize) -> bool {
    target.slot.spec().compress != Compress::Never
        && compress::is_whole_and_worth_it(head.status, &head.headers, length)
}

impl Tap for Recording {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(filing) = &self.filing else {
            return Poll::Ready(());
        };
        if filing.poll_ready(cx).is_ready() {
            self.stalled = None;
            return Poll::Ready(());
        }
        let sleep = || Box::pin(tokio::time::sleep(STALL_TIME_MAX));
        let stalled = self.stalled.get_or_insert_with(sleep);
        if stalled.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // Its client waits for the disk no longer.
        (self.filing, self.stalled) = (None, None);
        Poll::Ready(())
    }

    fn take(&mut self, bytes: &Bytes) {
        if let Some(filing) = &mut self.filing {
            if !filing.push(bytes.clone()) {
                self.filing = None;
            }
        } else if self.room.is_none() {
            // Nothing is kept of it.
        } else if self.grow(bytes.len()) {
            self.body.extend_from_slice(bytes);
        } else {
            self.move_to_the_disk(bytes);
        }
    }

    fn complete(mut self: Box<Self>) {
        if self.room.is_some() {
            let body = std::mem::take(&mut self.body).into_boxed_slice();
            // Who reads it has it already.
            let _ = self.keep(body.into());
        } else if let Some(filing) = self.filing.take() {
            self.finish(filing);
        }
    }

    fn fail(mut self: Box<Self>) {
        self.filing = None;
        self.give_up();
    }
}
