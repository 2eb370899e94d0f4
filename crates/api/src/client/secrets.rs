//! Secrets of apps. Values go in and never come out.

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body_util::Full;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Client, ClientError, body};
use crate::messages::{KeyRotation, Secret, SecretPage, SecretRollback};
use crate::operations;

impl Client {
    /// Lists an app's secrets by name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn secrets(&self, app: &str) -> Result<SecretPage, ClientError> {
        self.json(&operations::LIST_SECRETS, &[app], "", None).await
    }

    /// Sets a secret.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_secret(
        &self,
        app: &str,
        name: &str,
        value: &SecretString,
    ) -> Result<Secret, ClientError> {
        let value = Bytes::copy_from_slice(value.expose_secret().as_bytes());
        self.put_secret_bytes(app, name, value).await
    }

    /// As [`Client::put_secret`], with bytes that may be no text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put_secret_bytes(
        &self,
        app: &str,
        name: &str,
        value: Bytes,
    ) -> Result<Secret, ClientError> {
        let (operation, value) = (&operations::PUT_SECRET, Full::new(value));
        let mut request = self.request(operation, &[app, name], "", value)?;
        let media_type = HeaderValue::from_static("application/octet-stream");
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, media_type);
        self.read(request).await
    }

    /// Goes back to an earlier version of a secret.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn roll_back_secret(
        &self,
        app: &str,
        name: &str,
        rollback: &SecretRollback,
    ) -> Result<Secret, ClientError> {
        let (operation, body) = (&operations::ROLL_BACK_SECRET, body(rollback)?);
        self.json(operation, &[app, name], "", Some(body)).await
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_secret(&self, app: &str, name: &str) -> Result<(), ClientError> {
        let (operation, nothing) = (&operations::REMOVE_SECRET, Full::default());
        let request = self.request(operation, &[app, name], "", nothing)?;
        self.nothing(request).await
    }

    /// Seals all secrets of the node anew.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rotate_secrets_key(&self) -> Result<KeyRotation, ClientError> {
        let operation = &operations::ROTATE_SECRETS_KEY;
        self.json(operation, &[], "", None).await
    }
}
