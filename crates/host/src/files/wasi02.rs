//! `wasi:filesystem` 0.2. Converts, and knows nothing else.

use everwarm_engine::Sandbox;
use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use self::bindings::wasi::filesystem::{preopens, types};
use super::convert::file_conversions;
use super::descriptor::{Descriptor, Listing};
use super::stream::{ReadStream, Reading};
use super::tree::FileError;

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-0.2",
        world: "wasi:filesystem/imports",
        imports: {
            "wasi:filesystem/types.filesystem-error-code": trappable,
            "wasi:filesystem/types.[method]descriptor.read-via-stream": trappable,
            "wasi:filesystem/types.[method]descriptor.write-via-stream": trappable,
            "wasi:filesystem/types.[method]descriptor.append-via-stream": trappable,
            "wasi:filesystem/types.[method]descriptor.advise": trappable,
            "wasi:filesystem/types.[method]descriptor.sync-data": trappable,
            "wasi:filesystem/types.[method]descriptor.get-flags": trappable,
            "wasi:filesystem/types.[method]descriptor.get-type": trappable,
            "wasi:filesystem/types.[method]descriptor.set-size": trappable,
            "wasi:filesystem/types.[method]descriptor.set-times": trappable,
            "wasi:filesystem/types.[method]descriptor.write": trappable,
            "wasi:filesystem/types.[method]descriptor.sync": trappable,
            "wasi:filesystem/types.[method]descriptor.create-directory-at": trappable,
            "wasi:filesystem/types.[method]descriptor.stat": trappable,
            "wasi:filesystem/types.[method]descriptor.set-times-at": trappable,
            "wasi:filesystem/types.[method]descriptor.link-at": trappable,
            "wasi:filesystem/types.[method]descriptor.remove-directory-at": trappable,
            "wasi:filesystem/types.[method]descriptor.rename-at": trappable,
            "wasi:filesystem/types.[method]descriptor.symlink-at": trappable,
            "wasi:filesystem/types.[method]descriptor.unlink-file-at": trappable,
            "wasi:filesystem/types.[method]directory-entry-stream.read-directory-entry": trappable,
            "wasi:filesystem/preopens.get-directories": trappable,
            "wasi:filesystem/types.[drop]descriptor": trappable,
            "wasi:filesystem/types.[drop]directory-entry-stream": trappable,
            default: async | trappable,
        },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:filesystem/types.descriptor": crate::files::Descriptor,
            "wasi:filesystem/types.directory-entry-stream": crate::files::Listing,
        },
        require_store_data_send: true,
    });
}

/// Adds the interfaces to a linker.
pub(super) fn link(linker: &mut Linker<Sandbox>) -> Result<()> {
    fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
        sandbox
    }
    types::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
    preopens::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)
}

file_conversions!(types);

impl types::Host for Sandbox {
    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> Result<Option<types::ErrorCode>> {
        // Errors of other streams are nothing of files.
        let error = self.ctx().table.get(&error).ok();
        let error = error.and_then(|error| error.downcast_ref::<FileError>());
        Ok(error.map(|error| (*error).into()))
    }
}

impl preopens::Host for Sandbox {
    fn get_directories(&mut self) -> Result<Vec<(Resource<Descriptor>, String)>> {
        super::directories(self)
    }
}

impl types::HostDescriptor for Sandbox {
    fn read_via_stream(
        &mut self,
        this: Resource<Descriptor>,
        offset: u64,
    ) -> Answer<Resource<DynInputStream>> {
        match self.resource(&this)?.file() {
            Ok(file) => {
                let stream = Box::new(ReadStream::new(Reading::new(file, offset)));
                let kept = self.keep_input_if_room(stream, super::LEFT_TO_OTHERS);
                Ok(kept.ok_or(types::ErrorCode::InsufficientMemory))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    fn write_via_stream(
        &mut self,
        _this: Resource<Descriptor>,
        _offset: u64,
    ) -> Answer<Resource<DynOutputStream>> {
        read_only()
    }

    fn append_via_stream(
        &mut self,
        _this: Resource<Descriptor>,
    ) -> Answer<Resource<DynOutputStream>> {
        read_only()
    }

    fn advise(
        &mut self,
        this: Resource<Descriptor>,
        _offset: u64,
        _length: u64,
        _advice: types::Advice,
    ) -> Answer<()> {
        answer(self.resource(&this)?.advise())
    }

    fn sync_data(&mut self, _this: Resource<Descriptor>) -> Answer<()> {
        Ok(Ok(()))
    }

    fn get_flags(&mut self, _this: Resource<Descriptor>) -> Answer<types::DescriptorFlags> {
        Ok(Ok(types::DescriptorFlags::READ))
    }

    fn get_type(&mut self, this: Resource<Descriptor>) -> Answer<types::DescriptorType> {
        answer(Ok(self.resource(&this)?.kind()))
    }

    fn set_size(&mut self, _this: Resource<Descriptor>, _size: u64) -> Answer<()> {
        read_only()
    }

    fn set_times(
        &mut self,
        _this: Resource<Descriptor>,
        _access: types::NewTimestamp,
        _modification: types::NewTimestamp,
    ) -> Answer<()> {
        read_only()
    }

    async fn read(
        &mut self,
        this: Resource<Descriptor>,
        length: u64,
        offset: u64,
    ) -> Answer<(Vec<u8>, bool)> {
        let read = self.resource_mut(&this)?.read(length, offset).await;
        answer(read.map(|(bytes, ends)| (Vec::from(bytes), ends)))
    }

    fn write(&mut self, _this: Resource<Descriptor>, _bytes: Vec<u8>, _offset: u64) -> Answer<u64> {
        read_only()
    }

    async fn read_directory(&mut self, this: Resource<Descriptor>) -> Answer<Resource<Listing>> {
        let listing = self.resource_mut(&this)?.list().await;
        match super::room(self).and(listing) {
            Ok(listing) => self.keep_resource(listing).map(Ok),
            Err(error) => Ok(Err(error.into())),
        }
    }

    fn sync(&mut self, _this: Resource<Descriptor>) -> Answer<()> {
        Ok(Ok(()))
    }

    fn create_directory_at(&mut self, _this: Resource<Descriptor>, _path: String) -> Answer<()> {
        read_only()
    }

    fn stat(&mut self, this: Resource<Descriptor>) -> Answer<types::DescriptorStat> {
        answer(Ok(self.resource(&this)?.stat()))
    }

    async fn stat_at(
        &mut self,
        this: Resource<Descriptor>,
        _flags: types::PathFlags,
        path: String,
    ) -> Answer<types::DescriptorStat> {
        answer(self.resource_mut(&this)?.stat_at(&path).await)
    }

    fn set_times_at(
        &mut self,
        _this: Resource<Descriptor>,
        _flags: types::PathFlags,
        _path: String,
        _access: types::NewTimestamp,
        _modification: types::NewTimestamp,
    ) -> Answer<()> {
        read_only()
    }

    fn link_at(
        &mut self,
        _this: Resource<Descriptor>,
        _flags: types::PathFlags,
        _path: String,
        _to: Resource<Descriptor>,
        _to_path: String,
    ) -> Answer<()> {
        read_only()
    }

    async fn open_at(
        &mut self,
        this: Resource<Descriptor>,
        _path_flags: types::PathFlags,
        path: String,
        open: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> Answer<Resource<Descriptor>> {
        let how = opening(open, flags);
        let opened = self.resource_mut(&this)?.open_at(&path, how).await;
        match super::room(self).and(opened) {
            Ok(descriptor) => self.keep_resource(descriptor).map(Ok),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn readlink_at(&mut self, this: Resource<Descriptor>, path: String) -> Answer<String> {
        Ok(Err(self
            .resource_mut(&this)?
            .read_link_at(&path)
            .await
            .into()))
    }

    fn remove_directory_at(&mut self, _this: Resource<Descriptor>, _path: String) -> Answer<()> {
        read_only()
    }

    fn rename_at(
        &mut self,
        _this: Resource<Descriptor>,
        _path: String,
        _to: Resource<Descriptor>,
        _to_path: String,
    ) -> Answer<()> {
        read_only()
    }

    fn symlink_at(
        &mut self,
        _this: Resource<Descriptor>,
        _path: String,
        _to: String,
    ) -> Answer<()> {
        read_only()
    }

    fn unlink_file_at(&mut self, _this: Resource<Descriptor>, _path: String) -> Answer<()> {
        read_only()
    }

    async fn is_same_object(
        &mut self,
        this: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> Result<bool> {
        let (this, other) = (
            self.resource(&this)?.clone(),
            self.resource(&other)?.clone(),
        );
        Ok(this.is_same(&other).await)
    }

    async fn metadata_hash(
        &mut self,
        this: Resource<Descriptor>,
    ) -> Answer<types::MetadataHashValue> {
        answer(self.resource_mut(&this)?.hash().await)
    }

    async fn metadata_hash_at(
        &mut self,
        this: Resource<Descriptor>,
        _flags: types::PathFlags,
        path: String,
    ) -> Answer<types::MetadataHashValue> {
        answer(self.resource_mut(&this)?.hash_at(&path).await)
    }

    fn drop(&mut self, this: Resource<Descriptor>) -> Result<()> {
        self.take_resource(&this).map(drop)
    }
}

impl types::HostDirectoryEntryStream for Sandbox {
    fn read_directory_entry(
        &mut self,
        this: Resource<Listing>,
    ) -> Answer<Option<types::DirectoryEntry>> {
        let entry = self.resource_mut(&this)?.next_name();
        Ok(Ok(entry.map(|(kind, name)| types::DirectoryEntry {
            type_: kind.into(),
            name,
        })))
    }

    fn drop(&mut self, this: Resource<Listing>) -> Result<()> {
        self.take_resource(&this).map(drop)
    }
}
