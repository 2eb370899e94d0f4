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

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, Method};

    use crate::testing::{block_on, call};
    use crate::{Body, Bytes, LazyRequest, Request, Response};

    fn request() -> Request {
        Request::put("/a/b?c=d")
            .header("x-colour", "blue")
            .body(Body::from("hello"))
            .expect("a valid request")
    }

    fn text(response: Response) -> String {
        block_on(response.into_body().text()).expect("text")
    }

    #[test]
    fn a_lazy_request_has_every_part() {
        async fn parts(request: LazyRequest) -> String {
            let colour = request.headers()["x-colour"].len();
            format!("{} {} {colour}", request.method(), request.path_and_query())
        }
        assert_eq!(text(block_on(call(parts, request()))), "PUT /a/b?c=d 4");
    }

    #[test]
    fn each_argument_is_the_part_that_it_names() {
        let method = block_on(call(async |it: Method| it.to_string(), request()));
        assert_eq!(text(method), "PUT");
        let headers = block_on(call(async |it: HeaderMap| it.len().to_string(), request()));
        assert_eq!(text(headers), "1");
        let bytes = block_on(call(async |it: Bytes| it, request()));
        assert_eq!(text(bytes), "hello");
        let string = block_on(call(async |it: String| it, request()));
        assert_eq!(text(string), "hello");
        let body = block_on(call(async |it: Body| it, request()));
        assert_eq!(text(body), "hello");
    }

    #[test]
    fn a_body_that_is_no_text_is_a_400_for_a_handler_that_wants_text() {
        let request = Request::new(Body::from(vec![0xff]));
        let response = block_on(call(async |it: String| it, request));
        assert_eq!(response.status(), 400);
    }
}
