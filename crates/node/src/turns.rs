//! Who may do at once what costs a node much: so many in all, and fewer of one tenant, so that a tenant that asks for
//! much keeps none of the others waiting for long.
//!
//! A tenant waits for its own turn first and stands in the common queue, which is first come, first served, with no
//! more than its own share: whoever comes waits behind a share of each tenant at most.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use everwarm_manifest::TenantId;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    share: usize,
    tenants: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
    waiting: AtomicU64,
}

/// One of them. Dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Turn {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Turns {
    /// `all` at once, and `share` of one tenant.
    pub(crate) fn new(all: usize, share: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS))),
            share: share.min(Semaphore::MAX_PERMITS),
            tenants: Mutex::default(),
            waiting: AtomicU64::new(0),
        }
    }

    /// Waits for a turn.
    pub(crate) async fn wait(&self, tenant: &TenantId) -> Turn {
        let _waiting = Waiting::begin(&self.waiting);
        let never_closed = "the semaphore is never closed";
        let own = self.own(tenant).acquire_owned().await;
        let own = own.expect(never_closed);
        let all = Arc::clone(&self.all).acquire_owned().await;
        Turn {
            _all: all.expect(never_closed),
            _own: own,
        }
    }

    /// How many wait for a turn.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A turn, if there is one now.
    pub(crate) fn take(&self, tenant: &TenantId) -> Option<Turn> {
        let own = self.own(tenant).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Turn {
            _all: all,
            _own: own,
        })
    }

    /// A tenant's turns, which are forgotten when it has none and waits for none.
    fn own(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock();
        if let Some(own) = tenants.get(tenant).and_then(Weak::upgrade) {
            return own;
        }
        tenants.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.share));
        tenants.insert(tenant.clone(), Arc::downgrade(&own));
        own
    }
}

/// Counts who waits, until it waits no more or is gone.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    #[tokio::test]
    async fn tenant_with_many_jobs_leaves_a_place_for_others() {
        let turns = Turns::new(3, 2);
        let (ann, bob) = (tenant("ann"), tenant("bob"));
        let first = turns.wait(&ann).await;
        let _second = turns.wait(&ann).await;
        let mut third = Box::pin(turns.wait(&ann));
        assert!((&mut third).now_or_never().is_none());
        assert!(turns.take(&ann).is_none());
        let bobs = turns.wait(&bob).now_or_never();
        assert!(bobs.is_some(), "a place is left");
        assert!(turns.take(&tenant("cid")).is_none(), "there are three");
        drop(bobs);
        drop(first);
        third.await;
    }

    #[tokio::test]
    async fn others_wait_behind_a_share_of_a_tenant_and_not_behind_all_that_it_asked_for() {
        let turns = Turns::new(1, 1);
        let (ann, bob) = (tenant("ann"), tenant("bob"));
        let first = turns.wait(&ann).await;
        let mut more: Vec<_> = (0..10).map(|_| Box::pin(turns.wait(&ann))).collect();
        for one in &mut more {
            assert!(one.now_or_never().is_none());
        }
        let mut bobs = Box::pin(turns.wait(&bob));
        assert!((&mut bobs).now_or_never().is_none());
        drop(first);
        // She has her turn first, for she asked first; then it is his.
        let hers = (&mut more[0]).now_or_never();
        let his = (&mut bobs).now_or_never();
        assert!(hers.is_some() != his.is_some(), "one at a time");
        drop(hers);
        if his.is_none() {
            assert!(bobs.now_or_never().is_some());
        }
    }

    #[tokio::test]
    async fn nothing_is_left_of_tenants_that_have_no_turn() {
        let turns = Turns::new(8, 4);
        for number in 0..100 {
            drop(turns.wait(&tenant(&format!("t{number}"))).await);
        }
        assert_eq!(turns.tenants.lock().len(), 1);
    }
}
