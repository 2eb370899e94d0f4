//! An object that is being read.
//!
//! Owns that it is read on where a connection broke off: objects never change, so the rest is asked for again.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use everwarm_manifest::{AppName, TenantId};
use futures_util::StreamExt as _;
use object_store::path::Path;

use super::{Bucket, BucketFault, Stream, fault};
use crate::blobs::PIECE_BYTES;

/// How often an object's rest is asked for.
const RESUMES_MAX: u32 = 5;

/// See the module's documentation.
pub(in super::super) struct Reading {
    bucket: Arc<Bucket>,
    path: Path,
    left: Range<u64>,
    stream: Option<Stream>,
    /// What came and wasn't asked for yet.
    rest: Bytes,
    resumes: u32,
}

impl Reading {
    /// Begins to read some bytes of an object of so many; `None` when there is no such object.
    pub(in super::super) async fn open(
        bucket: &Arc<Bucket>,
        (tenant, app, file): (&TenantId, &AppName, &str),
        range: Range<u64>,
        size: u64,
    ) -> Result<Option<Self>, BucketFault> {
        let path = bucket.path(tenant, app, file);
        let mut reading = Self {
            bucket: Arc::clone(bucket),
            path,
            left: range,
            stream: None,
            rest: Bytes::new(),
            resumes: 0,
        };
        if reading.left.is_empty() {
            return Ok(Some(reading));
        }
        let got = bucket.get(reading.path.clone(), reading.left.clone());
        let Some((found, stream)) = got.await? else {
            return Ok(None);
        };
        if found != size {
            return Err(BucketFault::OtherSize);
        }
        reading.stream = Some(stream);
        Ok(Some(reading))
    }

    /// So many bytes, which there are, and at most [`PIECE_BYTES`].
    pub(in super::super) async fn read(&mut self, len: usize) -> Result<Bytes, BucketFault> {
        let len = len.min(PIECE_BYTES);
        if self.rest.len() >= len {
            return Ok(self.rest.split_to(len));
        }
        let mut piece = Vec::with_capacity(len);
        while piece.len() < len {
            if self.rest.is_empty() {
                self.rest = self.next().await?;
            }
            let take = self.rest.len().min(len - piece.len());
            piece.extend_from_slice(&self.rest.split_to(take));
        }
        Ok(piece.into())
    }

    /// What comes next, which isn't empty.
    async fn next(&mut self) -> Result<Bytes, BucketFault> {
        loop {
            let mut stream = match self.stream.take() {
                Some(stream) => stream,
                None => self.resume().await?,
            };
            match stream.next().await {
                Some(Ok(bytes)) if bytes.is_empty() => self.stream = Some(stream),
                Some(Ok(bytes)) => {
                    self.left.start += bytes.len() as u64;
                    if self.left.start > self.left.end {
                        return Err(BucketFault::Garbage);
                    }
                    self.stream = Some(stream);
                    return Ok(bytes);
                }
                Some(Err(error)) => {
                    let fault = fault::of_object(&error);
                    if self.resumes >= RESUMES_MAX || fault != BucketFault::BrokeOff {
                        self.bucket.health.note(Some(&fault));
                        return Err(fault);
                    }
                }
                None if self.resumes >= RESUMES_MAX => return Err(BucketFault::BrokeOff),
                None => {}
            }
        }
    }

    async fn resume(&mut self) -> Result<Stream, BucketFault> {
        self.resumes += 1;
        let got = self
            .bucket
            .get(self.path.clone(), self.left.clone())
            .await?;
        let (_, stream) = got.ok_or(BucketFault::NoObject)?;
        Ok(stream)
    }
}
