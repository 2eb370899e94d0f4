//! When a node is ready: what served before it was restarted has its machine code.
//!
//! A newer binary has another engine, whose code nobody has made yet. It is made before the node says that it is
//! ready, the functions that were used most first, so that an upgrade behind a balancer refuses nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::{AppName, FunctionName, TenantId};
use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::usage::UnixHour;
use futures_util::stream::{self, StreamExt as _};

use crate::node::Node;

/// Hours of usage that say which functions are used.
const HOURS: u32 = 24;
/// Rows of it that are looked at.
const ROWS_MAX: u32 = 100_000;
/// Functions that are asked for at once; how many compile at once is the compiler's business.
const ASKED_AT_ONCE: usize = 16;

/// Whether the code of what serves has been looked after.
#[derive(Debug, Default)]
pub(crate) struct Readiness(AtomicBool);

impl Node {
    /// Whether the node has the code of what serves, and takes requests.
    pub fn is_ready(&self) -> bool {
        self.readiness.0.load(Ordering::Acquire) && !self.is_ending()
    }

    /// Makes the code that is missing, and is ready then. A function whose code can't be made answers 503; it keeps
    /// nobody else from being served.
    pub async fn get_ready(&self) {
        let mut specs = self.served();
        let used = self.used().await;
        let requests = |spec: &FunctionSpec| {
            used.get(&(spec.tenant.clone(), spec.app.clone(), spec.name.clone()))
        };
        specs.sort_by_cached_key(|spec| {
            std::cmp::Reverse(requests(spec).copied().unwrap_or_default())
        });
        let missing: Vec<_> = specs
            .into_iter()
            .filter(|spec| !self.code.is_there(spec))
            .collect();
        if !missing.is_empty() {
            tracing::info!(
                functions = missing.len(),
                "machine code is made before the node is ready"
            );
        }
        stream::iter(missing)
            .for_each_concurrent(ASKED_AT_ONCE, async |spec| {
                if let Err(error) = self.code.make(&spec).await {
                    tracing::error!(app = %spec.app, function = %spec.name, %error, "its machine code can't be made");
                }
            })
            .await;
        self.readiness.0.store(true, Ordering::Release);
    }

    fn served(&self) -> Vec<Arc<FunctionSpec>> {
        let apps = self.apps.lock();
        apps.targets()
            .map(|target| Arc::clone(target.slot.spec()))
            .collect()
    }

    /// How often each function was asked for lately.
    async fn used(&self) -> HashMap<(TenantId, AppName, FunctionName), u64> {
        let now = u32::try_from(UnixMillis::now().0 / 3_600_000).unwrap_or(u32::MAX);
        let from = UnixHour(now.saturating_sub(HOURS));
        let rows = self
            .store
            .usage()
            .rows(None, from, UnixHour(u32::MAX), ROWS_MAX)
            .await;
        let mut used = HashMap::new();
        // The order is a courtesy: without it, all of them are made all the same.
        for row in rows.unwrap_or_default() {
            *used.entry((row.tenant, row.app, row.function)).or_default() += row.sums.requests;
        }
        used
    }
}
