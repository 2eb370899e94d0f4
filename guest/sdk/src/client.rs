//! Sends requests. Here is decided what is sent, and how long to wait for it at most; how the host is
//! asked is `sys`.

mod error;
mod kind;

use std::future::Future;
use std::time::Duration;

use ::http::{HeaderValue, header};
use http_body::Body as _;

pub use self::error::SendError;
#[cfg(test)]
pub(crate) use self::kind::CASES;
pub use self::kind::SendErrorKind;
use crate::local::Local;
use crate::{Body, Request, Response, sys};

/// Sends a request, and returns the response when its head has come. Both bodies stream: the response
/// may begin before the request's body has been sent.
///
/// The URI is absolute. Its host is what the server is told that it is asked as, whatever the header `host`
/// says. A body whose length is known is declared with `content-length`. Dropping the future cancels the
/// request.
///
/// The function's manifest has to grant the host.
///
/// ```
/// use everwarm_sdk::{Body, Request, Result, send};
///
/// #[everwarm_sdk::http]
/// async fn items() -> Result<String> {
///     let request = Request::get("https://api.example.com/v1/items")
///         .header("accept", "application/json")
///         .body(Body::empty())?;
///     let response = send(request).await?;
///     Ok(response.into_body().text().await?)
/// }
/// ```
///
/// # Errors
/// When the request is not one that can be sent, when the host refuses it, or when no response came. Any
/// status is a response.
pub fn send(
    request: Request<impl Into<Body>>,
) -> impl Future<Output = Result<Response, SendError>> + Send + 'static {
    start(request.map(Into::into), None)
}

/// Sends a request as [`send`] does, and waits no longer than these time-outs say.
///
/// ```
/// use std::time::Duration;
///
/// use everwarm_sdk::{Body, Request, Response, Result, SendOptions, send_with};
///
/// async fn quick() -> Result<Response> {
///     let request = Request::get("https://api.example.com/v1/items").body(Body::empty())?;
///     let options = SendOptions::new()
///         .with_connect_timeout(Duration::from_millis(200))
///         .with_first_byte_timeout(Duration::from_secs(1));
///     Ok(send_with(request, options).await?)
/// }
/// ```
///
/// # Errors
/// As [`send`], and [`SendErrorKind::TimeoutNotSupported`] when the host has no such time-out.
pub fn send_with(
    request: Request<impl Into<Body>>,
    options: SendOptions,
) -> impl Future<Output = Result<Response, SendError>> + Send + 'static {
    start(request.map(Into::into), sys::timeouts(options))
}

/// How long a send waits for what. What isn't set is the host's to decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendOptions {
    pub(crate) connect: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) between_bytes: Option<Duration>,
}

impl SendOptions {
    /// No time-outs but the host's own.
    pub const fn new() -> Self {
        Self {
            connect: None,
            first_byte: None,
            between_bytes: None,
        }
    }

    /// How long it may take until there is a connection.
    #[must_use]
    pub const fn with_connect_timeout(mut self, time: Duration) -> Self {
        self.connect = Some(time);
        self
    }

    /// How long it may take until the response begins.
    #[must_use]
    pub const fn with_first_byte_timeout(mut self, time: Duration) -> Self {
        self.first_byte = Some(time);
        self
    }

    /// How long the response's body may pause.
    #[must_use]
    pub const fn with_between_bytes_timeout(mut self, time: Duration) -> Self {
        self.between_bytes = Some(time);
        self
    }
}

/// Timeouts come as what makes them: a function that sets none links nothing that does.
fn start(
    request: Request,
    timeouts: Option<sys::Timeouts>,
) -> impl Future<Output = Result<Response, SendError>> + Send + 'static {
    Local::new(async move { sys::send(prepare(request)?, timeouts).await })
}

/// The request as it is sent.
fn prepare(mut request: Request) -> Result<Request, SendError> {
    let uri = request.uri();
    if uri.scheme().is_none() || uri.authority().is_none() {
        return Err(SendError::new(SendErrorKind::UriNotAbsolute));
    }
    let length = request.body().size_hint().exact();
    let headers = request.headers_mut();
    // A request that is passed on still has that of the function itself, and hosts refuse any.
    headers.remove(header::HOST);
    if let Some(length) = length
        && length > 0
        && !headers.contains_key(header::CONTENT_LENGTH)
        && !headers.contains_key(header::TRANSFER_ENCODING)
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
