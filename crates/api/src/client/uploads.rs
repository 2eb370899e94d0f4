//! Uploads: bytes that are named by their digest, and whether they are there already.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::Full;

use super::{Client, ClientError};
use crate::operations::{self, Operation};

impl Client {
    /// Whether a component is there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn has_component(&self, digest: &str) -> Result<bool, ClientError> {
        self.has(&operations::HAS_COMPONENT, digest).await
    }

    /// Whether the node has a bundle of assets.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn has_assets(&self, digest: &str) -> Result<bool, ClientError> {
        self.has(&operations::HAS_ASSETS, digest).await
    }

    async fn has(&self, operation: &Operation, digest: &str) -> Result<bool, ClientError> {
        let request = self.request(operation, &[digest], "", Full::default())?;
        let response = self.send(request).await?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            // An answer to HEAD says why in its head only.
            status => Err(self.problem(status, &Bytes::new(), response.headers())),
        }
    }

    /// Uploads a component.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_component(&self, digest: &str, bytes: Bytes) -> Result<(), ClientError> {
        let media_type = "application/wasm";
        self.put(&operations::PUT_COMPONENT, digest, bytes, media_type)
            .await
    }

    /// Uploads a bundle of assets.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_assets(&self, digest: &str, bytes: Bytes) -> Result<(), ClientError> {
        let media_type = "application/x-tar";
        self.put(&operations::PUT_ASSETS, digest, bytes, media_type)
            .await
    }

    async fn put(
        &self,
        operation: &Operation,
        digest: &str,
        bytes: Bytes,
        media_type: &'static str,
    ) -> Result<(), ClientError> {
        let mut request = self.request(operation, &[digest], "", Full::new(bytes))?;
        let media_type = HeaderValue::from_static(media_type);
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, media_type);
        self.nothing(request).await
    }
}
