//! The archive of an app's files.
//!
//! Owns its form, which is a plain `tar` that is the same for the same files; how it is packed, and how it is read as if a
//! stranger had made it; how its files are read while it is in use (`stored`), and the bound on what is kept of them
//! (`library`, `kept`). Knows no HTTP and no store, and makes no variants: who packs gives them.
//!
//! An archive has each file as `files/<path>`, and what was compressed of it as `br/<path>`, `zstd/<path>` and
//! `gzip/<path>`; `<path>` is relative to the folder of the manifest. Entries are in the order of their names. They have
//! no times and no owners.

#![forbid(unsafe_code)]

mod coding;
mod error;
mod kept;
mod library;
pub mod media;
mod pack;
mod read;
mod stored;

pub use coding::Coding;
pub use error::BundleError;
pub use kept::{Held, Kept};
pub use library::{Bundles, Library, Stock};
pub use pack::{PackError, Packer};
pub use read::{Contents, File, Part, read};
pub use stored::{FilesError, Rest, Stored};

/// The most files of one app.
pub const FILES_MAX: usize = 10_000;
/// The most folders that those are in.
pub const FOLDERS_MAX: usize = 20_000;
/// The largest file, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// All files of an app with what was compressed of them, in bytes.
pub const FILES_BYTES_MAX: u64 = 256 << 20;
/// The largest archive, in bytes: the files, and at most three blocks of head, padding and long name for each entry.
pub const BUNDLE_BYTES_MAX: u64 = FILES_BYTES_MAX + (FILES_MAX as u64 * 4 * 4_096);
/// What is sent and checked at once of a file that is larger than [`WHOLE_BYTES_MAX`].
pub const PIECE_BYTES: usize = 256 << 10;
/// The largest file that is checked as a whole; larger ones are in pieces.
pub const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// Where files are in an archive.
const FILES: &str = "files";
/// A block of a `tar`, in bytes.
const BLOCK: usize = 512;
