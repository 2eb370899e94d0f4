//! A request's head in the `http` crate's types. Hosts check what they pass on, but another host
//! may check less: what the `http` crate refuses is left out, never a panic.

use ::http::uri::{PathAndQuery, Uri};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use bytes::Bytes;

use crate::Request;
use crate::body::Body;

pub(super) fn other_method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).unwrap_or_default()
}

/// The headers, with `host` from the authority where the host keeps it apart.
pub(super) fn headers(
    entries: Vec<(String, Vec<u8>)>,
    authority: impl FnOnce() -> Option<String>,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(entries.len() + 1);
    for (name, value) in entries {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes())
            && let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value))
        {
            headers.append(name, value);
        }
    }
    if !headers.contains_key(header::HOST)
        && let Some(authority) = authority()
        && let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(authority))
    {
        headers.insert(header::HOST, value);
    }
    headers
}

pub(super) fn request(method: Method, path: String, headers: HeaderMap, body: Body) -> Request {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    if let Ok(path) = PathAndQuery::from_maybe_shared(Bytes::from(path)) {
        *request.uri_mut() = Uri::from(path);
    }
    request
}

/// The response's headers as the host takes them.
pub(super) fn entries(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// Says on stderr that the host refused a header.
pub(super) fn header_refused(name: &str) {
    eprintln!("the host refused the response header {name:?}: it is left out");
}
