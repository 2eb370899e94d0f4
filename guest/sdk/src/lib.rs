//! Write HTTP functions for Everwarm, or for any other host that runs WASI components.
//!
//! ```
//! #[everwarm_sdk::http]
//! async fn hello() -> &'static str {
//!     "Hello from Everwarm\n"
//! }
//! ```
//!
//! One source makes two kinds of component: WASI 0.2 (feature `wasi-0-2`, the default) and
//! WASI 0.3 (feature `wasi-0-3`, which wins when both are on). On any other target the crate
//! compiles too, so that functions can be tested with plain `cargo test`: see [`testing`].
//!
//! This crate owns the conversion between the host's HTTP and the `http` crate's types, and the
//! executor that drives a request. It knows nothing of Everwarm's own manifest or limits.

mod adapter;
pub mod blobs;
mod body;
pub mod cache;
mod channel;
mod client;
pub mod config;
mod error;
mod executor;
mod json;
pub mod kv;
mod local;
pub mod log;
mod problem;
pub mod queue;
pub mod redis;
mod request;
mod response;
mod service;
pub mod sql;
pub mod sse;
mod sys;
mod task;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[cfg(feature = "axum")]
mod axum;

pub use body::{Body, BodyError};
pub use channel::{Closed, Sender};
pub use client::{SendError, SendErrorKind, SendOptions, send, send_with};
pub use error::Error;
pub use everwarm_sdk_macros::http;
pub use json::Json;
pub use request::{FromRequest, LazyRequest};
pub use response::IntoResponse;
pub use task::{sleep, spawn, wait_until};

pub use ::bytes::Bytes;
pub use ::http;

/// A request as the `http` crate has it, with a body that streams.
pub type Request<B = Body> = ::http::Request<B>;

/// A response as the `http` crate has it, with a body that may stream.
pub type Response<B = Body> = ::http::Response<B>;

/// What a handler that can fail returns.
pub type Result<T = Response, E = Error> = core::result::Result<T, E>;

/// What the `http` attribute expands to. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::service::{Served, serve};
    #[cfg(not(target_family = "wasm"))]
    pub use crate::sys::Export;
    pub use crate::sys::Exported;
    #[cfg(all(
        target_family = "wasm",
        feature = "wasi-0-2",
        not(feature = "wasi-0-3")
    ))]
    pub use crate::sys::answer as answer_call;
    #[cfg(target_family = "wasm")]
    pub use crate::sys::{WORLD, WORLD_LEN};
    #[cfg(all(target_family = "wasm", feature = "wasi-0-3"))]
    pub use crate::sys::{begin as begin_call, resume as resume_call};
    pub use crate::task::{answer, answer_request};
}

/// What the `http` attribute refuses.
///
/// ```compile_fail
/// #[everwarm_sdk::http]
/// async fn two_arguments(request: everwarm_sdk::Request, body: everwarm_sdk::Body) {}
/// ```
/// ```compile_fail
/// #[everwarm_sdk::http]
/// struct NoFn;
/// ```
/// ```compile_fail
/// #[everwarm_sdk::http]
/// fn a_service_takes_no_argument(request: everwarm_sdk::Request) {}
/// ```
/// ```compile_fail
/// #[everwarm_sdk::http(argument)]
/// async fn the_attribute_takes_none() {}
/// ```
#[cfg(doctest)]
struct Refused;

/// The guide in `docs/functions.md`, so that its snippets are compiled.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../docs/functions.md")]
struct Guide;
