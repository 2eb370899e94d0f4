//! The host that a request names: said once, clearly, and not one of the node's own.

use everwarm_engine::request::Request;
use http::Version;
use http::header::{self, HeaderValue};
use http::uri::Authority;

use crate::respond::Failure;

/// Names below `internal` are the node's own: nobody outside has any.
const INTERNAL: Failure =
    Failure::BadRequest("names below `internal` are not served to the outside");

/// Checks what the request itself says.
pub(super) fn check(request: &Request) -> Result<(), Failure> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(Failure::BadRequest("the request has more than one `Host`"));
    }
    let authority = request.uri().authority().map(Authority::as_str);
    if host.is_none() && authority.is_none() && request.version() == Version::HTTP_11 {
        return Err(Failure::BadRequest("the request has no `Host`"));
    }
    let host = host.map(HeaderValue::as_bytes);
    for text in [host, authority.map(str::as_bytes)].into_iter().flatten() {
        if !is_host(text) {
            return Err(Failure::BadRequest(
                "the request's host is no host with or without a port",
            ));
        }
        if is_internal(text) {
            return Err(INTERNAL);
        }
    }
    if let (Some(host), Some(authority)) = (host, authority)
        && !host.eq_ignore_ascii_case(authority.as_bytes())
    {
        return Err(Failure::BadRequest(
            "the request's `Host` is another one than its target's",
        ));
    }
    Ok(())
}

/// A name or an address, and perhaps a port.
fn is_host(text: &[u8]) -> bool {
    let (host, port) = match text.iter().rposition(|byte| matches!(byte, b':' | b']')) {
        Some(at) if text[at] == b':' => (&text[..at], &text[at + 1..]),
        _ => (text, &[][..]),
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let is_address = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
    let host = match host {
        [b'[', address @ .., b']'] => !address.is_empty() && address.iter().all(is_address),
        name => !name.is_empty() && name.iter().all(is_name),
    };
    host && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

/// Checks the host that a trusted proxy says.
pub(super) fn check_named(host: &Authority) -> Result<(), Failure> {
    if is_internal(host.as_str().as_bytes()) {
        return Err(INTERNAL);
    }
    Ok(())
}

/// Whether a host, with or without a port, is `internal` or below it.
fn is_internal(text: &[u8]) -> bool {
    let host = text.split(|byte| *byte == b':').next().unwrap_or_default();
    let host = host.strip_suffix(b".").unwrap_or(host);
    let last = host.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    last.eq_ignore_ascii_case(b"internal")
}
