//! What nobody needs any more: old versions of an app, components of no version, machine code of no component.
//!
//! Owns when it is looked for and how long things are kept all the same. What is referred to is the store's to say.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use everwarm_store::Store as _;
use everwarm_store::artifacts::{ArtifactError, Collected};
use everwarm_store::catalog::UnixMillis;

use crate::apps::AppKey;
use crate::node::Node;

/// How often a node looks for garbage.
const EVERY: Duration = Duration::from_hours(1);
/// How long a component is kept that no version refers to: a deploy uploads first, and refers to it then.
const GRACE: Duration = Duration::from_hours(1);

/// What a collection has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Garbage {
    /// Components.
    pub components: u64,
    /// Their bytes.
    pub component_bytes: u64,
    /// Bytes of machine code.
    pub code_bytes: u64,
}

/// Garbage can't be removed.
#[derive(Debug, thiserror::Error)]
pub enum GarbageError {
    /// The store failed.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The folder of compiled artifacts failed.
    #[error("old machine code can't be removed: {0}")]
    Code(#[source] std::io::Error),
}

impl Node {
    /// Forgets the oldest versions of an app beyond those that are kept. What serves, and what a rollback goes to next, stays.
    pub(crate) async fn prune(&self, key: &AppKey) {
        let (tenant, app) = key;
        let catalog = self.store.catalog();
        match catalog.prune_versions(tenant, app, self.versions_max).await {
            Ok(pruned) if pruned.is_empty() => {}
            Ok(pruned) => {
                self.previews.forget(key);
                tracing::info!(%app, versions = pruned.len(), "old versions are forgotten");
            }
            // The deploy is done; the next one tries again.
            Err(error) => tracing::error!(%app, %error, "old versions can't be forgotten"),
        }
    }

    /// Removes what has been garbage for as long as `grace`.
    ///
    /// # Errors
    ///
    /// [`GarbageError`]; what was removed until then is gone.
    pub async fn collect(&self, grace: Duration) -> Result<Garbage, GarbageError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let before = UnixMillis(UnixMillis::now().0.saturating_sub(grace_ms));
        let artifacts = self.store.artifacts();
        let Collected {
            artifacts: components,
            bytes: component_bytes,
        } = artifacts.collect(before).await?;
        // After the components: code of one that was put meanwhile is younger than `before`.
        let needed = artifacts.digests().await?;
        let code = Arc::clone(&self.code);
        let before = SystemTime::UNIX_EPOCH + Duration::from_millis(before.0);
        let removed = tokio::task::spawn_blocking(move || {
            code.compiled
                .collect(before, |digest| needed.contains(&digest))
        });
        let code_bytes = removed
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(GarbageError::Code)?;
        Ok(Garbage {
            components,
            component_bytes,
            code_bytes,
        })
    }

    /// Collects from time to time, for as long as the node runs.
    pub async fn keep_clean(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            match self.collect(GRACE).await {
                Ok(garbage) if garbage == Garbage::default() => {}
                Ok(garbage) => tracing::info!(?garbage, "garbage is removed"),
                Err(error) => tracing::error!(%error, "garbage can't be removed"),
            }
        }
    }
}
