//! `wasi:filesystem` 0.3. Converts, and knows nothing else.

use everwarm_engine::Sandbox;
use wasmtime::Result;
use wasmtime::component::{
    Access, Accessor, FutureReader, HasData, Linker, Resource, StreamReader,
};

use self::bindings::wasi::filesystem::preopens;
pub(super) use self::bindings::wasi::filesystem::types;
use super::convert::file_conversions;
use super::descriptor::{Descriptor, Kind};
use super::produced::{End, FileBytes, FolderNames};
use super::stream::Reading;
use super::tree::FileError;

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-0.3",
        world: "wasi:filesystem/imports",
        imports: {
            "wasi:filesystem/types.[method]descriptor.read-via-stream": store | trappable,
            "wasi:filesystem/types.[method]descriptor.write-via-stream": store | trappable,
            "wasi:filesystem/types.[method]descriptor.append-via-stream": store | trappable,
            "wasi:filesystem/types.[method]descriptor.read-directory": store | trappable,
            default: trappable,
        },
        with: {
            "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
            "wasi:filesystem/types.descriptor": crate::files::Descriptor,
        },
        require_store_data_send: true,
    });
}

/// Names the store data of these bindings.
struct Filesystem;

impl HasData for Filesystem {
    type Data<'a> = &'a mut Sandbox;
}

/// Adds the interfaces to a linker.
pub(super) fn link(linker: &mut Linker<Sandbox>) -> Result<()> {
    fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
        sandbox
    }
    types::add_to_linker::<_, Filesystem>(linker, same)?;
    preopens::add_to_linker::<_, Filesystem>(linker, same)
}

/// What becomes of a stream.
type Outcome = FutureReader<std::result::Result<(), types::ErrorCode>>;

file_conversions!(types);

/// What a guest has of a descriptor, to work with it while others of its tasks go on.
fn descriptor(
    accessor: &Accessor<Sandbox, Filesystem>,
    handle: &Resource<Descriptor>,
) -> Result<Descriptor> {
    accessor.with(|mut access| access.get().resource(handle).cloned())
}

impl types::Host for Sandbox {}

impl preopens::Host for Sandbox {
    fn get_directories(&mut self) -> Result<Vec<(Resource<Descriptor>, String)>> {
        super::directories(self)
    }
}

/// Throws away what a guest would write.
fn written_nowhere(
    mut access: Access<'_, Sandbox, Filesystem>,
    mut data: StreamReader<u8>,
) -> Result<Outcome> {
    data.close(&mut access)?;
    FutureReader::new(&mut access, async {
        wasmtime::error::Ok(Err(types::ErrorCode::ReadOnly))
    })
}

impl types::HostDescriptorWithStore<Sandbox> for Filesystem {
    fn read_via_stream(
        mut access: Access<'_, Sandbox, Self>,
        this: Resource<Descriptor>,
        offset: u64,
    ) -> Result<(StreamReader<u8>, Outcome)> {
        let file = access.get().resource(&this)?.file();
        let (mut end, told) = End::new();
        let stream = match file {
            Ok(file) => {
                let bytes = FileBytes::new(Reading::new(file, offset), end);
                StreamReader::new(&mut access, bytes)?
            }
            Err(error) => {
                end.say(Err(error));
                StreamReader::new(&mut access, std::iter::empty())?
            }
        };
        Ok((stream, FutureReader::new(&mut access, told)?))
    }

    fn write_via_stream(
        access: Access<'_, Sandbox, Self>,
        _this: Resource<Descriptor>,
        data: StreamReader<u8>,
        _offset: u64,
    ) -> Result<Outcome> {
        written_nowhere(access, data)
    }

    fn append_via_stream(
        access: Access<'_, Sandbox, Self>,
        _this: Resource<Descriptor>,
        data: StreamReader<u8>,
    ) -> Result<Outcome> {
        written_nowhere(access, data)
    }

    async fn advise(
        accessor: &Accessor<Sandbox, Self>,
        this: Resource<Descriptor>,
        _offset: u64,
        _length: u64,
        _advice: types::Advice,
    ) -> Answer<()> {
        answer(descriptor(accessor, &this)?.advise())
    }

    async fn sync_data(_: &Accessor<Sandbox, Self>, _: Resource<Descriptor>) -> Answer<()> {
        Ok(Ok(()))
    }

    async fn get_flags(
        _: &Accessor<Sandbox, Self>,
        _: Resource<Descriptor>,
    ) -> Answer<types::DescriptorFlags> {
        Ok(Ok(types::DescriptorFlags::READ))
    }

    async fn get_type(
        accessor: &Accessor<Sandbox, Self>,
        this: Resource<Descriptor>,
    ) -> Answer<types::DescriptorType> {
        answer(Ok(descriptor(accessor, &this)?.kind()))
    }

    async fn set_size(
        _: &Accessor<Sandbox, Self>,
        _: Resource<Descriptor>,
        _size: u64,
    ) -> Answer<()> {
        read_only()
    }

    async fn set_times(
        _: &Accessor<Sandbox, Self>,
        _: Resource<Descriptor>,
        _access: types::NewTimestamp,
        _modification: types::NewTimestamp,
    ) -> Answer<()> {
        read_only()
    }

    fn read_directory(
        mut access: Access<'_, Sandbox, Self>,
        this: Resource<Descriptor>,
    ) -> Result<(StreamReader<types::DirectoryEntry>, Outcome)> {
        let folder = access.get().resource(&this)?.clone();
        let (mut end, told) = End::new();
        let stream = match folder.kind() {
            Kind::Folder => StreamReader::new(&mut access, FolderNames::new(folder, end))?,
            Kind::File => {
                end.say(Err(FileError::NotDirectory));
                StreamReader::new(&mut access, std::iter::empty())?
            }
        };
        Ok((stream, FutureReader::new(&mut access, told)?))
    }

    async fn sync(_: &Accessor<Sandbox, Self>, _: Resource<Descriptor>) -> Answer<()> {
        Ok(Ok(()))
    }

    async fn create_directory_at(
        _: &Accessor<Sandbox, Self>,
        _: Resource<Descriptor>,
        _path: String,
    ) -> Answer<()> {
        read_only()
    }

    async fn stat(
        accessor: &Accessor<Sandbox, Self>,
        this: Resource<Descriptor>,
    ) -> Answer<types::DescriptorStat> {
        answer(Ok(descriptor(accessor, &this)?.stat()))
    }

    async fn stat_at(
        accessor: &Accessor<Sandbox, Self>,
        this: Resource<Descriptor>,
        _flags: types::PathFlags,
        path: String,
    ) -> Answer<types::DescriptorStat> {
        answer(descriptor(accessor, &this)?.stat_at(&path).await)
    }

    async fn set_times_at(
        _: &Accessor<Sandbox, Self>,
        _: Resource<Descriptor>,
        _flags: types::PathFlags,
        _path: String,
        _access: types::NewTimestamp,
        _modification: types::NewTimestamp,
    ) -> Answer<()> {
        read_only()
    }

    async fn link_at(
        _: &Accessor<Sandbox, Self>,
        _: Resource<Descriptor>,
        _flags: types::PathFlags,
        _path: String,
        _to: Resource<Descriptor>,
        _to_path: String,
    ) -> Answer<()> {
        read_only()
    }

    async fn open_at(
        accessor: &Accessor<Sandbox, Self>,
        this: Resource<Descriptor>,
        _path_flags: types::PathFlags,
        path: String,
        open: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> Answer<Resource<Descriptor>> {
        let how = opening(open, flags);
        let opened = descriptor(accessor, &this)?.open_at(&path, how).await;
        accessor.with(|mut access| {
            let sandbox = access.get();
            match super::room(sandbox).and(opened) {
                Ok(descriptor) => sandbox.keep_resource(descriptor).map(Ok),
                Err(error) => Ok(Err(error.into())),
            }
        })
    }

    async fn readlink_at(
        accessor: &Accessor<Sandbox, Self>,
        this: Resource<Descriptor>,
        path: String,
    ) -> Answer<String> {
        let refused = descriptor(accessor, &this)?.read_link_at(&path).await;
        Ok(Err(refused.into()))
    }

    async fn remove_directory_at(
        _: &Accessor<Sandbox, Self>,
        _: Resource<Descriptor>,
        _path: String,
    ) -> Answer<()> {
        read_only()
    }

    async fn rename_at(
        _: &Accessor<Sandbox, Self>,
        _: Resource<Descriptor>,
        _path: String,
        _to: Resource<Descriptor>,
        _to_path: String,
    ) -> Answer<()> {
        read_only()
    }

    async fn symlink_at(
        _: &Accessor<Sandbox, Self>,
        _: Resource<Descriptor>,
        _path: String,
        _to: String,
    ) -> Answer<()> {
        read_only()
    }

    async fn unlink_file_at(
        _: &Accessor<Sandbox, Self>,
        _: Resource<Descriptor>,
        _path: String,
    ) -> Answer<()> {
        read_only()
    }

    async fn is_same_object(
        accessor: &Accessor<Sandbox, Self>,
        this: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> Result<bool> {
        let this = descriptor(accessor, &this)?;
        let other = descriptor(accessor, &other)?;
        Ok(this.is_same(&other).await)
    }

    async fn metadata_hash(
        accessor: &Accessor<Sandbox, Self>,
        this: Resource<Descriptor>,
    ) -> Answer<types::MetadataHashValue> {
        answer(descriptor(accessor, &this)?.hash().await)
    }

    async fn metadata_hash_at(
        accessor: &Accessor<Sandbox, Self>,
        this: Resource<Descriptor>,
        _flags: types::PathFlags,
        path: String,
    ) -> Answer<types::MetadataHashValue> {
        answer(descriptor(accessor, &this)?.hash_at(&path).await)
    }
}

impl types::HostDescriptor for Sandbox {
    fn drop(&mut self, this: Resource<Descriptor>) -> Result<()> {
        self.take_resource(&this).map(drop)
    }
}
