//! What can be done with a container that is open. Owns what is refused before the engine is asked, and what a function is
//! told when the engine fails. Knows no interface.

use std::sync::Arc;

use everwarm_store::blobs::{
    self, Blob, BlobError, BlobId, BlobName, BlobPage, BlobQuota, Blobs, Condition, Container,
    ContentType, Download, Part, Upload,
};
use everwarm_store::catalog::UnixMillis;

use super::Stores;
use crate::notice::Notices;

/// A container that a function has opened: one of its app's.
#[derive(Clone)]
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub struct OpenContainer(pub(super) Arc<Opened>);

/// What is shared by all who have opened it.
pub(super) struct Opened {
    pub(super) container: Container,
    pub(super) stores: Arc<dyn Stores>,
    pub(super) notices: Arc<Notices>,
}

/// Why a function gets nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("there is no container of that name")]
    NoSuchContainer,
    #[error("access denied: no grant allows it")]
    AccessDenied,
    #[error("the blob isn't as the condition says: look at it again")]
    Changed,
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    Full(String),
    #[error("{0}")]
    Unavailable(String),
}

impl OpenContainer {
    pub(super) fn name(&self) -> &str {
        self.0.container.name.as_str()
    }

    pub(super) fn blobs(&self) -> Result<&dyn Blobs, Refused> {
        self.0.stores.blobs().ok_or_else(|| {
            Refused::Unavailable("the node is starting: its store isn't open yet".to_owned())
        })
    }

    /// One of its blobs.
    fn id(&self, name: &str) -> Result<BlobId, Refused> {
        Ok(BlobId {
            container: self.0.container.clone(),
            name: blob_name(name)?,
        })
    }

    fn quota(&self) -> BlobQuota {
        self.0.stores.blob_quota(&self.0.container.tenant)
    }

    pub(super) async fn created(&self) -> Result<UnixMillis, Refused> {
        let created = self.blobs()?.created(&self.0.container).await;
        let created = created.map_err(|error| self.refused(&error))?;
        // One without blobs is as new as can be.
        Ok(created.unwrap_or_else(UnixMillis::now))
    }

    pub(super) async fn head(&self, name: &str) -> Result<Option<Blob>, Refused> {
        let id = self.id(name)?;
        let blob = self.blobs()?.head(&id).await;
        blob.map_err(|error| self.refused(&error))
    }

    pub(super) async fn get(
        &self,
        name: &str,
        part: Part,
    ) -> Result<Option<Box<dyn Download>>, Refused> {
        let id = self.id(name)?;
        let download = self.blobs()?.get(&id, part).await;
        download.map_err(|error| self.refused(&error))
    }

    pub(super) async fn put(
        &self,
        name: &str,
        content_type: Option<String>,
    ) -> Result<Box<dyn Upload>, Refused> {
        let id = self.id(name)?;
        // An empty text is as good as none.
        let content_type = content_type.filter(|text| !text.is_empty());
        let content_type = content_type.as_deref().map(ContentType::new).transpose();
        let content_type = content_type.map_err(|error| Refused::Invalid(error.to_string()))?;
        let quota = self.quota();
        let upload = self.blobs()?.put(&id, content_type, quota).await;
        upload.map_err(|error| self.refused(&error))
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        count_max: u32,
    ) -> Result<BlobPage, Refused> {
        if prefix.len() > blobs::BLOB_NAME_BYTES_MAX {
            return Ok(BlobPage::default());
        }
        let after = cursor.map(|cursor| {
            let text = "the cursor isn't one that a list has answered";
            BlobName::new(cursor).map_err(|_| Refused::Invalid(text.to_owned()))
        });
        let (container, after) = (&self.0.container, after.transpose()?);
        let page = self
            .blobs()?
            .list(container, prefix, after.as_ref(), count_max);
        page.await.map_err(|error| self.refused(&error))
    }

    pub(super) async fn delete(&self, name: &str, condition: Condition) -> Result<bool, Refused> {
        let id = self.id(name)?;
        let deleted = self.blobs()?.delete(&id, condition).await;
        deleted.map_err(|error| self.refused(&error))
    }

    pub(super) async fn clear(&self) -> Result<(), Refused> {
        let cleared = self.blobs()?.clear(&self.0.container).await;
        cleared.map(drop).map_err(|error| self.refused(&error))
    }

    pub(super) async fn copy(
        &self,
        name: &str,
        to: &Self,
        to_name: &str,
    ) -> Result<Option<Blob>, Refused> {
        let (from, target) = (self.id(name)?, to.id(to_name)?);
        let quota = self.quota();
        let copied = blobs::copy(
            (self.blobs()?, &from),
            (to.blobs()?, &target),
            quota,
            UnixMillis::now(),
        );
        copied.await.map_err(|error| to.refused(&error))
    }

    pub(super) async fn rename(
        &self,
        name: &str,
        to: &Self,
        to_name: &str,
    ) -> Result<bool, Refused> {
        let (from, target) = (self.id(name)?, to.id(to_name)?);
        let renamed = self.blobs()?.rename(&from, &target).await;
        renamed.map_err(|error| self.refused(&error))
    }

    /// What a function hears of a failure. The app's owner hears of what can be done something about, the node's of what
    /// the store says.
    pub(super) fn refused(&self, error: &BlobError) -> Refused {
        let text = error.to_string();
        match error {
            BlobError::Changed { .. } => Refused::Changed,
            BlobError::BadRange { .. } | BlobError::OtherApp => Refused::Invalid(text),
            BlobError::TooLarge => Refused::TooLarge(text),
            BlobError::TooManyBlobs { .. } | BlobError::TooManyBytes { .. } => {
                let name = self.name();
                self.0.notices.say("a blob wasn't kept", |_| {
                    format!("container of blobs `{name}`: {text}")
                });
                Refused::Full(text)
            }
            BlobError::TooManyUploads { .. } | BlobError::TooManyDownloads { .. } => {
                Refused::Full(text)
            }
            BlobError::DiskFull => {
                tracing::error!(%error, "a blob can't be kept");
                Refused::Full("the node's disk is full".to_owned())
            }
            // The node's log has heard of it.
            BlobError::Refused(_) | BlobError::Unavailable { .. } => Refused::Unavailable(text),
            BlobError::Damaged { .. } | BlobError::Failed { .. } => {
                let error = error as &dyn std::error::Error;
                tracing::error!(error, "blobs can't be read or written");
                Refused::Unavailable("the node can't read or write its blobs now".to_owned())
            }
        }
    }
}

fn blob_name(text: &str) -> Result<BlobName, Refused> {
    BlobName::new(text).map_err(|error| Refused::Invalid(error.to_string()))
}
