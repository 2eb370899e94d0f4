//! What a handler may take. A request's parts cost a call to the host each, so nothing is asked
//! before a handler wants it.

use std::fmt;
use std::future::Future;

use ::http::{HeaderMap, Method};

use crate::{Body, Bytes, Error, Request, sys};

/// A request whose parts are asked of the host when they are wanted.
///
/// ```
/// use everwarm_sdk::LazyRequest;
///
/// #[everwarm_sdk::http]
/// async fn path(request: LazyRequest) -> String {
///     request.path_and_query() // headers and body are never fetched
/// }
/// ```
pub struct LazyRequest(sys::IncomingRequest);

impl LazyRequest {
    pub(crate) fn new(request: sys::IncomingRequest) -> Self {
        Self(request)
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.0.method()
    }

    /// The path with its query, as it was sent; `/` when the request has none.
    pub fn path_and_query(&self) -> String {
        self.0.path_and_query()
    }

    /// The headers. `host` is always there when the client named a host.
    pub fn headers(&self) -> HeaderMap {
        self.0.headers()
    }

    /// The request with all its parts. The body is still not read.
    pub fn into_request(self) -> Request {
        self.0.into_request()
    }

    /// The body alone.
    pub fn into_body(self) -> Body {
        self.0.into_body()
    }
}

impl fmt::Debug for LazyRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LazyRequest")
    }
}

/// A handler's argument.
pub trait FromRequest: Sized {
    /// Makes the argument, or the error that is answered in the handler's place.
    ///
    /// # Errors
    /// When the request is not what the handler asks for.
    fn from_request(request: LazyRequest) -> impl Future<Output = Result<Self, Error>>;
}

impl FromRequest for Request {
    async fn from_request(request: LazyRequest) -> Result<Self, Error> {
        Ok(request.into_request())
    }
}

impl FromRequest for LazyRequest {
    async fn from_request(request: LazyRequest) -> Result<Self, Error> {
        Ok(request)
    }
}

impl FromRequest for Method {
    async fn from_request(request: LazyRequest) -> Result<Self, Error> {
        Ok(request.method())
    }
}

impl FromRequest for HeaderMap {
    async fn from_request(request: LazyRequest) -> Result<Self, Error> {
        Ok(request.headers())
    }
}

impl FromRequest for Body {
    async fn from_request(request: LazyRequest) -> Result<Self, Error> {
        Ok(request.into_body())
    }
}

impl FromRequest for Bytes {
    async fn from_request(request: LazyRequest) -> Result<Self, Error> {
        Ok(request.into_body().bytes().await?)
    }
}

impl FromRequest for String {
    async fn from_request(request: LazyRequest) -> Result<Self, Error> {
        Ok(request.into_body().text().await?)
    }
}
