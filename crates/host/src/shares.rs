//! What functions share, as long as one of them is resident: a pool, a budget.
//!
//! Owns that whoever comes first makes it, and that nobody keeps what nobody has any more.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// By what it is shared.
pub(crate) type Shares<K, V> = HashMap<K, Weak<V>>;

/// What is shared under `key`, made if nobody has it.
pub(crate) fn shared<K: Eq + Hash, V>(
    shares: &Mutex<Shares<K, V>>,
    key: K,
    make: impl FnOnce() -> V,
) -> Arc<V> {
    let mut shares = shares.lock();
    if let Some(share) = shares.get(&key).and_then(Weak::upgrade) {
        return share;
    }
    shares.retain(|_, share| share.strong_count() > 0);
    let share = Arc::new(make());
    shares.insert(key, Arc::downgrade(&share));
    share
}
