//! The head of a request or a response, between the host's form and the `http` crate's types. Hosts check
//! what they pass on, but another host may check less: what the `http` crate refuses is left out, never a
//! panic.

use ::http::uri::{PathAndQuery, Scheme, Uri};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use bytes::Bytes;

use super::abi::Entry;
use crate::Request;
use crate::body::Body;

/// The method of a case of `method`, the last of which carries a name.
pub(super) fn method(case: u8, name: Option<String>) -> Method {
    match case {
        0 => Method::GET,
        1 => Method::HEAD,
        2 => Method::POST,
        3 => Method::PUT,
        4 => Method::DELETE,
        5 => Method::CONNECT,
        6 => Method::OPTIONS,
        7 => Method::TRACE,
        8 => Method::PATCH,
        _ => Method::from_bytes(name.unwrap_or_default().as_bytes()).unwrap_or_default(),
    }
}

/// The case of a method, and the name that the last one carries.
pub(super) fn method_case(method: &Method) -> (u32, &str) {
    let case = match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::CONNECT => 5,
        Method::OPTIONS => 6,
        Method::TRACE => 7,
        Method::PATCH => 8,
        _ => return (9, method.as_str()),
    };
    (case, "")
}

/// The case of a scheme, and the name that the last one carries.
pub(super) fn scheme_case(scheme: &Scheme) -> (u32, &str) {
    match scheme.as_str() {
        "http" => (0, ""),
        "https" => (1, ""),
        other => (2, other),
    }
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

/// The headers in the host's form: all at once or, when it refuses one of them, all but those that it
/// refuses one by one. `None` when it takes none at all.
pub(super) fn fields<F>(
    headers: &HeaderMap,
    from_list: impl Fn(&[Entry<'_>]) -> Option<F>,
) -> Option<F> {
    let entries: Vec<Entry<'_>> = headers.iter().map(entry).collect();
    from_list(&entries).or_else(|| {
        let is_taken = |header: &(&HeaderName, &HeaderValue)| {
            let taken = from_list(&[entry(*header)]).is_some();
            if !taken {
                eprintln!(
                    "the host refused the header {:?}: it is left out",
                    header.0.as_str()
                );
            }
            taken
        };
        let entries: Vec<Entry<'_>> = headers.iter().filter(is_taken).map(entry).collect();
        from_list(&entries)
    })
}

fn entry<'a>((name, value): (&'a HeaderName, &'a HeaderValue)) -> Entry<'a> {
    Entry::new(name.as_str(), value.as_bytes())
}
