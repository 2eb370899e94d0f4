//! `fields` of `wasi:http/types` 0.2.

use wasmtime::component::Resource as Handle;

use super::bindings::wasi::http::types::{self, HeaderError};
use crate::fields::{Fields, FieldsError};
use crate::resource::Resource;
use crate::sandbox::Sandbox;
use crate::slots::SlotError;

type Changed = wasmtime::Result<Result<(), HeaderError>>;

impl From<FieldsError> for HeaderError {
    fn from(error: FieldsError) -> Self {
        match error {
            FieldsError::InvalidSyntax => Self::InvalidSyntax,
            FieldsError::Forbidden => Self::Forbidden,
            // 0.2 has no word for "too large": no more may be changed.
            FieldsError::Immutable | FieldsError::TooLarge => Self::Immutable,
        }
    }
}

impl Sandbox {
    pub(crate) fn fields(&self, rep: u32) -> Result<&Fields, SlotError> {
        match self.slots.get(rep)? {
            Resource::Fields(fields) => Ok(fields),
            _ => Err(SlotError::Wrong(rep)),
        }
    }

    pub(crate) fn fields_mut(&mut self, rep: u32) -> Result<&mut Fields, SlotError> {
        match self.slots.get_mut(rep)? {
            Resource::Fields(fields) => Ok(fields),
            _ => Err(SlotError::Wrong(rep)),
        }
    }

    pub(crate) fn take_fields(&mut self, rep: u32) -> Result<Fields, SlotError> {
        match self.slots.take(rep)? {
            Resource::Fields(fields) => Ok(fields),
            _ => Err(SlotError::Wrong(rep)),
        }
    }

    pub(crate) fn push_fields<T>(&mut self, fields: Fields) -> Result<Handle<T>, SlotError> {
        Ok(Handle::new_own(self.slots.push(Resource::Fields(fields))?))
    }
}

impl types::HostFields for Sandbox {
    fn new(&mut self) -> wasmtime::Result<Handle<types::Fields>> {
        Ok(self.push_fields(Fields::new())?)
    }

    fn from_list(
        &mut self,
        entries: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<Handle<types::Fields>, HeaderError>> {
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

    fn append(&mut self, this: Handle<types::Fields>, name: String, value: Vec<u8>) -> Changed {
        Ok(self
            .fields_mut(this.rep())?
            .append(&name, value)
            .map_err(Into::into))
    }

    fn entries(&mut self, this: Handle<types::Fields>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
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
