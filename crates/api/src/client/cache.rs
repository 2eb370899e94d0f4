//! What is kept of answers, as a client asks and purges it.

use super::{Client, ClientError, body};
use crate::messages::{CachePurge, CachePurged, CacheUsage};
use crate::operations;

impl Client {
    /// How much is kept of an app's answers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cache(&self, app: &str) -> Result<CacheUsage, ClientError> {
        self.json(&operations::GET_CACHE, &[app], "", None).await
    }

    /// Forgets answers of an app.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn purge_cache(
        &self,
        app: &str,
        purge: &CachePurge,
    ) -> Result<CachePurged, ClientError> {
        let body = body(purge)?;
        self.json(&operations::PURGE_CACHE, &[app], "", Some(body))
            .await
    }
}
