//! Runs functions without a host, in plain `cargo test`.
//!
//! ```
//! use everwarm_sdk::testing::{block_on, call};
//! use everwarm_sdk::{Body, Request};
//!
//! async fn shout(text: String) -> String {
//!     text.to_uppercase()
//! }
//!
//! let response = block_on(call(shout, Request::new(Body::from("hello"))));
//! assert_eq!(block_on(response.into_body().text()).unwrap(), "HELLO");
//! ```

use std::future::Future;

use crate::response::declare_length;
use crate::{FromRequest, IntoResponse, LazyRequest, Request, Response, sys, task};

/// Runs a future and all the work that it starts to the end, on this thread. Time is real.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    sys::block_on(future)
}

/// Gives a handler this request, and returns what the host would be given.
pub async fn call<T, F, R>(handler: impl Fn(T) -> F, request: Request) -> Response
where
    T: FromRequest,
    F: Future<Output = R>,
    R: IntoResponse,
{
    let mut response = task::answer_request(handler, lazy(request)).await;
    declare_length(&mut response);
    response
}

/// A request as a handler's argument is made of.
pub fn lazy(request: Request) -> LazyRequest {
    LazyRequest::new(sys::IncomingRequest::new(request))
}
