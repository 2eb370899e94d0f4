//! Why a container of blobs didn't do what it was asked.

use std::fmt;

use crate::BodyError;

/// Why a container of blobs didn't do what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum BlobError {
    /// There is no container of that name.
    NoSuchContainer,
    /// The function's manifest doesn't grant the container.
    AccessDenied,
    /// The condition doesn't hold: somebody else has written or deleted the blob.
    Changed,
    /// A name, a content type, a part or a cursor that is none.
    Invalid(String),
    /// The blob is larger than one may be.
    TooLarge(String),
    /// The app keeps as much as it may, reads or writes as many at once as it may, or the disk is full.
    Full(String),
    /// The blobs can't be read or written now. What was to be written may have been or not.
    Unavailable(String),
    /// The body that was to be written broke off.
    Body(BodyError),
}

impl fmt::Display for BlobError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchContainer => {
                formatter.write_str("there is no container of blobs of that name")
            }
            Self::AccessDenied => formatter.write_str(
                "the function's manifest doesn't grant the container: add its name to `blobs` in [function.grants]",
            ),
            Self::Changed => formatter.write_str("the blob isn't as the condition says"),
            Self::Invalid(text)
            | Self::TooLarge(text)
            | Self::Full(text)
            | Self::Unavailable(text) => formatter.write_str(text),
            Self::Body(_) => formatter.write_str("the body that was to be written broke off"),
        }
    }
}

impl std::error::Error for BlobError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Body(error) => Some(error),
            _ => None,
        }
    }
}
