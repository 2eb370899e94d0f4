//! `fields` of `wasi:http/types` 0.3.

use wasmtime::component::Resource as Handle;

use super::bindings::wasi::http::types::{self, HeaderError};
use crate::fields::{Fields, FieldsError};
use crate::sandbox::Sandbox;

type Changed<T = ()> = wasmtime::Result<Result<T, HeaderError>>;

impl From<FieldsError> for HeaderError {
    fn from(error: FieldsError) -> Self {
        match error {
            FieldsError::InvalidSyntax => Self::InvalidSyntax,
            FieldsError::Forbidden => Self::Forbidden,
            FieldsError::Immutable => Self::Immutable,
            FieldsError::TooLarge => Self::SizeExceeded,
        }
    }
}

impl types::HostFields for Sandbox {
    fn new(&mut self) -> wasmtime::Result<Handle<types::Fields>> {
        Ok(self.push_fields(Fields::new())?)
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> Changed<Handle<types::Fields>> {
        match Fields::from_list(entries) {
            Ok(fields) => Ok(Ok(self.push_fields(fields)?)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    fn get(&mut self, this: Handle<types::Fields>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(self.fields(this.rep())?.get(&name))
    }

    fn has(&mut self, this: Handle<types::Fields>, name: String) -> wasmtime::Result<bool> {
        Ok(self.fields(this.rep())?.has(&name))
    }

    fn set(&mut self, this: Handle<types::Fields>, name: String, values: Vec<Vec<u8>>) -> Changed {
        Ok(self
            .fields_mut(this.rep())?
            .set(&name, values)
            .map_err(Into::into))
    }

    fn delete(&mut self, this: Handle<types::Fields>, name: String) -> Changed {
        Ok(self
            .fields_mut(this.rep())?
            .delete(&name)
            .map(drop)
            .map_err(Into::into))
    }

    fn get_and_delete(
        &mut self,
        this: Handle<types::Fields>,
        name: String,
    ) -> Changed<Vec<Vec<u8>>> {
        Ok(self
            .fields_mut(this.rep())?
            .delete(&name)
            .map_err(Into::into))
    }

    fn append(&mut self, this: Handle<types::Fields>, name: String, value: Vec<u8>) -> Changed {
        Ok(self
            .fields_mut(this.rep())?
            .append(&name, value)
            .map_err(Into::into))
    }

    fn copy_all(
        &mut self,
        this: Handle<types::Fields>,
    ) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        Ok(self.fields(this.rep())?.entries())
    }

    fn clone(&mut self, this: Handle<types::Fields>) -> wasmtime::Result<Handle<types::Fields>> {
        let copy = self.fields(this.rep())?.clone_mutable();
        Ok(self.push_fields(copy)?)
    }

    fn drop(&mut self, this: Handle<types::Fields>) -> wasmtime::Result<()> {
        self.take_fields(this.rep())?;
        Ok(())
    }
}
