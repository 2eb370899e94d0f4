//! `wasi:http/client` 0.3: sending a request needs a grant, and none exists yet, so it is denied.

use wasmtime::component::{Access, Accessor, Resource as Handle};

use super::Http;
use super::bindings::wasi::http::client;
use super::bindings::wasi::http::types::{self, ErrorCode};
use crate::sandbox::Sandbox;

impl client::Host for Sandbox {}

impl client::HostWithStore<Sandbox> for Http {
    async fn send(
        accessor: &Accessor<Sandbox, Self>,
        request: Handle<types::Request>,
    ) -> wasmtime::Result<Result<Handle<types::Response>, ErrorCode>> {
        accessor.with(|access: Access<'_, Sandbox, Self>| {
            <Self as types::HostRequestWithStore<Sandbox>>::drop(access, request)
        })?;
        Ok(Err(ErrorCode::HttpRequestDenied))
    }
}
