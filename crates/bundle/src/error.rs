//! Why an archive isn't taken.

use everwarm_manifest::{AssetPathError, ByteSize};

use crate::{FILE_BYTES_MAX, FILES_BYTES_MAX, FILES_MAX, FOLDERS_MAX};

/// See the module's documentation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It can't be read.
    #[error("the archive of assets can't be read: {0}")]
    Io(#[from] std::io::Error),
    /// It ends too early.
    #[error("the archive of assets ends in the middle: upload it whole")]
    Truncated,
    /// Its form is none that is packed.
    #[error("the archive of assets is none that `everwarm` packs: {0}")]
    Form(&'static str),
    /// An entry isn't a file.
    #[error("the archive of assets has `{name}`, which is {what}: it may have files alone")]
    NoFile {
        /// The entry, readable.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// A name isn't one.
    #[error("the archive of assets has a bad path `{name}`: {reason}")]
    Path {
        /// The path, readable.
        name: String,
        /// What is wrong with it.
        reason: AssetPathError,
    },
    /// A name isn't UTF-8.
    #[error("the archive of assets has the path `{name}`, which isn't UTF-8")]
    NotUtf8 {
        /// The path, readable.
        name: String,
    },
    /// Two entries have one name, or names that differ in case alone, or one is a folder of the other.
    #[error(
        "the archive of assets has `{name}` and `{other}`, which some systems take for one: rename one of them"
    )]
    Twice {
        /// The one that came first.
        name: String,
        /// The one that came later.
        other: String,
    },
    /// What was compressed has no file.
    #[error("the archive of assets has a variant of `{name}`, and no file that is larger")]
    Variant {
        /// The file that it would be of.
        name: String,
    },
    /// There are too many.
    #[error(
        "the app has more than {FILES_MAX} files in its assets, which is the most: leave some out"
    )]
    TooMany,
    /// They are in too many folders.
    #[error(
        "the app's files are in more than {FOLDERS_MAX} folders, which is the most: put them into fewer, or leave some out"
    )]
    TooManyFolders,
    /// One is too large.
    #[error(
        "the asset `{name}` has {size}, and {} is the most: serve it from elsewhere",
        ByteSize::new(FILE_BYTES_MAX)
    )]
    FileTooLarge {
        /// The file.
        name: String,
        /// Its size.
        size: ByteSize,
    },
    /// All of them are too large.
    #[error(
        "the app's assets have more than {} in all, with what is compressed of them: serve large files from elsewhere",
        ByteSize::new(FILES_BYTES_MAX)
    )]
    TooLarge,
}

impl BundleError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooMany | Self::TooManyFolders | Self::FileTooLarge { .. } | Self::TooLarge => {
                "EW2014"
            }
            _ => "EW2013",
        }
    }
}
