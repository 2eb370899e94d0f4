//! Whose the objects below a prefix are.
//!
//! Owns that a store removes objects only where it has said first that they are its own: two stores with one bucket and
//! prefix, of which one may be a copy of the other from a backup, would take each other's for nobody's. The name of the one
//! whose they are is in an object beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use object_store::path::Path;

use super::{Bucket, BucketFault};

/// The object that says whose all others are.
const OBJECT: &str = "everwarm-owner";

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Owner {
    name: String,
    is_ours: AtomicBool,
    /// Whether the log has heard that they are another's.
    is_said: AtomicBool,
}

impl Owner {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            is_ours: AtomicBool::new(false),
            is_said: AtomicBool::new(false),
        }
    }

    /// Whether objects may be removed.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours.load(Ordering::Relaxed)
    }
}

impl Bucket {
    /// Looks whose the objects are, and says that they are this store's if they are nobody's. Says whether they are.
    pub(in super::super) async fn claim(&self) -> Result<bool, BucketFault> {
        let path = match &self.prefix[..] {
            "" => Path::from(OBJECT),
            prefix => Path::from(format!("{prefix}/{OBJECT}")),
        };
        let mut found = self.read_small(path.clone()).await?;
        if found.is_none() {
            // A bucket that isn't there, or may not be listed, is told of here: not all servers say so of one object.
            self.list(None).await?;
            let name = Bytes::copy_from_slice(self.owner.name.as_bytes());
            self.put(path.clone(), name).await?;
            // Of two that come together the last one has it. The other may find its own name before that: then it hears
            // of it when it claims them again, as it does before each page of a walk.
            found = self.read_small(path.clone()).await?;
        }
        let is_ours = found.is_some_and(|name| name == self.owner.name.as_bytes());
        self.owner.is_ours.store(is_ours, Ordering::Relaxed);
        if !is_ours && !self.owner.is_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                object = %path,
                "the blobs' bucket has those of another node, or of this one before it was restored: blobs are read and \
                 written, and no object is removed. If that other node is gone, remove this object"
            );
        }
        Ok(is_ours)
    }

    /// Begins with it, in the background: a server that is down is told of in the log.
    pub(in super::super) fn begin_to_claim(self: &Arc<Self>) {
        let bucket = Arc::clone(self);
        // It ends by itself, for each call has its time. Sweeps try again.
        self.runtime.spawn(async move {
            let _ = bucket.claim().await;
        });
    }
}
