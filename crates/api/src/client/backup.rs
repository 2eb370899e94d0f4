//! Taking a backup.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;

use super::streamed::Streamed;
use super::{Client, ClientError};
use crate::operations;

/// How long the node may take for its first word.
const FIRST_TIME_MAX: Duration = Duration::from_mins(1);

/// A backup that is on its way.
#[derive(Debug)]
pub struct Archive(Streamed);

impl Client {
    /// Asks the node for a copy of all that it keeps.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn back_up(&self) -> Result<Archive, ClientError> {
        let request = self.request(&operations::BACK_UP, &[], "", Full::default())?;
        let response = self.begin(request, "backup", FIRST_TIME_MAX).await?;
        Ok(Archive(response.into_body()))
    }
}

impl Archive {
    /// The next piece; `None` when that was all.
    ///
    /// # Errors
    /// [`ClientError`]: what came until now is no backup.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.0.piece().await
    }
}
