//! `wasi:io` and `wasi:http` of WASI 0.2, lean.
//!
//! Owns the bindings and the link to the engine's request and response. Streams and pollables are
//! the same resource types as `wasmtime-wasi`'s, so that the rest of WASI plugs in: numbers that
//! are not ours go to its table.

mod answer;
mod convert;
mod fields;
mod incoming;
mod outgoing;
mod poll;
mod received;
mod streams;

pub(crate) use answer::final_status;
use wasmtime::component::{HasSelf, Linker};

use crate::sandbox::Sandbox;

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-0.2",
        world: "everwarm:host/wasi02",
        imports: {
            "wasi:io/poll.poll": async | trappable,
            "wasi:io/poll.[method]pollable.block": async | trappable,
            "wasi:io/poll.[method]pollable.ready": async | trappable,
            "wasi:io/streams.[method]input-stream.blocking-read": async | trappable,
            "wasi:io/streams.[method]input-stream.blocking-skip": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-splice": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-write-and-flush": async | trappable,
            "wasi:io/streams.[method]output-stream.blocking-write-zeroes-and-flush": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "wasi:io/poll.pollable": wasmtime_wasi::p2::DynPollable,
            "wasi:io/streams.input-stream": wasmtime_wasi::p2::DynInputStream,
            "wasi:io/streams.output-stream": wasmtime_wasi::p2::DynOutputStream,
            "wasi:io/error.error": wasmtime_wasi_io::streams::Error,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        },
        trappable_error_type: {
            "wasi:io/streams.stream-error" => super::streams::StreamFailure,
        },
        require_store_data_send: true,
    });
}

/// The interfaces that [`link`] provides.
pub(crate) const INTERFACES: &[&str] = &[
    "wasi:io/error@0.2.12",
    "wasi:io/poll@0.2.12",
    "wasi:io/streams@0.2.12",
    "wasi:http/types@0.2.12",
    "wasi:http/outgoing-handler@0.2.12",
];

/// Adds `wasi:io` and `wasi:http` to a linker.
pub(crate) fn link(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    use bindings::wasi::{http, io};

    fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
        sandbox
    }
    io::error::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
    io::poll::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
    io::streams::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
    let options = http::types::LinkOptions::default();
    http::types::add_to_linker::<_, HasSelf<Sandbox>>(linker, &options, same)?;
    http::outgoing_handler::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)
}
