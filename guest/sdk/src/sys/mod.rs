//! The host. Each file offers the same names: a request's parts and body, sending the response, requests
//! of its own, tasks and time. Which one is compiled depends on the target and the features.

#[cfg(target_family = "wasm")]
mod abi;
#[cfg(target_family = "wasm")]
pub(crate) mod blobs;
#[cfg(target_family = "wasm")]
pub(crate) mod cache;
#[cfg(target_family = "wasm")]
mod config;
#[cfg(any(target_family = "wasm", test))]
mod error_code;
#[cfg(any(target_family = "wasm", test))]
mod exchange;
#[cfg(target_family = "wasm")]
mod head;
#[cfg(target_family = "wasm")]
pub(crate) mod keyvalue;
#[cfg(target_family = "wasm")]
mod log;
#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(all(
    target_family = "wasm",
    feature = "wasi-0-2",
    not(feature = "wasi-0-3")
))]
mod p2;
#[cfg(all(target_family = "wasm", feature = "wasi-0-3"))]
mod p3;
#[cfg(target_family = "wasm")]
mod sending;

#[cfg(target_family = "wasm")]
pub(crate) use config::{config_get, config_get_all};
#[cfg(any(target_family = "wasm", test))]
pub(crate) use error_code::ErrorCode;
#[cfg(target_family = "wasm")]
pub(crate) use log::log;
#[cfg(not(target_family = "wasm"))]
pub use native::*;
#[cfg(all(
    target_family = "wasm",
    feature = "wasi-0-2",
    not(feature = "wasi-0-3")
))]
pub use p2::*;
#[cfg(all(target_family = "wasm", feature = "wasi-0-3"))]
pub use p3::*;
#[cfg(target_family = "wasm")]
pub(crate) mod queue;
#[cfg(target_family = "wasm")]
pub(crate) mod redis;
#[cfg(target_family = "wasm")]
pub(crate) mod sql;
#[cfg(target_family = "wasm")]
pub(crate) use sending::Timeouts;

#[cfg(all(
    target_family = "wasm",
    not(any(feature = "wasi-0-2", feature = "wasi-0-3"))
))]
compile_error!("everwarm-sdk needs one of its features wasi-0-2 and wasi-0-3");

use std::future::Future;

use crate::{LazyRequest, Response};

/// A function as the `http` attribute exports it.
pub trait Exported {
    /// Answers one request. It can't fail: errors are responses by now.
    fn handle(request: LazyRequest) -> impl Future<Output = Response>;
}

/// Has the world compiled into its section. Nothing refers to it once this is folded, as no static is at
/// null, so that its bytes are not in every instance's memory too: `used` would keep them there.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __keep_world {
    ($world:ident) => {
        if (&raw const $world).is_null() {
            return ::core::default::Default::default();
        }
    };
}
