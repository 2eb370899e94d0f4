//! Conversions between `wasi:http/types` 0.2 and the `http` crate.

use wasmtime::component::Resource as Handle;

use super::bindings::wasi::http::types::{self, ErrorCode, Method, Scheme};
use crate::resource::Resource;
use crate::sandbox::Sandbox;
use crate::slots::{SlotError, Slots};

crate::convert::http_conversions!(Method, Scheme, types);

impl types::Host for Sandbox {
    fn http_error_code(
        &mut self,
        error: Handle<wasmtime_wasi_io::streams::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        if !Slots::<Resource>::owns(error.rep()) {
            return Ok(None);
        }
        match self.slots.get(error.rep())? {
            Resource::Error(broken) => Ok(broken.code.clone().map(ErrorCode::from)),
            _ => Err(SlotError::Wrong(error.rep()).into()),
        }
    }
}
