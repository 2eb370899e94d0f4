//! Work beside and after a response, time, and what the `http` attribute's code calls.

use std::future::Future;
use std::time::Duration;

use crate::{FromRequest, IntoResponse, LazyRequest, Response, sys};

/// Starts work that goes on beside the handler and, when it takes longer, after the response: up to
/// the host's limit for background time.
pub fn spawn(work: impl Future<Output = ()> + 'static) {
    sys::spawn(Box::pin(work));
}

/// Starts work once the response has been handed over whole, so that the client never waits for
/// it. It may go on up to the host's limit for background time.
pub fn wait_until(work: impl Future<Output = ()> + 'static) {
    sys::wait_until(Box::pin(work));
}

/// Waits this long without using CPU time.
pub fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
    sys::sleep(duration)
}

/// What the `http` attribute makes of a handler without an argument.
#[doc(hidden)]
pub async fn answer<R: IntoResponse>(handler: impl Future<Output = R>) -> Response {
    handler.await.into_response()
}

/// What the `http` attribute makes of a handler with one argument.
#[doc(hidden)]
pub async fn answer_request<T, F, R>(handler: impl Fn(T) -> F, request: LazyRequest) -> Response
where
    T: FromRequest,
    F: Future<Output = R>,
    R: IntoResponse,
{
    match T::from_request(request).await {
        Ok(argument) => handler(argument).await.into_response(),
        Err(error) => error.into_response(),
    }
}
