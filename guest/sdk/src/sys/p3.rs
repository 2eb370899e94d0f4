//! WASI 0.3: `wasi:http/handler`. The bindings' own executor drives a request; what is added here
//! is which request a future belongs to, for an instance may answer many at once.

mod incoming;
mod outgoing;
mod scope;

use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use wasip3::clocks::monotonic_clock;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Request as HostRequest, Response as HostResponse};

pub(crate) use self::incoming::IncomingRequest;
use self::scope::Scope;
pub(crate) use self::scope::{spawn, wait_until};
use super::Exported;
use crate::LazyRequest;
use crate::local::Local;

pub(crate) fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Local::new(monotonic_clock::wait_for(nanoseconds))
}

/// The component's export.
pub struct Export<H>(PhantomData<H>);

impl<H: Exported> Guest for Export<H> {
    async fn handle(request: HostRequest) -> Result<HostResponse, ErrorCode> {
        let scope = Scope::default();
        let request = LazyRequest::new(IncomingRequest::new(request));
        let response = scope.enter(H::handle(request)).await;
        outgoing::send(response, &scope)
    }
}

/// Exports a handler as `wasi:http/handler`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($handler:ident) => {
        type Export = $crate::__private::Export<$handler>;
        $crate::__private::wasip3::http::service::export!(
            Export with_types_in $crate::__private::wasip3
        );
    };
}
