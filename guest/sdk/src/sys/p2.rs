//! WASI 0.2: `wasi:http/incoming-handler`, with as few host calls as a response can be made of.

mod incoming;
mod outgoing;

use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest as HostRequest, ResponseOutparam};
use wasip2::io::poll::{self, Pollable as HostPollable};

pub(crate) use self::incoming::{IncomingBody, IncomingRequest};
use super::Exported;
use crate::LazyRequest;
use crate::executor::{Executor, Pollable, Ready};
use crate::local::{Local, LocalFuture};

thread_local! {
    static EXECUTOR: Executor<HostPollable> = const { Executor::new() };
}

impl Pollable for HostPollable {
    fn wait(pollables: &[&Self]) -> Vec<u32> {
        // The usual case: one wait, and one call that returns no list.
        if let [only] = pollables {
            only.block();
            return vec![0];
        }
        poll::poll(pollables)
    }
}

fn ready(pollable: HostPollable) -> Ready<HostPollable> {
    Ready::new(&EXECUTOR, pollable)
}

pub(crate) fn spawn(work: LocalFuture) {
    EXECUTOR.with(|executor| executor.spawn(work));
}

pub(crate) fn wait_until(work: LocalFuture) {
    EXECUTOR.with(|executor| executor.after_main(work));
}

pub(crate) fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Local::new(async move { ready(monotonic_clock::subscribe_duration(nanoseconds)).await })
}

/// The component's export.
pub struct Export<H>(PhantomData<H>);

impl<H: Exported> Guest for Export<H> {
    fn handle(request: HostRequest, out: ResponseOutparam) {
        EXECUTOR.with(|executor| {
            executor.run(async move {
                let request = LazyRequest::new(IncomingRequest::new(request));
                let response = H::handle(request).await;
                outgoing::send(response, out).await;
            });
        });
    }
}

/// Exports a handler as `wasi:http/incoming-handler`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($handler:ident) => {
        type Export = $crate::__private::Export<$handler>;
        $crate::__private::wasip2::http::proxy::export!(
            Export with_types_in $crate::__private::wasip2
        );
    };
}
