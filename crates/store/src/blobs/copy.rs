//! Copying a blob through this process, from one store to another or in the same. Owns nothing but the loop.

use super::{Blob, BlobError, BlobId, BlobQuota, Blobs, Condition, Part};
use crate::catalog::UnixMillis;

/// Copies a blob, in the place of what has the other name; `None` when there is none to copy. The copy is of one state of
/// the blob, whatever is written meanwhile.
///
/// # Errors
///
/// As [`Blobs::get`], [`Blobs::put`], and what reading and writing fail with.
pub async fn copy(
    (from_store, from): (&dyn Blobs, &BlobId),
    (to_store, to): (&dyn Blobs, &BlobId),
    quota: BlobQuota,
    now: UnixMillis,
) -> Result<Option<Blob>, BlobError> {
    let Some(mut download) = from_store.get(from, Part::WHOLE).await? else {
        return Ok(None);
    };
    let content_type = download.blob().content_type.clone();
    let mut upload = to_store.put(to, content_type, quota).await?;
    while let Some(piece) = download.read().await? {
        upload.write(piece).await?;
    }
    upload.finish(Condition::Any, now).await.map(Some)
}
