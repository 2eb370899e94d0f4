//! Values that functions keep in their app's part of the store: for a time, at best, beside the answers and within the same
//! bounds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{AppCache, Place, Store};
use crate::control::TIME_MAX;
use crate::key::Id;
use crate::shelf::Weighed;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// The largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// What a value takes besides its bytes and its key, about.
const OVERHEAD_BYTES: usize = 192;

/// What a value is kept by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) app: Id,
    name: Box<str>,
}

/// A value, until it is nothing.
pub(super) struct Value {
    kept: Option<(Bytes, Instant)>,
    key_bytes: usize,
    app: Arc<AppCache>,
}

impl Value {
    /// It is nothing from now on.
    pub(super) fn end(&mut self) {
        self.kept = None;
    }
}

impl Weighed for Value {
    fn bytes(&self) -> usize {
        let value = self.kept.as_ref().map_or(0, |(bytes, _)| bytes.len());
        value + self.key_bytes + OVERHEAD_BYTES
    }

    fn count(&self) -> usize {
        usize::from(self.kept.is_some())
    }

    fn moved(&self, bytes: i64, count: i64) {
        self.app.moved(bytes, count);
    }
}

impl Place {
    fn key(&self, name: &str) -> Key {
        Key {
            app: self.app.id(),
            name: name.into(),
        }
    }

    /// What is kept under a key.
    pub fn value(&self, name: &str, now: Instant) -> Option<Bytes> {
        let look = |value: &Value| {
            let kept = value.kept.as_ref().filter(|(_, ends)| *ends > now);
            kept.map(|(bytes, _)| bytes.clone())
        };
        self.share.values.look(&self.key(name), look)?
    }

    /// Keeps a value under a key for so long, a year at most, unless room is needed.
    pub fn set_value(&self, store: &Store, name: &str, bytes: Bytes, ttl: Duration, now: Instant) {
        let make = || Value {
            kept: None,
            key_bytes: name.len(),
            app: Arc::clone(&self.app),
        };
        let ends = now + ttl.min(TIME_MAX);
        let set = |value: &mut Value| value.kept = Some((bytes, ends));
        self.share.values.change(self.key(name), make, set);
        store.make_room(&self.share);
    }

    /// Forgets what is kept under a key.
    pub fn remove_value(&self, name: &str) {
        self.share.values.remove(&self.key(name), || ());
    }
}
