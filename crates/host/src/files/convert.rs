//! Conversions to `wasi:filesystem`, whose two versions say the same in different types.

/// Implements the conversions for one version's generated types, and what its functions answer with.
macro_rules! file_conversions {
    ($types:ident) => {
        type Answer<T> = wasmtime::Result<std::result::Result<T, $types::ErrorCode>>;

        impl From<$crate::files::tree::FileError> for $types::ErrorCode {
            fn from(error: $crate::files::tree::FileError) -> Self {
                match error {
                    $crate::files::tree::FileError::Exist => Self::Exist,
                    $crate::files::tree::FileError::Io => Self::Io,
                    $crate::files::tree::FileError::InsufficientMemory => Self::InsufficientMemory,
                    $crate::files::tree::FileError::Invalid => Self::Invalid,
                    $crate::files::tree::FileError::IsDirectory => Self::IsDirectory,
                    $crate::files::tree::FileError::NameTooLong => Self::NameTooLong,
                    $crate::files::tree::FileError::NoEntry => Self::NoEntry,
                    $crate::files::tree::FileError::NotDirectory => Self::NotDirectory,
                    $crate::files::tree::FileError::NotPermitted => Self::NotPermitted,
                    $crate::files::tree::FileError::ReadOnly => Self::ReadOnly,
                    $crate::files::tree::FileError::BadDescriptor => Self::BadDescriptor,
                }
            }
        }

        impl From<$crate::files::descriptor::Kind> for $types::DescriptorType {
            fn from(kind: $crate::files::descriptor::Kind) -> Self {
                match kind {
                    $crate::files::descriptor::Kind::Folder => Self::Directory,
                    $crate::files::descriptor::Kind::File => Self::RegularFile,
                }
            }
        }

        impl From<$crate::files::descriptor::Stat> for $types::DescriptorStat {
            fn from(stat: $crate::files::descriptor::Stat) -> Self {
                Self {
                    type_: stat.kind.into(),
                    link_count: 1,
                    size: stat.size,
                    data_access_timestamp: None,
                    data_modification_timestamp: None,
                    status_change_timestamp: None,
                }
            }
        }

        impl From<u128> for $types::MetadataHashValue {
            fn from(hash: u128) -> Self {
                let (lower, upper) = $crate::files::halves(hash);
                Self { lower, upper }
            }
        }

        #[allow(
            clippy::unnecessary_wraps,
            reason = "each of the interface's functions may trap, and this is its end"
        )]
        fn answer<T, U: From<T>>(
            done: std::result::Result<T, $crate::files::tree::FileError>,
        ) -> Answer<U> {
            Ok(done.map(U::from).map_err(Into::into))
        }

        /// What every call that would change something comes to.
        #[allow(
            clippy::unnecessary_wraps,
            reason = "each of the interface's functions may trap, and this is its end"
        )]
        fn read_only<T>() -> Answer<T> {
            Ok(Err($types::ErrorCode::ReadOnly))
        }

        /// How a guest wants something opened.
        fn opening(
            open: $types::OpenFlags,
            flags: $types::DescriptorFlags,
        ) -> $crate::files::descriptor::Opening {
            let changes = $types::OpenFlags::CREATE | $types::OpenFlags::TRUNCATE;
            let writes = $types::DescriptorFlags::WRITE | $types::DescriptorFlags::MUTATE_DIRECTORY;
            $crate::files::descriptor::Opening {
                changes: open.intersects(changes) || flags.intersects(writes),
                folder: open.contains($types::OpenFlags::DIRECTORY),
                exclusive: open.contains($types::OpenFlags::EXCLUSIVE),
            }
        }
    };
}

pub(super) use file_conversions;
