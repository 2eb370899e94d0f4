//! Where parts of results lie, in bytes. The test `layout` compares them with the WIT.

/// Bytes of a result.
pub(crate) const RESULT: usize = 16;
/// Where its value or error lies.
pub(crate) const VALUE: usize = 4;
/// Where the text of an optional one, or of an error, lies.
pub(crate) const TEXT: usize = 8;
