//! Keeping what apps keep in order: key-value data that has expired and messages that died long ago are swept, and what was
//! an app's that is gone is removed, its SQL databases, queues and blobs too.
//!
//! Owns when, and that nothing is taken but from an app that was removed: what a catalog doesn't know may be in it again
//! tomorrow, when it was lost and the apps are deployed anew. One task does all of it, and ends with its owner; in it nothing waits for
//! a bucket but what is in buckets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use everwarm_store::Store as _;
use everwarm_store::blobs::BlobError;
use everwarm_store::catalog::{CatalogError, UnixMillis};
use everwarm_store::embedded::Embedded;
use everwarm_store::kv::{KvError, SWEEP_MAX};
use everwarm_store::sql::SqlError;
use everwarm_store::triggers::{self, TriggerError};
use tokio::task::JoinHandle;

use crate::apps::AppKey;
use crate::locks::AppLocks;

/// How often something is swept when there was nothing more to sweep.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// The pause before more is swept: writes of functions go on meanwhile.
const SWEEP_MORE_AFTER: Duration = Duration::from_secs(2);
/// Sweeps between two pauses. Each is a write of its own, with others' between them.
const SWEEPS_IN_A_ROW: u32 = 4;
/// As [`SWEEPS_IN_A_ROW`], of blobs: most look into a folder and find nothing.
const BLOB_SWEEPS_IN_A_ROW: u32 = 64;
/// How often data without an app is looked for.
const ORPHANS_EVERY: Duration = Duration::from_hours(1);
/// How long dead messages of queues are kept.
const DEAD_KEPT_MS: u64 = 14 * 24 * 3_600_000;
/// Apps that are asked for at once.
const APPS_A_PAGE: u32 = 1_000;

/// See the module's documentation. Dropping it ends the task.
pub(crate) struct Keeping {
    keeper: Arc<Keeper>,
    task: JoinHandle<()>,
}

impl Keeping {
    /// Begins, with a search for data without an app.
    pub(crate) fn start(store: Arc<Embedded>, locks: Arc<AppLocks>) -> Self {
        let keeper = Arc::new(Keeper {
            store,
            locks,
            swept: AtomicU64::new(0),
        });
        let task = tokio::spawn({
            let keeper = Arc::clone(&keeper);
            async move { keeper.run().await }
        });
        Self { keeper, task }
    }

    /// Entries that were swept since the start.
    pub(crate) fn swept(&self) -> u64 {
        self.keeper.swept.load(Ordering::Relaxed)
    }

    /// Ends it; what the store was asked already it does.
    pub(crate) fn end(&self) {
        self.task.abort();
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.end();
    }
}

/// Data without an app can't be looked for.
#[derive(Debug, thiserror::Error)]
enum OrphanError {
    /// The catalog doesn't say which apps there are.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Key-value data can't be read or removed.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// SQL databases can't be listed or removed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// Queues can't be listed or removed.
    #[error(transparent)]
    Triggers(#[from] TriggerError),
    /// Blobs can't be listed or removed.
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

/// What an app keeps that may outlive it.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// By key.
    Values,
    /// In SQL databases.
    Databases,
    /// In queues and schedules.
    Messages,
    /// As streams.
    Blobs,
}

struct Keeper {
    store: Arc<Embedded>,
    locks: Arc<AppLocks>,
    swept: AtomicU64,
}

impl Keeper {
    async fn run(&self) {
        let orphans = async {
            loop {
                if let Err(error) = self.remove_orphans().await {
                    tracing::error!(%error, "data of removed apps can't be looked for");
                }
                tokio::time::sleep(ORPHANS_EVERY).await;
            }
        };
        let data = async {
            loop {
                let (values, messages) = (self.sweep().await, self.sweep_messages().await);
                tokio::time::sleep(values.min(messages)).await;
            }
        };
        // They may be in a bucket, which may be far away, slow or gone.
        let blobs = async {
            loop {
                let pause = self.sweep_blobs().await;
                tokio::time::sleep(pause).await;
            }
        };
        tokio::join!(orphans, data, blobs);
    }

    /// Sweeps for a while. Says when to go on.
    async fn sweep(&self) -> Duration {
        for _ in 0..SWEEPS_IN_A_ROW {
            match self.store.kv().sweep(UnixMillis::now(), SWEEP_MAX).await {
                Ok(swept) => {
                    let entries = u64::from(swept.entries);
                    self.swept.fetch_add(entries, Ordering::Relaxed);
                    if !swept.more {
                        return SWEEP_EVERY;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "key-value data that has expired can't be removed");
                    return SWEEP_EVERY;
                }
            }
        }
        SWEEP_MORE_AFTER
    }

    /// As [`Self::sweep`], for messages that died long ago, and those of removed apps.
    async fn sweep_messages(&self) -> Duration {
        let dead_before = UnixMillis(UnixMillis::now().0.saturating_sub(DEAD_KEPT_MS));
        for _ in 0..SWEEPS_IN_A_ROW {
            let swept = self
                .store
                .triggers()
                .sweep(dead_before, triggers::SWEEP_MAX);
            match swept.await {
                Ok(swept) if !swept.more => return SWEEP_EVERY,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "old messages can't be removed from queues");
                    return SWEEP_EVERY;
                }
            }
        }
        SWEEP_MORE_AFTER
    }

    /// As [`Self::sweep`], files of blobs that nobody needs.
    async fn sweep_blobs(&self) -> Duration {
        for _ in 0..BLOB_SWEEPS_IN_A_ROW {
            match self.store.blobs().sweep().await {
                Ok(false) => return SWEEP_EVERY,
                Ok(true) => {}
                Err(error) => {
                    tracing::error!(%error, "files of blobs that nobody needs can't be removed");
                    return SWEEP_EVERY;
                }
            }
        }
        SWEEP_MORE_AFTER
    }

    /// Removes the data of apps that were removed: the removal was cut short, or a request that was in wrote once more.
    async fn remove_orphans(&self) -> Result<(), OrphanError> {
        for kind in [Kind::Values, Kind::Databases, Kind::Messages, Kind::Blobs] {
            let mut after: Option<AppKey> = None;
            loop {
                let page = self.apps(kind, after.as_ref()).await?;
                for key in &page {
                    if self.remove_if_orphan(kind, key).await? {
                        let (tenant, app) = key;
                        tracing::info!(%tenant, %app, ?kind, "data of an app that is gone is removed");
                    }
                }
                after = page.into_iter().next_back();
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The apps that have data of a kind.
    async fn apps(&self, kind: Kind, after: Option<&AppKey>) -> Result<Vec<AppKey>, OrphanError> {
        let from = after.map(|(tenant, app)| (tenant, app));
        Ok(match kind {
            Kind::Values => self.store.kv().apps(from, APPS_A_PAGE).await?,
            Kind::Databases => self.store.sql().apps(from, APPS_A_PAGE).await?,
            Kind::Messages => self.store.triggers().apps(from, APPS_A_PAGE).await?,
            Kind::Blobs => self.store.blobs().apps(from, APPS_A_PAGE).await?,
        })
    }

    async fn remove_if_orphan(&self, kind: Kind, key: &AppKey) -> Result<bool, OrphanError> {
        let ((tenant, app), catalog) = (key, self.store.catalog());
        if !catalog.is_removed(tenant, app).await? {
            return Ok(false);
        }
        // A deploy that is under way holds it until there is an app of that name again, or won't be.
        let _nobody_deploys = self.locks.lock(key).await;
        if !catalog.is_removed(tenant, app).await? {
            return Ok(false);
        }
        Ok(match kind {
            Kind::Values => self.store.kv().remove_app(tenant, app).await?,
            Kind::Databases => self.store.sql().remove_app(tenant, app).await?,
            Kind::Messages => self.store.triggers().remove_app(tenant, app).await?,
            Kind::Blobs => self.store.blobs().remove_app(tenant, app).await?,
        })
    }
}

#[cfg(test)]
mod tests;
