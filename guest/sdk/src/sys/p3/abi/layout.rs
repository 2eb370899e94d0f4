//! Where the parts of WASI 0.3's values lie in memory. The test `world` checks each against the WIT.

/// The size of `result<fields, header-error>`.
pub(super) const FIELDS_RESULT: usize = 20;
/// Where its `fields` lies, and its `header-error`.
pub(super) const FIELDS_HANDLE: usize = 4;
/// The case of `header-error` that may carry a text, and where that lies.
pub(super) const HEADER_TEXT: (u8, usize) = (4, 8);

/// The size of `result<option<trailers>, error-code>` and of `result<_, error-code>`.
pub(super) const TRAILERS_RESULT: usize = 40;
/// Where its `option<trailers>` lies, and its `error-code`.
pub(super) const TRAILERS_OPTION: usize = 8;
/// Where its handle lies.
pub(super) const TRAILERS_HANDLE: usize = 12;
/// The case of `error-code` that says least.
pub(super) const INTERNAL_ERROR: u8 = 38;
/// The cases of `error-code` that may carry a text, and where each lies as `option<string>`.
pub(super) const ERROR_TEXTS: [(u8, usize); 9] = [
    (1, 16),
    (14, 20),
    (22, 20),
    (24, 16),
    (27, 16),
    (30, 16),
    (31, 16),
    (32, 16),
    (38, 16),
];
/// The case of `error-code` whose text is there only when the byte in this place is 1.
pub(super) const ERROR_TEXT_IN_OPTION: (u8, usize) = (22, 16);
