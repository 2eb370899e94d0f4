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

/// A header as hosts take it.
pub(super) type Entry<'a> = (&'a str, &'a [u8]);

/// The headers in the host's form: all at once or, when it refuses one of them, all but those that it
/// refuses one by one. `None` when it takes none at all.
pub(super) fn fields<F>(
    headers: &HeaderMap,
    from_list: impl Fn(&[Entry<'_>]) -> Option<F>,
) -> Option<F> {
    let mut entries: Vec<Entry<'_>> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    from_list(&entries).or_else(|| {
        entries.retain(|entry| {
            let taken = from_list(std::slice::from_ref(entry)).is_some();
            if !taken {
                eprintln!("the host refused the header {:?}: it is left out", entry.0);
            }
            taken
        });
        from_list(&entries)
    })
}
