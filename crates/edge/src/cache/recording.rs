//! An answer that goes by on its way to the client and is kept once it is whole. Owns that nothing of one that broke off is
//! kept, and the bound on what is recorded at once.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use everwarm_cache::control::Asks;
use everwarm_cache::entry::{Coded, Entry};
use everwarm_cache::freshness::{Freshness, Verdict};
use everwarm_cache::storable::NotKept;
use everwarm_cache::store::{Room, Since};
use everwarm_engine::invoke::Tap;
use everwarm_manifest::Compress;
use http::{HeaderMap, StatusCode};

use super::{Landing, Lead, Wanted};
use crate::compress;
use crate::dispatch::Target;

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
        let coded = if target.slot.spec().compress != Compress::Never
            && compress::is_whole_and_worth_it(head.status, &head.headers, body.len())
        {
            Coded::with_room(body.len())
        } else {
            Coded::default()
        };
        let entry = Arc::new(Entry {
            variant: cached.variant(&wanted),
            status: head.status,
            headers: head.headers,
            body,
            freshness: head.freshness,
            tags: head.tags,
            coded,
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

    /// It isn't kept after all: nobody waits for it any longer.
    fn give_up(&mut self) {
        self.room = None;
        self.body = Vec::new();
        if let Some(lead) = self.lead.take() {
            lead.land(Landing::NotKept);
        }
    }
}

impl Tap for Recording {
    fn take(&mut self, bytes: &Bytes) {
        if self.room.is_none() {
            return;
        }
        if self.grow(bytes.len()) {
            self.body.extend_from_slice(bytes);
        } else {
            self.give_up();
        }
    }

    fn complete(mut self: Box<Self>) {
        if self.room.is_some() {
            let body = std::mem::take(&mut self.body).into_boxed_slice();
            // Who reads it has it already.
            let _ = self.keep(body.into());
        }
    }

    fn fail(mut self: Box<Self>) {
        self.give_up();
    }
}
