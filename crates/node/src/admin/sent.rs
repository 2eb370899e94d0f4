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

/// The two names in a path.
pub(super) struct Names(pub(super) String, pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let names = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((first, second)) =
            names.map_err(|error| Failed::bad_request(error.body_text()))?;
        Ok(Self(first, second))
    }
}

/// What a query asks for.
pub(super) struct Asking<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asking<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        // What reads it would put another character in the place of what isn't UTF-8, and so make another name of it.
        if !is_utf8(parts.uri.query().unwrap_or_default()) {
            return Err(Failed::bad_request("the query isn't UTF-8"));
        }
        let query = Query::<T>::from_request_parts(parts, state).await;
        let Query(asked) = query.map_err(|error| Failed::bad_request(error.body_text()))?;
        Ok(Self(asked))
    }
}

/// Whether a query is UTF-8 once it is decoded (RFC 3986, section 2.1).
fn is_utf8(query: &str) -> bool {
    let mut bytes = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let mut digits = [0];
        let escape = after.get(..2).filter(|_| first == b'%');
        if let Some(Ok(())) = escape.map(|escape| hex::decode_to_slice(escape, &mut digits)) {
            bytes.push(digits[0]);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// A message in JSON.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failed> {
        json(request, JSON_BYTES_MAX).await.map(Self)
    }
}

/// Reads a message in JSON of at most `bytes_max`.
pub(super) async fn json<T: DeserializeOwned>(
    request: Request,
    bytes_max: usize,
) -> Result<T, Failed> {
    if !is_json(request.headers()) {
        return Err(Failed::bad_request(
            "the body is JSON, and its `content-type` is `application/json`",
        ));
    }
    let bytes = whole(request.into_body(), bytes_max).await?;
    message(&bytes)
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
            } else {
                not_whole(&error)
            }
        })
}

/// Why a [`Paced`] body has no more, and isn't whole.
pub(super) fn not_whole(error: &axum::Error) -> Failed {
    if is_caused_by::<TooSlow>(error) {
        Failed::too_slow(TooSlow)
    } else {
        Failed::bad_request("the body ended before it was whole")
    }
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

/// The one value of a field, as text.
pub(super) fn text<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Failed> {
    let strange = || Failed::bad_request(format!("`{name}` is there once, in ASCII"));
    let value = one(headers, name).map_err(|_| strange())?;
    let text = value.map(|value| value.to_str().map(str::trim));
    text.transpose().map_err(|_| strange())
}

/// A field that is there more than once.
pub(super) struct MoreThanOne;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_field_is_the_one_that_is_there() {
        let mut headers = HeaderMap::new();
        let of = |headers: &HeaderMap| {
            let text = text(headers, &header::CONTENT_TYPE).ok();
            text.map(|text| text.map(str::to_owned))
        };
        assert_eq!(of(&headers), Some(None));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(" a/b "));
        assert_eq!(of(&headers), Some(Some("a/b".to_owned())));
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static("a/b"));
        assert_eq!(of(&headers), None);
        let latin = HeaderValue::from_bytes(b"\xe9").unwrap();
        headers.insert(header::CONTENT_TYPE, latin);
        assert_eq!(of(&headers), None);
    }

    #[test]
    fn query_is_utf8_once_it_is_decoded() {
        for good in [
            "",
            "key=a",
            "key=%C3%A9",
            "key=\u{e9}",
            "key=%",
            "key=%zz",
            "key=%F0%9F%A6%80&x",
        ] {
            assert!(is_utf8(good), "{good}");
        }
        for bad in [
            "key=%FF",
            "key=%C3",
            "key=%C3&x=%A9",
            "key=%ED%A0%80",
            "%c0%80",
        ] {
            assert!(!is_utf8(bad), "{bad}");
        }
    }
}
