//! An object that is being written.
//!
//! Owns its parts: one is filled on the disk and sent when it is full, and whoever has more waits for that. What has no
//! second part is sent in one go. Dropped before its end, what the server has of it is given up.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use everwarm_manifest::{AppName, TenantId};
use object_store::multipart::PartId;
use object_store::path::Path;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::spool::Spool;
use super::{Bucket, BucketFault, PART_BYTES, PLACE_BYTES, PLACES_OF_PART};

/// See the module's documentation.
#[derive(Debug)]
pub(in super::super) struct Writing {
    bucket: Arc<Bucket>,
    path: Path,
    spool: Spool,
    sent: Sent,
    /// What the app may have on its way at once.
    turns: Arc<Semaphore>,
}

/// What the server has of it.
#[derive(Debug, Default)]
struct Sent {
    /// Names the upload, once the first part is whole.
    upload: Option<String>,
    parts: Vec<PartId>,
}

/// A part that is on its way.
pub(in super::super) struct Part {
    bytes: Bytes,
    _places: [OwnedSemaphorePermit; 2],
}

impl Writing {
    /// Begins one, of which the server hears nothing yet. Blocks on the disk.
    pub(in super::super) fn new(
        bucket: &Arc<Bucket>,
        tenant: &TenantId,
        app: &AppName,
        file: &str,
        turns: Arc<Semaphore>,
    ) -> io::Result<Self> {
        Ok(Self {
            path: bucket.path(tenant, app, file),
            spool: Spool::new(&bucket.spools, file)?,
            bucket: Arc::clone(bucket),
            sent: Sent::default(),
            turns,
        })
    }

    /// How many bytes its part can still have, which is then sent.
    pub(in super::super) fn room(&self) -> usize {
        PART_BYTES - self.spool.len()
    }

    /// Writes so many bytes. Blocks on the disk.
    pub(in super::super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.spool.write(bytes)
    }

    /// The permits to have the part in memory.
    pub(in super::super) async fn places(&self) -> [OwnedSemaphorePermit; 2] {
        let places = self.spool.len().div_ceil(PLACE_BYTES);
        let places = u32::try_from(places.clamp(1, PLACES_OF_PART)).expect("a part has a few");
        // They are never closed. Whoever has one has a time to be through with it.
        let app = Arc::clone(&self.turns).acquire_many_owned(places).await;
        let node = Arc::clone(&self.bucket.places)
            .acquire_many_owned(places)
            .await;
        [app, node].map(|permit| permit.expect("it is never closed"))
    }

    /// What is to be sent next. Blocks on the disk.
    pub(in super::super) fn take(&mut self, places: [OwnedSemaphorePermit; 2]) -> io::Result<Part> {
        Ok(Part {
            bytes: self.spool.take()?,
            _places: places,
        })
    }

    /// Sends a part.
    pub(in super::super) async fn send(&mut self, part: Part) -> Result<(), BucketFault> {
        let upload = if let Some(upload) = &self.sent.upload {
            upload.clone()
        } else {
            let upload = self.bucket.begin(self.path.clone()).await?;
            self.sent.upload.insert(upload).clone()
        };
        let number = self.sent.parts.len();
        let to = (self.path.clone(), upload);
        let sent = self.bucket.put_part(to, number, part.bytes.clone());
        self.sent.parts.push(sent.await?);
        Ok(())
    }

    /// Sends the last part, and ends it: the object is there.
    pub(in super::super) async fn finish(mut self, last: Part) -> Result<(), BucketFault> {
        if self.sent.upload.is_none() {
            return self.bucket.put(self.path.clone(), last.bytes.clone()).await;
        }
        if !last.bytes.is_empty() {
            self.send(last).await?;
        }
        let Some(upload) = self.sent.upload.clone() else {
            return Ok(());
        };
        let parts = std::mem::take(&mut self.sent.parts);
        let to = (self.path.clone(), upload);
        self.bucket.complete(to, parts).await?;
        self.sent.upload = None;
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(upload) = self.sent.upload.take() {
            self.bucket.leave_to_abort(self.path.clone(), upload);
        }
    }
}
