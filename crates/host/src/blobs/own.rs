//! `everwarm:blobs`, for both versions of WASI. Converts, and knows nothing else.

use everwarm_engine::Sandbox;
use everwarm_store::blobs::{Blob, BlobPage, Condition, ContentType, Etag, Part};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::everwarm::blobs::store;
use super::container::{OpenContainer, Refused};
use super::incoming::Reading;
use super::outgoing::Writing;

type Answer<T> = Result<std::result::Result<T, store::Error>>;

impl From<Refused> for store::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoSuchContainer => Self::NoSuchContainer,
            Refused::AccessDenied => Self::AccessDenied,
            Refused::Changed => Self::Changed,
            Refused::Invalid(text) => Self::Invalid(text),
            Refused::TooLarge(text) => Self::TooLarge(text),
            Refused::Full(text) => Self::Full(text),
            Refused::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

impl From<store::Condition> for Condition {
    fn from(condition: store::Condition) -> Self {
        match condition {
            store::Condition::Any => Self::Any,
            store::Condition::Absent => Self::Absent,
            store::Condition::Matches(etag) => Self::Matches(Etag::new(&etag)),
        }
    }
}

impl From<Blob> for store::Blob {
    fn from(blob: Blob) -> Self {
        let content_type = blob.content_type.as_ref();
        Self {
            name: blob.name.as_str().to_owned(),
            size: blob.size,
            etag: blob.etag.as_str().to_owned(),
            content_type: content_type.map(|text| ContentType::as_str(text).to_owned()),
            created_ms: blob.created.0,
        }
    }
}

impl From<BlobPage> for store::Page {
    fn from(page: BlobPage) -> Self {
        Self {
            blobs: page.blobs.into_iter().map(Into::into).collect(),
            cursor: page.next.map(|name| name.as_str().to_owned()),
        }
    }
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "each of the interface's functions may trap, and this is its end"
)]
fn answer<T, U: From<T>>(done: std::result::Result<T, Refused>) -> Answer<U> {
    Ok(done.map(U::from).map_err(store::Error::from))
}

impl store::Host for Sandbox {}

impl store::HostContainer for Sandbox {
    fn open(&mut self, name: String) -> Answer<Resource<OpenContainer>> {
        match super::open(self, &name) {
            Ok(container) => self.keep_resource(container).map(Ok),
            Err(refused) => Ok(Err(refused.into())),
        }
    }

    async fn head(
        &mut self,
        this: Resource<OpenContainer>,
        name: String,
    ) -> Answer<Option<store::Blob>> {
        let found = self.resource_mut(&this)?.head(&name).await;
        answer(found.map(|blob| blob.map(Into::into)))
    }

    async fn get(
        &mut self,
        this: Resource<OpenContainer>,
        name: String,
        start: u64,
        len: Option<u64>,
    ) -> Answer<Option<Resource<Reading>>> {
        let container = self.resource_mut(&this)?.clone();
        let len_max = len.unwrap_or(u64::MAX);
        match container.get(&name, Part { start, len_max }).await {
            Ok(Some(download)) => {
                let reading = Reading::new(container, download);
                Ok(Ok(Some(self.keep_resource(reading)?)))
            }
            Ok(None) => Ok(Ok(None)),
            Err(refused) => Ok(Err(refused.into())),
        }
    }

    async fn put(
        &mut self,
        this: Resource<OpenContainer>,
        name: String,
        content_type: Option<String>,
    ) -> Answer<Resource<Writing>> {
        let container = self.resource_mut(&this)?.clone();
        match container.put(&name, content_type).await {
            Ok(upload) => self.keep_resource(Writing::new(container, upload)).map(Ok),
            Err(refused) => Ok(Err(refused.into())),
        }
    }

    async fn list(
        &mut self,
        this: Resource<OpenContainer>,
        prefix: String,
        cursor: Option<String>,
        count_max: u32,
    ) -> Answer<store::Page> {
        let container = self.resource_mut(&this)?;
        answer(container.list(&prefix, cursor.as_deref(), count_max).await)
    }

    async fn delete(
        &mut self,
        this: Resource<OpenContainer>,
        name: String,
        condition: store::Condition,
    ) -> Answer<bool> {
        let container = self.resource_mut(&this)?;
        answer(container.delete(&name, condition.into()).await)
    }

    async fn copy(
        &mut self,
        this: Resource<OpenContainer>,
        name: String,
        to: Resource<OpenContainer>,
        to_name: String,
    ) -> Answer<Option<store::Blob>> {
        let (from, to) = (self.resource(&this)?.clone(), self.resource(&to)?.clone());
        let copied = from.copy(&name, &to, &to_name).await;
        answer(copied.map(|blob| blob.map(Into::into)))
    }

    async fn rename(
        &mut self,
        this: Resource<OpenContainer>,
        name: String,
        to: Resource<OpenContainer>,
        to_name: String,
    ) -> Answer<bool> {
        let (from, to) = (self.resource(&this)?.clone(), self.resource(&to)?.clone());
        answer(from.rename(&name, &to, &to_name).await)
    }

    async fn drop(&mut self, this: Resource<OpenContainer>) -> Result<()> {
        self.take_resource(&this).map(drop)
    }
}

impl store::HostUpload for Sandbox {
    async fn write(&mut self, this: Resource<Writing>, bytes: Vec<u8>) -> Answer<()> {
        answer(self.resource_mut(&this)?.write(bytes).await)
    }

    async fn finish(
        &mut self,
        this: Resource<Writing>,
        condition: store::Condition,
    ) -> Answer<store::Blob> {
        answer(self.take_resource(&this)?.finish(condition.into()).await)
    }

    async fn drop(&mut self, this: Resource<Writing>) -> Result<()> {
        self.take_resource(&this).map(drop)
    }
}

impl store::HostDownload for Sandbox {
    fn info(&mut self, this: Resource<Reading>) -> Result<store::Blob> {
        Ok(self.resource(&this)?.blob().clone().into())
    }

    fn left(&mut self, this: Resource<Reading>) -> Result<u64> {
        Ok(self.resource(&this)?.left())
    }

    async fn read(&mut self, this: Resource<Reading>) -> Answer<Option<Vec<u8>>> {
        let piece = self.resource_mut(&this)?.read().await;
        answer(piece.map(|piece| piece.map(Vec::from)))
    }

    async fn drop(&mut self, this: Resource<Reading>) -> Result<()> {
        self.take_resource(&this).map(drop)
    }
}
