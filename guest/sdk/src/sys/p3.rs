//! WASI 0.3: `wasi:http/handler`, with as few host calls as a response can be made of, and as few
//! imports. An instance may answer many requests at once: each is a `call`, with futures of its own.

mod abi;
mod bell;
mod call;
mod client;
mod incoming;
mod outgoing;
mod waits;
mod writer;

use std::future::{Future, poll_fn};
use std::time::Duration;

pub use self::call::resume;
pub(crate) use self::call::{spawn, wait_until};
pub(crate) use self::client::{send, timeouts};
pub(crate) use self::incoming::IncomingRequest;
use super::Exported;
use super::abi::construct_once;
use super::sending::nanoseconds;
use crate::LazyRequest;
use crate::local::Local;

pub(crate) fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
    Local::new(async move {
        if let Some(mut timer) = abi::Timer::start(nanoseconds(duration)) {
            poll_fn(|context| timer.poll(context)).await;
        }
    })
}

/// Begins one call of the export, with the handle that it was called with.
pub fn begin<H: Exported>(request: u32) -> u32 {
    construct_once();
    call::start(Box::pin(async move {
        let request = LazyRequest::new(IncomingRequest::from_export(request));
        let response = H::handle(request).await;
        outgoing::send(response).await;
    }))
}

/// The world of `wit/wasi-0.3.wit`, for the component toolchain.
pub const WORLD: &[u8; WORLD_LEN] = include_bytes!("p3/world.bin");

/// The length of [`WORLD`] in bytes.
pub const WORLD_LEN: usize = include_bytes!("p3/world.bin").len();

/// Exports a handler as `wasi:http/handler`. The world stands in the function's own crate, so that no
/// linker drops it.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($handler:ident) => {
        #[unsafe(link_section = "component-type:everwarm-sdk:http@0.3")]
        static WORLD: [u8; $crate::__private::WORLD_LEN] = *$crate::__private::WORLD;

        #[unsafe(export_name = "[async-lift]wasi:http/handler@0.3.0#handle")]
        extern "C" fn export(request: u32) -> u32 {
            $crate::__keep_world!(WORLD);
            $crate::__private::begin_call::<$handler>(request)
        }

        #[unsafe(export_name = "[callback][async-lift]wasi:http/handler@0.3.0#handle")]
        extern "C" fn callback(event: u32, waitable: u32, code: u32) -> u32 {
            $crate::__private::resume_call(event, waitable, code)
        }
    };
}
