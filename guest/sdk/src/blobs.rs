//! Blobs: what an app keeps as streams, of any size. Here is the API; how the host is asked is `sys`.

mod error;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};

pub use self::error::BlobError;
use crate::Body;
use crate::sys::blobs as sys;

/// One of the app's containers of blobs.
///
/// A blob is there whole or not at all, and has survived power loss when the call that writes it returns. Names are text of
/// 1 to 1024 bytes without control characters; a `/` in one means nothing.
///
/// ```
/// use everwarm_sdk::blobs::Container;
/// use everwarm_sdk::{Error, Request, Response, Result};
///
/// #[everwarm_sdk::http]
/// async fn photos(request: Request) -> Result {
///     let photos = Container::open("photos")?;
///     let name = request.uri().path().to_owned();
///     if request.method() == "PUT" {
///         photos.put(&name, request.into_body()).await?;
///         return Ok(Response::default());
///     }
///     let photo = photos.get(&name).await?;
///     let photo = photo.ok_or_else(|| Error::not_found("there is no such photo"))?;
///     Ok(Response::new(photo.into_body()))
/// }
/// ```
#[derive(Debug)]
pub struct Container(sys::Container);

/// What is known of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobInfo {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Names its contents: as HTTP's `ETag`, without the quotes.
    pub etag: String,
    /// What it is, as HTTP's `Content-Type`, if its writer said so.
    pub content_type: Option<String>,
    /// When it was written.
    pub created: SystemTime,
}

impl BlobInfo {
    pub(crate) fn new(
        name: String,
        size: u64,
        etag: String,
        content_type: Option<String>,
        created_ms: u64,
    ) -> Self {
        Self {
            name,
            size,
            etag,
            content_type,
            created: SystemTime::UNIX_EPOCH + Duration::from_millis(created_ms),
        }
    }
}

/// What has to hold for a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Any,
    /// There is no blob of that name.
    Absent,
    /// There is one with this etag.
    Matches(String),
}

/// Blobs of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The blobs, in the order of their names' bytes.
    pub blobs: Vec<BlobInfo>,
    /// What to ask the next page with; `None` after the last one.
    pub cursor: Option<String>,
}

#[expect(
    clippy::unused_async,
    reason = "the host answers at once today; WASI's interfaces are becoming async"
)]
impl Container {
    /// Opens a container, which the function's manifest has to declare and grant.
    ///
    /// # Errors
    /// [`BlobError::AccessDenied`] without a grant, [`BlobError::NoSuchContainer`] when there is none of that name.
    pub fn open(name: &str) -> Result<Self, BlobError> {
        sys::Container::open(name).map(Self)
    }

    /// What is known of a blob; `None` when there is none.
    ///
    /// # Errors
    /// When the host can't say.
    pub async fn head(&self, name: &str) -> Result<Option<BlobInfo>, BlobError> {
        self.0.head(name)
    }

    /// Begins to read a blob; `None` when there is none.
    ///
    /// # Errors
    /// When the host can't say.
    pub async fn get(&self, name: &str) -> Result<Option<Blob>, BlobError> {
        Ok(self.0.get(name, 0, None)?.map(Blob))
    }

    /// As [`Container::get`], from the byte `start` on, at most `len` bytes.
    ///
    /// # Errors
    /// As [`Container::get`], and when the blob ends before `start`.
    pub async fn get_part(
        &self,
        name: &str,
        start: u64,
        len: u64,
    ) -> Result<Option<Blob>, BlobError> {
        Ok(self.0.get(name, start, Some(len))?.map(Blob))
    }

    /// Writes a blob, in the place of what has the name. A body that streams is never in memory whole.
    ///
    /// # Errors
    /// When it isn't kept: the body broke off, the blob is too large, the app keeps as much as it may, or the host can't
    /// write.
    pub async fn put(&self, name: &str, body: impl Into<Body>) -> Result<BlobInfo, BlobError> {
        let mut body = body.into();
        let mut upload = self.upload(name, None).await?;
        while let Some(chunk) = body.chunk().await {
            upload.write(chunk.map_err(BlobError::Body)?).await?;
        }
        upload.finish(Condition::Any).await
    }

    /// Begins to write a blob. Nothing of it is there before [`Upload::finish`].
    ///
    /// # Errors
    /// When it can't be begun.
    pub async fn upload(
        &self,
        name: &str,
        content_type: Option<&str>,
    ) -> Result<Upload, BlobError> {
        self.0.put(name, content_type).map(|upload| Upload {
            upload,
            waiting: BytesMut::new(),
        })
    }

    /// A page of the blobs whose names begin with `prefix`, at most `count_max` of them and 1000. `cursor` is the page's
    /// before, `None` for the first one.
    ///
    /// # Errors
    /// When the host can't say, or knows no such cursor.
    pub async fn list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        count_max: u32,
    ) -> Result<Page, BlobError> {
        self.0.list(prefix, cursor, count_max)
    }

    /// Forgets a blob. Says whether there was one.
    ///
    /// # Errors
    /// When the host can't write.
    pub async fn delete(&self, name: &str) -> Result<bool, BlobError> {
        self.0.delete(name, &Condition::Any)
    }

    /// As [`Container::delete`], if the condition holds.
    ///
    /// # Errors
    /// As [`Container::delete`], and [`BlobError::Changed`].
    pub async fn delete_if(&self, name: &str, condition: Condition) -> Result<bool, BlobError> {
        self.0.delete(name, &condition)
    }

    /// Copies a blob, in the place of what has the other name; `None` when there is none to copy.
    ///
    /// # Errors
    /// As [`Container::put`].
    pub async fn copy(
        &self,
        name: &str,
        to: &Self,
        to_name: &str,
    ) -> Result<Option<BlobInfo>, BlobError> {
        self.0.copy(name, &to.0, to_name)
    }

    /// Gives a blob another name, in the place of what has it. Says whether there was one.
    ///
    /// # Errors
    /// When the host can't write.
    pub async fn rename(&self, name: &str, to: &Self, to_name: &str) -> Result<bool, BlobError> {
        self.0.rename(name, &to.0, to_name)
    }
}

/// Small chunks are handed to the host together, so many bytes at a time.
const PIECE_BYTES: usize = 256 << 10;

/// A blob that is being written. Dropped before it is finished, nothing of it stays.
#[derive(Debug)]
pub struct Upload {
    upload: sys::Upload,
    waiting: BytesMut,
}

#[expect(
    clippy::unused_async,
    reason = "the host answers at once today; WASI's interfaces are becoming async"
)]
impl Upload {
    /// Writes more.
    ///
    /// # Errors
    /// When the blob is too large, the app writes as much as it may, or the host can't write.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), BlobError> {
        let bytes = bytes.as_ref();
        if self.waiting.is_empty() && bytes.len() >= PIECE_BYTES {
            return self.upload.write(bytes);
        }
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE_BYTES {
            self.upload.write(&self.waiting)?;
            self.waiting.clear();
        }
        Ok(())
    }

    /// Ends it: the blob is there, if the condition holds.
    ///
    /// # Errors
    /// As [`Container::put`], and [`BlobError::Changed`] when the condition doesn't hold.
    pub async fn finish(mut self, condition: Condition) -> Result<BlobInfo, BlobError> {
        if !self.waiting.is_empty() {
            self.upload.write(&self.waiting)?;
        }
        self.upload.finish(&condition)
    }
}

/// A blob, or a part of it, that is being read. It goes on with the same bytes when the blob is replaced meanwhile.
#[derive(Debug)]
pub struct Blob(sys::Download);

#[expect(
    clippy::unused_async,
    reason = "the host answers at once today; WASI's interfaces are becoming async"
)]
impl Blob {
    /// What is known of the blob.
    pub fn info(&self) -> BlobInfo {
        self.0.info()
    }

    /// Bytes that are still to be read.
    pub fn left(&self) -> u64 {
        self.0.left()
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the host can't read, or the bytes aren't those that were written.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BlobError> {
        Ok(self.0.read()?.map(Bytes::from))
    }

    /// All that is left of it, in memory.
    ///
    /// # Errors
    /// As [`Blob::chunk`].
    pub async fn bytes(mut self) -> Result<Bytes, BlobError> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.0.read()? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// The body of a response or a request: it is read as fast as its receiver takes it.
    pub fn into_body(self) -> Body {
        Body::new(Reader(self))
    }
}

struct Reader(Blob);

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = BlobError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BlobError>>> {
        let chunk = self.0.0.read().transpose();
        Poll::Ready(chunk.map(|chunk| chunk.map(|bytes| Frame::data(bytes.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.left())
    }
}
