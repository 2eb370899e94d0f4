//! What the node keeps of answers: how much, and what is told of it. What is kept of which answer is the cache crate's.

use std::sync::Arc;

use everwarm_cache::store::{Bounds, Store};

/// Bytes of answers that are kept in memory, of all tenants.
const CACHE_BYTES_MAX: u64 = 128 << 20;
/// Of one tenant: half, so that nobody has all of it for himself.
const CACHE_BYTES_OF_TENANT_MAX: u64 = 64 << 20;
/// The largest answer that is kept, with its head.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// The node's store of answers, and of values that functions keep for a time. Empty at first.
#[derive(Debug)]
pub(crate) struct KeptAnswers(pub(crate) Arc<Store>);

impl Default for KeptAnswers {
    fn default() -> Self {
        Self(Store::new(Bounds {
            bytes: CACHE_BYTES_MAX,
            bytes_of_tenant: CACHE_BYTES_OF_TENANT_MAX,
            bytes_of_entry: ANSWER_BYTES_MAX,
        }))
    }
}
