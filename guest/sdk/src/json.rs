//! JSON in and out.

use ::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Body, Error, FromRequest, IntoResponse, LazyRequest, Response};

/// JSON: as a handler's argument it reads the request's body, as its result it makes a response.
///
/// ```
/// use everwarm_sdk::Json;
///
/// #[everwarm_sdk::http]
/// async fn sum(Json(numbers): Json<Vec<i64>>) -> Json<i64> {
///     Json(numbers.iter().sum())
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => {
                let mut response = Response::new(Body::from(bytes));
                response.headers_mut().insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                );
                response
            }
            Err(error) => Error::internal(error).into_response(),
        }
    }
}

impl<T: DeserializeOwned> FromRequest for Json<T> {
    /// 415 when the request says that its body is something else, 400 when it is no JSON of a `T`.
    async fn from_request(request: LazyRequest) -> Result<Self, Error> {
        let request = request.into_request();
        let declared = request.headers().get(header::CONTENT_TYPE);
        if declared.is_some_and(|value| !is_json(value)) {
            return Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .with_detail("the body must be application/json"));
        }
        let bytes = request.into_body().bytes().await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Error::bad_request(format!("the body is not the JSON asked for: {error}"))
        })
    }
}

fn is_json(content_type: &HeaderValue) -> bool {
    let Ok(text) = content_type.to_str() else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence
            .rsplit_once('+')
            .is_some_and(|(_, suffix)| suffix.eq_ignore_ascii_case("json"))
}

#[cfg(test)]
mod tests {
    use crate::testing::{block_on, call};
    use crate::{Json, Request};

    async fn double(Json(number): Json<u32>) -> Json<u32> {
        Json(number * 2)
    }

    fn status_of(content_type: &str, body: &'static str) -> u16 {
        let request = Request::builder()
            .header("content-type", content_type)
            .body(body.into())
            .expect("a valid request");
        block_on(call(double, request)).status().as_u16()
    }

    #[test]
    fn json_comes_in_and_goes_out() {
        let response = block_on(call(double, Request::new("21".into())));
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(block_on(response.into_body().text()).expect("text"), "42");
    }

    #[test]
    fn a_body_that_is_not_json_is_refused() {
        assert_eq!(status_of("application/json; charset=utf-8", "1"), 200);
        assert_eq!(status_of("application/vnd.api+json", "1"), 200);
        assert_eq!(status_of("text/plain", "1"), 415);
        assert_eq!(status_of("application/json", "one"), 400);
    }
}
