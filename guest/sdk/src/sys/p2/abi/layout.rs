//! Where the parts of WASI 0.2's values lie in memory. The test `layout` checks each against the WIT.
//!
//! An `error-code` is 32 bytes, aligned to 8 (see `sys::error_code`). A result or option with one inside is
//! a byte for the case and, at 8, the payload: 40 bytes. Each option or result around that adds 8 more.

/// The size of `result<_, error-code>`, of `result<future-incoming-response, error-code>` and of
/// `option<error-code>`.
pub(super) const CODE_RESULT: usize = 40;
/// Where what is in them lies.
pub(super) const CODE_VALUE: usize = 8;

/// The size of `option<result<result<T, error-code>>>`, where `T` is `option<trailers>` or
/// `incoming-response`. The option's case lies at 0.
pub(super) const FUTURE_RESULT: usize = 56;
/// Where the case of the outer result lies: whether it was taken before.
pub(super) const FUTURE_TAKEN: usize = 8;
/// Where the case of the inner result lies.
pub(super) const FUTURE_CASE: usize = 16;
/// Where what is in that lies.
pub(super) const FUTURE_VALUE: usize = 24;
