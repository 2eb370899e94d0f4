//! What was sent with a request: its path, its query, its body; or why it can't be read, in the API's own form.

use std::error::Error;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Body as _;
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use super::failure::Failed;
use super::pace::{Paced, TooSlow};

/// Bytes of an operation's JSON. A manifest has at most a quarter of it.
pub(super) const JSON_BYTES_MAX: usize = 1 << 20;

/// The name in a path.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = name.map_err(|error| Failed::bad_request(error.body_text()))?;
        Ok(Self(name))
    }
}

/// Two names in a path.
pub(super) struct Names(pub(super) [String; 2]);

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let names = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((first, second)) =
            names.map_err(|error| Failed::bad_request(error.body_text()))?;
        Ok(Self([first, second]))
    }
}

/// What a query asks for.
pub(super) struct Asking<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asking<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let Query(asked) = query.map_err(|error| Failed::bad_request(error.body_text()))?;
        Ok(Self(asked))
    }
}

/// A message in JSON.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failed> {
        if !is_json(request.headers()) {
            return Err(Failed::bad_request(
                "the body is JSON, and its `content-type` is `application/json`",
            ));
        }
        let bytes = whole(request.into_body(), JSON_BYTES_MAX).await?;
        message(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    media_type.is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads a message from JSON.
pub(super) fn message<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failed::bad_request(format!("the body can't be read: {error}")))
}

/// Reads a body whole, if it has at most `bytes_max` and comes in time.
pub(super) async fn whole(body: Body, bytes_max: usize) -> Result<Bytes, Failed> {
    // What says that it is too large isn't read at all.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Failed::too_large(bytes_max));
    }
    let body = Body::new(Paced::new(body));
    axum::body::to_bytes(body, bytes_max)
        .await
        .map_err(|error| {
            if is_caused_by::<LengthLimitError>(&error) {
                Failed::too_large(bytes_max)
            } else if is_caused_by::<TooSlow>(&error) {
                Failed::too_slow(TooSlow)
            } else {
                Failed::bad_request("the body ended before it was whole")
            }
        })
}

fn is_caused_by<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The one value of a field. Of two nobody knows which is meant.
pub(super) fn one<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, MoreThanOne> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    values.next().map_or(Ok(value), |_| Err(MoreThanOne))
}

/// A field that is there more than once.
pub(super) struct MoreThanOne;
