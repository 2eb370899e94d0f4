//! `host[:port]`, as grants and requests have it. Strict, because guests write it, and because whoever
//! reads the text after this check must read the same host in it. Doesn't know schemes or `*`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::target::{TargetError, TargetHost};
use crate::route::Hostname;

/// Parts the host, still as it was written, from the port.
pub(super) fn split(text: &str) -> Result<(&str, Option<u16>), TargetError> {
    if text.contains('@') {
        return Err(TargetError::Userinfo);
    }
    let bracketed = text.starts_with('[');
    let host_end = if bracketed {
        text.find(']').ok_or(TargetError::Ipv6)? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(host_end);
    match rest.strip_prefix(':') {
        Some(more) if !bracketed && more.contains(':') => Err(TargetError::Brackets),
        Some(digits) => Ok((host, Some(port(digits)?))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(TargetError::Ipv6),
    }
}

fn port(digits: &str) -> Result<u16, TargetError> {
    // `parse` would take a sign, and a leading zero means octal to some.
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    let port = digits.parse().ok().filter(|_| plain);
    port.ok_or(TargetError::Port)
}

/// Reads a host without its port. An IPv4-mapped address stays what it is: whether it is let through as
/// IPv4 or refused is for the caller to say.
pub(super) fn host(text: &str) -> Result<TargetHost, TargetError> {
    if let Some(open) = text.strip_prefix('[') {
        let address = open.strip_suffix(']').ok_or(TargetError::Ipv6)?;
        if address.contains('%') {
            return Err(TargetError::Zone);
        }
        let address: Ipv6Addr = address.parse().map_err(|_| TargetError::Ipv6)?;
        return Ok(TargetHost::Address(address.into()));
    }
    let name = name(text)?;
    if let Ok(address) = name.as_str().parse::<Ipv4Addr>() {
        return Ok(TargetHost::Address(address.into()));
    }
    if ends_in_number(name.as_str()) {
        return Err(TargetError::Numeric);
    }
    Ok(TargetHost::Name(name))
}

fn name(text: &str) -> Result<Hostname, TargetError> {
    if text.is_empty() || text == "." {
        return Err(TargetError::NoHost);
    }
    if !text.is_ascii() {
        return Err(TargetError::NotAscii);
    }
    if text.contains('%') {
        return Err(TargetError::Encoded);
    }
    let of_names = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if !text.bytes().all(of_names) {
        return Err(TargetError::Character);
    }
    Hostname::read(text).map_err(|reason| TargetError::Name { reason })
}

/// Whether the last label is a number. `inet_aton`, and with it many resolvers, reads such a name as an
/// address: `2130706433`, `0x7f.1` and `0177.0.0.1` are all 127.0.0.1 there.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x");
    last.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}
