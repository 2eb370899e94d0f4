//! Blobs of apps, as a client reads and writes them: as streams.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::Full;

use super::address::query;
use super::streamed::Streamed;
use super::uploading::{Source, UploadError};
use super::{ANSWER_TIME_MAX, Client, ClientError, header_value, number};
use crate::messages::{BlobInfo, BlobPage, BlobRemoved};
use crate::operations::{self, CREATED_HEADER, Operation};
use crate::problem::Problem;

/// The code of "there is no such blob".
pub const NO_BLOB: &str = "EW5027";
/// The code of "the blob isn't as it was to be".
pub const NOT_AS_ASKED: &str = "EW5028";
/// The code of "the blob has no such part".
const NO_SUCH_PART: &str = "EW5029";

/// A container of an app.
#[derive(Debug, Clone, Copy)]
pub struct BlobsOf<'a> {
    client: &'a Client,
    app: &'a str,
    container: &'a str,
}

/// Which blobs are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlobList<'a> {
    /// Those whose names begin so.
    pub prefix: Option<&'a str>,
    /// The `next` of the page before.
    pub after: Option<&'a str>,
    /// How many at most.
    pub limit: Option<u32>,
}

/// What has to hold for a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BlobIf<'a> {
    /// Nothing.
    #[default]
    Any,
    /// There is no blob of the name. For a removal that makes no sense, and is refused.
    Absent,
    /// The blob has the contents with this etag.
    Matches(&'a str),
}

/// A blob, or a part of it, that is on its way.
#[derive(Debug)]
pub struct Blob {
    info: BlobInfo,
    pieces: Streamed,
}

impl Client {
    /// A container of an app's.
    pub fn blobs<'a>(&'a self, app: &'a str, container: &'a str) -> BlobsOf<'a> {
        BlobsOf {
            client: self,
            app,
            container,
        }
    }
}

impl BlobsOf<'_> {
    fn segments(&self) -> [&str; 2] {
        [self.app, self.container]
    }

    fn request(&self, operation: &Operation, name: &str) -> Result<Request, ClientError> {
        let query = query(&[("name", Some(name))]);
        let segments = self.segments();
        self.client
            .request(operation, &segments, &query, Full::default())
    }

    /// Lists blobs in the order of their names' bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list(&self, asked: BlobList<'_>) -> Result<BlobPage, ClientError> {
        let limit = asked.limit.map(|count| count.to_string());
        let query = query(&[
            ("prefix", asked.prefix),
            ("after", asked.after),
            ("limit", limit.as_deref()),
        ]);
        self.client
            .json(&operations::LIST_BLOBS, &self.segments(), &query, None)
            .await
    }

    /// What is known of a blob; `None` when there is none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn head(&self, name: &str) -> Result<Option<BlobInfo>, ClientError> {
        let request = self.request(&operations::HEAD_BLOB, name)?;
        let response = self.client.send(request).await?;
        if response.status().is_success() {
            return self.info(name, response.headers()).map(Some);
        }
        // An answer to HEAD says why in its head only.
        let (status, headers) = (response.status(), response.headers());
        none_or(self.client.problem(status, &Bytes::new(), headers))
    }

    /// Begins to read a blob; `None` when there is none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, name: &str) -> Result<Option<Blob>, ClientError> {
        let request = self.request(&operations::GET_BLOB, name)?;
        self.read(request, name, StatusCode::OK).await
    }

    /// Begins to read a part of a blob, as much of it as there is; `None` when there is no blob.
    ///
    /// # Errors
    /// [`ClientError`], when the part is empty, which is never asked for, or the blob ends before it, too.
    pub async fn get_part(
        &self,
        name: &str,
        part: Range<u64>,
    ) -> Result<Option<Blob>, ClientError> {
        // No range is empty, and one that ends before it begins is none: the node would give the whole.
        if part.is_empty() {
            return Err(no_such_part());
        }
        let mut request = self.request(&operations::GET_BLOB, name)?;
        let last = part.end.saturating_sub(1);
        let range = header_value(&format!("bytes={}-{last}", part.start))?;
        request.headers_mut().insert(header::RANGE, range);
        self.read(request, name, StatusCode::PARTIAL_CONTENT).await
    }

    async fn read(
        &self,
        request: Request,
        name: &str,
        expected: StatusCode,
    ) -> Result<Option<Blob>, ClientError> {
        match self.client.begin(request, "blob", ANSWER_TIME_MAX).await {
            Ok(response) => {
                let (head, pieces) = response.into_parts();
                if head.status != expected {
                    let strange = format!("status {}, not {expected}", head.status);
                    return Err(self.client.strange(&strange));
                }
                let mut info = self.info(name, &head.headers)?;
                if head.status == StatusCode::PARTIAL_CONTENT {
                    let size = text(&head.headers, header::CONTENT_RANGE.as_str())
                        .and_then(|range| range.rsplit_once('/')?.1.parse().ok());
                    info.size = size
                        .ok_or_else(|| self.client.strange(&"a part that doesn't say of what"))?;
                }
                Ok(Some(Blob { info, pieces }))
            }
            Err(error) => none_or(error),
        }
    }

    /// Writes a blob that is in memory.
    ///
    /// # Errors
    /// [`ClientError`], of which what [`Self::upload`] says holds.
    pub async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        content_type: Option<&str>,
        condition: BlobIf<'_>,
    ) -> Result<BlobInfo, ClientError> {
        match self.upload(name, bytes, content_type, condition).await {
            Ok(info) => Ok(info),
            Err(UploadError::Client(error)) => Err(error),
            Err(UploadError::Source(error)) => Err(self.client.broke_off(&error)),
        }
    }

    /// Writes a blob as its source gives it.
    ///
    /// # Errors
    /// [`UploadError`]. Nothing of it is there then, unless the answer is missing ([`ClientError::Unreachable`] and
    /// [`ClientError::Strange`]): it may be there, all of it.
    pub async fn upload(
        &self,
        name: &str,
        source: impl Source,
        content_type: Option<&str>,
        condition: BlobIf<'_>,
    ) -> Result<BlobInfo, UploadError> {
        let mut request = self.request(&operations::PUT_BLOB, name)?.map(|_| ());
        let headers = request.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, header_value(content_type)?);
        }
        conditional(headers, condition)?;
        let response = self.client.upload(request, source).await?;
        Ok(self.client.message(response)?)
    }

    /// Removes a blob. Says whether there was one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove(&self, name: &str, condition: BlobIf<'_>) -> Result<bool, ClientError> {
        let mut request = self.request(&operations::REMOVE_BLOB, name)?;
        conditional(request.headers_mut(), condition)?;
        let removed: BlobRemoved = self.client.read(request).await?;
        Ok(removed.removed)
    }

    /// What a head says of a blob.
    fn info(&self, name: &str, headers: &HeaderMap) -> Result<BlobInfo, ClientError> {
        let etag = text(headers, header::ETAG.as_str())
            .and_then(|etag| etag.strip_prefix('"')?.strip_suffix('"'));
        let known = number(headers, header::CONTENT_LENGTH.as_str())
            .zip(number(headers, CREATED_HEADER))
            .zip(etag);
        let ((size, created_ms), etag) = known.ok_or_else(|| {
            self.client
                .strange(&"a blob without its size, time or etag")
        })?;
        Ok(BlobInfo {
            name: name.to_owned(),
            size,
            etag: etag.to_owned(),
            content_type: text(headers, header::CONTENT_TYPE.as_str()).map(str::to_owned),
            created_ms,
        })
    }
}

type Request = http::Request<Full<Bytes>>;

fn conditional(headers: &mut HeaderMap, condition: BlobIf<'_>) -> Result<(), ClientError> {
    match condition {
        BlobIf::Any => {}
        BlobIf::Absent => {
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        BlobIf::Matches(etag) => {
            headers.insert(header::IF_MATCH, header_value(&format!("\"{etag}\""))?);
        }
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What a node would say, had it a way to be asked for an empty part.
fn no_such_part() -> ClientError {
    let status = StatusCode::RANGE_NOT_SATISFIABLE.as_u16();
    let detail = "a part of a blob has a byte at least: ask for one that ends after it begins";
    let problem = Problem::new(status, NO_SUCH_PART, "No such part", detail);
    ClientError::Problem(Box::new(problem))
}

/// Nothing, where the problem is that there is no such blob.
fn none_or<T>(error: ClientError) -> Result<Option<T>, ClientError> {
    match error {
        ClientError::Problem(problem) if problem.code == NO_BLOB => Ok(None),
        error => Err(error),
    }
}

impl Blob {
    /// What is known of the blob, of which this may be a part.
    pub fn info(&self) -> &BlobInfo {
        &self.info
    }

    /// The next piece; `None` when that was all.
    ///
    /// # Errors
    /// [`ClientError`]: what came until now isn't all of it.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.pieces.piece().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Token;

    #[tokio::test]
    async fn empty_part_is_refused_before_anybody_is_asked() {
        // Nobody is there to be asked.
        let client = Client::new("http://127.0.0.1:1", Token::random().unwrap(), None).unwrap();
        let blobs = client.blobs("shop", "photos");
        for part in [0..0, 5..5] {
            let refused = blobs.get_part("a", part).await.unwrap_err();
            assert_eq!(refused.code(), NO_SUCH_PART, "{refused}");
        }
    }
}
