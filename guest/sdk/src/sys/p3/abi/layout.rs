//! Where the parts of WASI 0.3's values lie in memory. The test `layout` checks each against the WIT.

/// The size of `result<fields, header-error>`.
pub(super) const FIELDS_RESULT: usize = 20;
/// Where its `fields` lies, and its `header-error`.
pub(super) const FIELDS_HANDLE: usize = 4;
/// The case of `header-error` that may carry a text, and where that lies.
pub(super) const HEADER_TEXT: (u8, usize) = (4, 8);

/// The size of `result<option<trailers>, error-code>`, `result<_, error-code>` and
/// `result<response, error-code>`: a byte for the case, and at 8, where the 32 bytes of an `error-code` are
/// aligned to, the payload.
pub(super) const CODE_RESULT: usize = 40;
/// Where what is in them lies.
pub(super) const CODE_VALUE: usize = 8;
/// Where the handle in an `option<trailers>` there lies.
pub(super) const TRAILERS_HANDLE: usize = 12;

/// The size of `result<_, request-options-error>`.
pub(super) const OPTIONS_RESULT: usize = 20;
/// Where its `request-options-error` lies.
pub(super) const OPTIONS_ERROR: usize = 4;
/// The case of `request-options-error` that may carry a text, and where that lies.
pub(super) const OPTIONS_TEXT: (u8, usize) = (2, 8);
