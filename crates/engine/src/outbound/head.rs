//! From a guest's description of a request to one that can be sent. Pure.

use http::uri::{PathAndQuery, Scheme};
use http::{Method, Uri};

use super::{SendError, Timeouts};
use crate::request::{Incoming, Request, RequestBody};
use crate::resource::{Outgoing, RequestOptions};

impl From<RequestOptions> for Timeouts {
    fn from(options: RequestOptions) -> Self {
        let duration = |ns: Option<u64>| ns.map(std::time::Duration::from_nanos);
        Self {
            connect: duration(options.connect),
            first_byte: duration(options.first_byte),
            between_bytes: duration(options.between_bytes),
        }
    }
}

/// A request that a guest made.
pub(crate) fn made(head: Outgoing, body: RequestBody) -> Result<Request, SendError> {
    let Outgoing {
        method,
        scheme,
        authority,
        path_with_query,
        fields,
        options: _,
    } = head;
    let path = path_with_query.as_deref().unwrap_or("/");
    let path = path.parse().map_err(|_| SendError::UriInvalid)?;
    // As in other hosts: a guest that says no scheme means the secure one.
    let scheme = scheme.unwrap_or(Scheme::HTTPS);
    let uri = uri(scheme, authority.as_deref(), path)?;
    let mut request = Request::new(body);
    *request.method_mut() = sendable(method)?;
    *request.uri_mut() = uri;
    *request.headers_mut() = fields.into_map();
    Ok(request)
}

/// A request that came to a guest, which passes it on as it is.
pub(crate) fn forwarded(incoming: &mut Incoming, body: RequestBody) -> Result<Request, SendError> {
    let scheme = incoming.parts.uri.scheme().cloned();
    let path = incoming.parts.uri.path_and_query().cloned();
    let uri = uri(
        scheme.unwrap_or(Scheme::HTTP),
        incoming.authority().as_deref(),
        path.unwrap_or_else(|| PathAndQuery::from_static("/")),
    )?;
    let mut request = Request::new(body);
    *request.method_mut() = sendable(incoming.parts.method.clone())?;
    *request.headers_mut() = incoming.fields().into_map();
    *request.uri_mut() = uri;
    Ok(request)
}

fn uri(scheme: Scheme, authority: Option<&str>, path: PathAndQuery) -> Result<Uri, SendError> {
    Uri::builder()
        .scheme(scheme)
        .authority(
            authority
                .filter(|text| !text.is_empty())
                .ok_or(SendError::UriInvalid)?,
        )
        .path_and_query(path)
        .build()
        .map_err(|_| SendError::UriInvalid)
}

/// CONNECT asks for a tunnel, which nothing here could use.
fn sendable(method: Method) -> Result<Method, SendError> {
    if method == Method::CONNECT {
        return Err(SendError::MethodInvalid);
    }
    Ok(method)
}
