//! Conversions between `wasi:http/types` 0.2 and the `http` crate.

use wasmtime::component::Resource as Handle;

use super::bindings::wasi::http::types::{self, ErrorCode, Method, Scheme};
use crate::sandbox::Sandbox;

crate::convert::http_conversions!(Method, Scheme);

impl types::Host for Sandbox {
    fn http_error_code(
        &mut self,
        _error: Handle<wasmtime_wasi_io::streams::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        // Errors of body streams carry a text and no code.
        Ok(None)
    }
}
