//! WASI 0.2: `wasi:http/incoming-handler`, with as few host calls as a response can be made of, and
//! as few imports.

mod abi;
mod client;
mod incoming;
mod outgoing;
mod writer;

use std::future::Future;
use std::time::Duration;

use self::abi::Outparam;
pub(crate) use self::client::{send, timeouts};
pub(crate) use self::incoming::IncomingRequest;
use super::Exported;
use super::abi::construct_once;
use super::sending::nanoseconds;
use crate::LazyRequest;
use crate::executor::blocking::{Executor, Pollable, Ready};
use crate::local::{Local, LocalFuture};

thread_local! {
    static EXECUTOR: Executor<abi::Pollable> = const { Executor::new() };
}

impl Pollable for abi::Pollable {
    fn wait(pollables: &[&Self]) -> Vec<u32> {
        Self::wait(pollables)
    }
}

fn ready(pollable: abi::Pollable) -> Ready<abi::Pollable> {
    Ready::new(&EXECUTOR, pollable)
}

pub(crate) fn spawn(work: LocalFuture) {
    EXECUTOR.with(|executor| executor.spawn(work));
}

pub(crate) fn wait_until(work: LocalFuture) {
    EXECUTOR.with(|executor| executor.after_main(work));
}

pub(crate) fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
    Local::new(async move { ready(abi::Pollable::after(nanoseconds(duration))).await })
}

/// Answers one call of the export, with the handles that it was called with.
pub fn answer<H: Exported>(request: u32, out: u32) {
    construct_once();
    EXECUTOR.with(|executor| {
        executor.run(async move {
            let request = LazyRequest::new(IncomingRequest::from_export(request));
            let response = H::handle(request).await;
            outgoing::send(response, Outparam::from_export(out)).await;
        });
    });
}

/// The world of `wit/wasi-0.2.wit`, for the component toolchain.
pub const WORLD: &[u8; WORLD_LEN] = include_bytes!("p2/world.bin");

/// The length of [`WORLD`] in bytes.
pub const WORLD_LEN: usize = include_bytes!("p2/world.bin").len();

/// Exports a handler as `wasi:http/incoming-handler`. The world stands in the function's own crate,
/// so that no linker drops it.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($handler:ident) => {
        #[unsafe(link_section = "component-type:everwarm-sdk:http@0.2")]
        static WORLD: [u8; $crate::__private::WORLD_LEN] = *$crate::__private::WORLD;

        #[unsafe(export_name = "wasi:http/incoming-handler@0.2.0#handle")]
        extern "C" fn export(request: u32, out: u32) {
            $crate::__keep_world!(WORLD);
            $crate::__private::answer_call::<$handler>(request, out);
        }
    };
}
