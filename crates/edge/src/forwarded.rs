//! Who a request is really from, when a proxy that is trusted passed it on. Pure.
//!
//! Owns the rules for `X-Forwarded-*` and `Forwarded` (RFC 7239). Knows neither connections nor what guests get.

use std::net::IpAddr;
use std::str::FromStr;

use http::uri::Authority;
use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

/// Elements of a list that are looked at, from its end: proxies in a row.
const HOPS_MAX: usize = 32;

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The addresses of proxies whose word counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// A text that is no list of networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network, as in 10.0.0.0/8 or 2001:db8::1")]
pub struct NotANetwork(String);

impl FromStr for TrustedProxies {
    type Err = NotANetwork;

    /// Addresses and networks with commas between them. The empty text is nobody.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let parts = text.split(',').map(str::trim);
        let networks = parts.filter(|part| !part.is_empty()).map(|part| {
            let network = part.parse::<IpNet>().ok();
            let network = network.or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| NotANetwork(part.to_owned()))
        });
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    /// Whether it is one of them. An IPv4 address in an IPv6 one's clothes is an IPv4 address.
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, network) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{network}")?;
        }
        Ok(())
    }
}

/// What trusted proxies say of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The client: the address nearest to us that is no trusted proxy's.
    pub client: IpAddr,
    /// Whether the client spoke TLS, if that was said.
    pub https: Option<bool>,
    /// The host that the client asked for, if that was said.
    pub host: Option<Authority>,
}

/// What the chain of proxies says that ends with `peer`, a trusted one.
///
/// Lists are read from their ends, which the nearest proxies wrote: the client is the first address that isn't
/// trusted, and what is left of it is the client's own tale. Where something stands that is no address, the proxy
/// before it is the client. A request with both `X-Forwarded-For` and `Forwarded` is believed what both say: a
/// proxy that writes one of them may have passed the other on from outside.
pub fn resolve(headers: &HeaderMap, peer: IpAddr, trusted: &TrustedProxies) -> Said {
    let old = headers.contains_key(&FOR).then(|| {
        let hops = list(headers, &FOR).map(|text| Hop {
            node: Some(text.to_owned()),
            ..Hop::default()
        });
        walk(hops.collect(), peer, trusted)
    });
    let new = headers
        .contains_key(header::FORWARDED)
        .then(|| walk(forwarded_hops(headers), peer, trusted));
    let agreed = match (&old, &new) {
        (Some(old), Some(new)) if old.client != new.client => None,
        (Some(walked), _) | (None, Some(walked)) => Some(walked),
        (None, None) => None,
    };
    let client = agreed.map_or(peer.to_canonical(), |walked| walked.client);
    let depth = agreed.map_or(0, |walked| walked.depth);
    let hop = new.and_then(|walked| walked.hop).unwrap_or_default();
    let proto = agree(at(headers, &PROTO, depth), hop.proto.as_deref());
    let host = agree(at(headers, &HOST, depth), hop.host.as_deref());
    Said {
        client,
        https: proto.and_then(|proto| match proto.to_ascii_lowercase().as_str() {
            "https" | "wss" => Some(true),
            "http" | "ws" => Some(false),
            _ => None,
        }),
        host: host.and_then(authority),
    }
}

/// A host with or without port, as `Host` may have it: no user's name, nothing else that a URI allows.
pub(crate) fn authority(text: &str) -> Option<Authority> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if text.is_empty() || !text.bytes().all(plain) {
        return None;
    }
    text.parse().ok()
}

/// What one proxy says.
#[derive(Debug, Default)]
struct Hop {
    node: Option<String>,
    proto: Option<String>,
    host: Option<String>,
}

struct Walked {
    client: IpAddr,
    /// How far from the end of the list the client stands.
    depth: usize,
    hop: Option<Hop>,
}

/// Goes from the end of the list to the first address that isn't trusted.
fn walk(hops: Vec<Hop>, peer: IpAddr, trusted: &TrustedProxies) -> Walked {
    let mut walked = Walked {
        client: peer.to_canonical(),
        depth: 0,
        hop: None,
    };
    for (depth, hop) in hops.into_iter().rev().take(HOPS_MAX).enumerate() {
        let address = hop.node.as_deref().and_then(node_address);
        let Some(address) = address else {
            // Its writer still says how it was asked.
            walked.hop.get_or_insert(hop);
            return walked;
        };
        walked = Walked {
            client: address,
            depth,
            hop: Some(hop),
        };
        if !trusted.has(address) {
            break;
        }
    }
    walked
}

/// The address of a node as `X-Forwarded-For` and RFC 7239 section 6 have it: with or without port, IPv6 in
/// brackets or without. `unknown` and hidden names are none.
fn node_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().ok().or_else(|| {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        bare.and_then(|text| text.parse().ok())
    });
    let address = address.or_else(|| {
        let with_port = text.parse::<std::net::SocketAddr>().ok();
        with_port.map(|address| address.ip())
    });
    address.map(|address| address.to_canonical())
}

/// The elements of all fields of that name, as if they were one. Those that aren't text are not there.
fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
}

/// The element that stands as far from the end as the client does; the first, where there are fewer.
fn at<'h>(headers: &'h HeaderMap, name: &HeaderName, depth: usize) -> Option<&'h str> {
    let elements: Vec<&str> = list(headers, name).collect();
    let last = elements.len().checked_sub(1)?;
    elements.get(last - depth.min(last)).copied()
}

fn agree<'t>(old: Option<&'t str>, new: Option<&'t str>) -> Option<&'t str> {
    match (old, new) {
        (Some(old), Some(new)) => old.eq_ignore_ascii_case(new).then_some(old),
        (one, other) => one.or(other),
    }
}

/// The elements of `Forwarded`. One that isn't well formed says nothing, and ends the walk as a hidden node does.
fn forwarded_hops(headers: &HeaderMap) -> Vec<Hop> {
    let mut hops = Vec::new();
    for value in headers.get_all(header::FORWARDED) {
        let Ok(value) = value.to_str() else {
            hops.push(Hop::default());
            continue;
        };
        for element in split_outside_quotes(value, ',') {
            hops.push(hop(element).unwrap_or_default());
        }
    }
    hops
}

/// `None` when a pair isn't one, or a name comes twice.
fn hop(element: &str) -> Option<Hop> {
    let mut hop = Hop::default();
    for pair in split_outside_quotes(element, ';') {
        if pair.trim().is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        let place = match name.trim().to_ascii_lowercase().as_str() {
            "for" => &mut hop.node,
            "proto" => &mut hop.proto,
            "host" => &mut hop.host,
            _ => continue,
        };
        if place.replace(unquoted(value.trim())?).is_some() {
            return None;
        }
    }
    Some(hop)
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The text of a token or a quoted string (RFC 9110, section 5.6.4).
fn unquoted(value: &str) -> Option<String> {
    let Some(inside) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let inside = inside.strip_suffix('"')?;
    let (mut text, mut chars) = (String::with_capacity(inside.len()), inside.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next()?),
            '"' => return None,
            c => text.push(c),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests;
