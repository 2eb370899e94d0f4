//! What blobs are named by, and the texts that are kept with them. Owns their form. Pure.

use std::fmt;

use everwarm_manifest::{AppName, ContainerName, TenantId};

/// Bytes of a blob's name, as in S3.
pub const BLOB_NAME_BYTES_MAX: usize = 1_024;
/// Bytes of a content type.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Bytes of an etag. S3's own have 34 to 40.
const ETAG_BYTES_MAX: usize = 255;

/// A blob's name: 1 to [`BLOB_NAME_BYTES_MAX`] bytes of UTF-8 without control characters, which lists of S3 can't say. It
/// is no path: `/`, `..` and all else in it mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName(Box<str>);

/// Text that is no blob's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a blob's name has 1 to {BLOB_NAME_BYTES_MAX} bytes of UTF-8 and no control characters")]
pub struct BlobNameError;

impl BlobName {
    /// Checks the form.
    ///
    /// # Errors
    ///
    /// [`BlobNameError`].
    pub fn new(text: &str) -> Result<Self, BlobNameError> {
        let is_name =
            (1..=BLOB_NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if is_name {
            Ok(Self(text.into()))
        } else {
            Err(BlobNameError)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of an app's containers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Container {
    /// Whose app.
    pub tenant: TenantId,
    /// The app.
    pub app: AppName,
    /// Which of the app's.
    pub name: ContainerName,
}

/// One blob.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId {
    /// Where it is.
    pub container: Container,
    /// Which of the container's.
    pub name: BlobName,
}

/// Names a blob's contents: the same for the same bytes in the same store. What it looks like is the store's to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Etag(Box<str>);

impl Etag {
    /// One that a store has said, or that somebody says it has.
    pub fn new(text: &str) -> Self {
        let mut end = text.len().min(ETAG_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a blob is, as HTTP's `Content-Type`: 1 to [`CONTENT_TYPE_BYTES_MAX`] visible characters of ASCII and spaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContentType(Box<str>);

/// Text that is no content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a content type has 1 to {CONTENT_TYPE_BYTES_MAX} visible characters of ASCII and spaces")]
pub struct ContentTypeError;

impl ContentType {
    /// Checks the form.
    ///
    /// # Errors
    ///
    /// [`ContentTypeError`].
    pub fn new(text: &str) -> Result<Self, ContentTypeError> {
        let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let fits = (1..=CONTENT_TYPE_BYTES_MAX).contains(&text.len());
        if fits && text.bytes().all(is_plain) {
            Ok(Self(text.into()))
        } else {
            Err(ContentTypeError)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
