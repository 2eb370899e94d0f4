//! What a handler may return.

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use http_body::Body as HttpBody;

use crate::{Body, Error, Response};

/// What can be answered with.
pub trait IntoResponse {
    /// The response for this value.
    fn into_response(self) -> Response;
}

impl<B> IntoResponse for ::http::Response<B>
where
    B: IntoBody,
{
    fn into_response(self) -> Response {
        self.map(IntoBody::into_body)
    }
}

/// Bodies that a `Response` may carry. Sealed: it grows with `Body`'s own conversions.
pub trait IntoBody: sealed::Sealed {
    #[doc(hidden)]
    fn into_body(self) -> Body;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! into_body {
    ($($body:ty),*) => {$(
        impl sealed::Sealed for $body {}
        impl IntoBody for $body {
            fn into_body(self) -> Body {
                self.into()
            }
        }
    )*};
}

into_body!(
    Body,
    (),
    Bytes,
    Vec<u8>,
    String,
    &'static str,
    &'static [u8]
);

fn typed(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        typed(TEXT, self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        typed(TEXT, self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        typed(BYTES, self)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        typed(BYTES, self)
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(Body::empty())
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        *response.status_mut() = self.0;
        response
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, HeaderMap, T) {
    /// The headers given replace those that the value brings.
    fn into_response(self) -> Response {
        let mut response = (self.0, self.2).into_response();
        response.headers_mut().extend(self.1);
        response
    }
}

impl<T: IntoResponse, E: Into<Error>> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into().into_response(),
        }
    }
}

/// Says how long the body is, where that is known and nothing else was said.
pub(crate) fn declare_length(response: &mut Response) {
    let status = response.status();
    // The length that a 304 has is that of the body which it leaves out.
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    if status.is_informational() || bodiless {
        return;
    }
    if let Some(length) = response.body().size_hint().exact()
        && !response.headers().contains_key(header::CONTENT_LENGTH)
        && !response.headers().contains_key(header::TRANSFER_ENCODING)
    {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, HeaderValue, StatusCode};

    use super::{IntoResponse, declare_length};
    use crate::testing::block_on;
    use crate::{Body, Error, Response};

    #[test]
    fn text_says_that_it_is_text() {
        let response = "hello".into_response();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()["content-type"],
            "text/plain; charset=utf-8"
        );
        assert_eq!(
            block_on(response.into_body().text()).expect("text"),
            "hello"
        );
    }

    #[test]
    fn headers_given_replace_those_that_the_value_brings() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/html"));
        let response = (StatusCode::CREATED, headers, "<p>").into_response();
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["content-type"], "text/html");
    }

    #[test]
    fn both_sides_of_a_result_answer() {
        let good: Result<&str, Error> = Ok("fine");
        let bad: Result<&str, std::num::ParseIntError> = "x".parse::<u32>().map(|_| "");
        assert_eq!(good.into_response().status(), 200);
        assert_eq!(bad.into_response().status(), 500);
    }

    #[test]
    fn the_length_is_declared_only_where_it_is_known_and_unsaid() {
        let length_of = |mut response: Response| {
            declare_length(&mut response);
            response.headers().get("content-length").cloned()
        };
        assert_eq!(
            length_of(Response::new("hello".into())),
            Some(HeaderValue::from(5))
        );
        assert_eq!(length_of(Response::new(Body::channel().1)), None);
        assert_eq!(length_of(StatusCode::NO_CONTENT.into_response()), None);
        assert_eq!(length_of(StatusCode::NOT_MODIFIED.into_response()), None);
        let said = ::http::Response::builder()
            .header("content-length", 9)
            .body("hello");
        assert_eq!(
            length_of(said.expect("a valid response").into_response()),
            Some(HeaderValue::from(9))
        );
    }
}
