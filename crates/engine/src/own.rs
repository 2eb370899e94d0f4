//! A lane's own handle to what all lanes share.
//!
//! A count of references that all lanes write to is carried from core to core with each request, and with it what
//! lies beside it in memory. So a lane counts in a place of its own, and what is shared is only read.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// See the module's documentation.
#[expect(
    clippy::redundant_allocation,
    reason = "the second count is what this is for"
)]
pub struct Own<T>(Arc<Arc<T>>);

impl<T> Own<T> {
    /// A handle with a count of its own. Made once a lane, not once a request.
    pub fn new(shared: Arc<T>) -> Self {
        Self(Arc::new(shared))
    }

    /// What all lanes share.
    pub fn shared(this: &Self) -> &Arc<T> {
        &this.0
    }
}

impl<T> Clone for Own<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Own<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Own<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
