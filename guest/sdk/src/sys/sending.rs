//! What both versions share of a request of the guest's own: its head, its time-outs, and the response's
//! head. It doesn't know how the host is called.

use std::time::Duration;

use ::http::{Method, StatusCode, Uri};
use bytes::Bytes;
use http_body::Body as HttpBody;

use super::head;
use crate::Response;
use crate::body::{Body, BodyError};
use crate::client::{SendErrorKind, SendOptions};

/// The host's request, whose head is still to be set. Each says whether the host takes the part.
pub(super) trait Head {
    /// Sets the method by its case, with the name that the last case carries.
    fn set_method(&self, method: (u32, &str)) -> bool;
    /// Sets the scheme by its case, with the name that the last case carries.
    fn set_scheme(&self, scheme: (u32, &str)) -> bool;
    fn set_authority(&self, text: &str) -> bool;
    fn set_path_with_query(&self, text: &str) -> bool;
}

/// Sets all of the head but the headers.
pub(super) fn set_head(
    outgoing: &impl Head,
    method: &Method,
    uri: &Uri,
) -> Result<(), SendErrorKind> {
    if *method != Method::GET && !outgoing.set_method(head::method_case(method)) {
        return Err(SendErrorKind::HttpRequestMethodInvalid);
    }
    let (scheme, authority) = (uri.scheme(), uri.authority());
    let is_set = scheme.is_none_or(|scheme| outgoing.set_scheme(head::scheme_case(scheme)))
        && authority.is_none_or(|authority| outgoing.set_authority(authority.as_str()))
        && uri
            .path_and_query()
            .is_none_or(|path| outgoing.set_path_with_query(path.as_str()));
    if is_set {
        Ok(())
    } else {
        Err(SendErrorKind::HttpRequestUriInvalid)
    }
}

/// The host's options, in nanoseconds. Each says whether the host has such a time-out.
pub(super) trait Options: Sized {
    fn new() -> Self;
    fn set_connect(&self, nanoseconds: u64) -> bool;
    fn set_first_byte(&self, nanoseconds: u64) -> bool;
    fn set_between_bytes(&self, nanoseconds: u64) -> bool;
    /// Gives the handle away.
    fn into_handle(self) -> u32;
}

/// The time-outs of a send.
pub(crate) struct Timeouts {
    options: SendOptions,
    /// A send without time-outs has no `Timeouts`, and links nothing that makes the host's.
    make: fn(SendOptions) -> Option<u32>,
}

impl Timeouts {
    /// `None` when there are none.
    pub(super) fn new<O: Options>(options: SendOptions) -> Option<Self> {
        let make = make::<O>;
        (options != SendOptions::new()).then_some(Self { options, make })
    }

    /// The host's options, which are the caller's to give away.
    pub(super) fn make(self) -> Result<u32, SendErrorKind> {
        (self.make)(self.options).ok_or(SendErrorKind::TimeoutNotSupported)
    }
}

/// `None` when the host lacks one of them.
fn make<O: Options>(options: SendOptions) -> Option<u32> {
    let made = O::new();
    let is_set = |time: Option<Duration>, set: fn(&O, u64) -> bool| {
        time.is_none_or(|time| set(&made, nanoseconds(time)))
    };
    let are_set = is_set(options.connect, O::set_connect)
        && is_set(options.first_byte, O::set_first_byte)
        && is_set(options.between_bytes, O::set_between_bytes);
    are_set.then(|| made.into_handle())
}

/// A duration as hosts take it.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The response that the host gave.
pub(super) fn response(
    status: u32,
    headers: Vec<(String, Vec<u8>)>,
    body: impl HttpBody<Data = Bytes, Error = BodyError> + 'static,
) -> Result<Response, SendErrorKind> {
    let status = u16::try_from(status).ok();
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let mut response = Response::new(Body::received(body));
    *response.status_mut() = status.ok_or(SendErrorKind::HttpProtocolError)?;
    *response.headers_mut() = head::headers(headers, || None);
    Ok(response)
}
