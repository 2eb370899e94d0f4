//! `wasi:http` of WASI 0.3, lean.
//!
//! Owns the bindings and the link to the engine's request and response. Everything else of 0.3
//! comes from `wasmtime-wasi` through the capabilities.

pub(crate) mod body;
mod client;
mod convert;
mod fields;
mod message;

use wasmtime::component::{HasData, Linker};

use crate::sandbox::Sandbox;

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-0.3",
        world: "everwarm:host/wasi03",
        imports: {
            "wasi:http/client.send": store | trappable,
            "wasi:http/types.[drop]request": store | trappable,
            "wasi:http/types.[drop]response": store | trappable,
            "wasi:http/types.[static]request.consume-body": store | trappable,
            "wasi:http/types.[static]request.new": store | trappable,
            "wasi:http/types.[static]response.consume-body": store | trappable,
            "wasi:http/types.[static]response.new": store | trappable,
            default: trappable,
        },
        exports: { default: async | store },
        require_store_data_send: true,
    });
}

/// The interfaces that [`link`] provides.
pub(crate) const INTERFACES: &[&str] = &["wasi:http/types@0.3.0", "wasi:http/client@0.3.0"];

/// Names the store data of these bindings.
pub(crate) struct Http;

impl HasData for Http {
    type Data<'a> = &'a mut Sandbox;
}

/// Adds `wasi:http` to a linker.
pub(crate) fn link(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    use bindings::wasi::http;

    fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
        sandbox
    }
    http::types::add_to_linker::<_, Http>(linker, same)?;
    http::client::add_to_linker::<_, Http>(linker, same)
}
