//! Where a request of a guest goes, in the one form that grants are compared with. Doesn't know what is
//! granted.

use std::fmt;
use std::net::IpAddr;

use super::authority;
use crate::route::Hostname;

/// The schemes that HTTP requests have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HttpScheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl HttpScheme {
    /// All schemes.
    pub const ALL: [Self; 2] = [Self::Http, Self::Https];

    /// The scheme as URIs have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of URIs that name none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for HttpScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The host of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetHost {
    /// A name, to be looked up. No resolver reads it as an address.
    Name(Hostname),
    /// An address. In a parsed target an IPv4 address is never in its IPv6 form.
    Address(IpAddr),
}

impl fmt::Display for TargetHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name}"),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Where a request goes: scheme, host and port in normal form.
///
/// It is shown as the grant that would allow exactly it: `https://api.example.com`, with the port where it
/// isn't the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpTarget {
    /// The scheme.
    pub scheme: HttpScheme,
    /// The host.
    pub host: TargetHost,
    /// The port, never zero in a parsed target.
    pub port: u16,
}

impl HttpTarget {
    /// Reads what a guest gave: its request's scheme and authority, `host[:port]`.
    ///
    /// Case and one trailing dot of a name make no difference, and an IPv4 address in IPv6 form
    /// (`[::ffff:10.0.0.7]`) is an IPv4 address. All else that could be read in two ways is refused.
    ///
    /// # Errors
    /// [`TargetError`] says what is wrong.
    pub fn parse(scheme: HttpScheme, authority: &str) -> Result<Self, TargetError> {
        let (host, port) = authority::split(authority)?;
        let host = match authority::host(host)? {
            TargetHost::Address(address) => TargetHost::Address(address.to_canonical()),
            name @ TargetHost::Name(_) => name,
        };
        Ok(Self {
            scheme,
            host,
            port: port.unwrap_or(scheme.default_port()),
        })
    }

    /// Host and port as a URI has them, the port where it isn't the scheme's own.
    pub fn authority(&self) -> String {
        let Self { scheme, host, port } = self;
        if *port == scheme.default_port() {
            return host.to_string();
        }
        format!("{host}:{port}")
    }

    /// Whether the host is `internal` or a name under it. Such names are never looked up outside the node,
    /// and no grant allows them.
    pub fn is_internal(&self) -> bool {
        matches!(&self.host, TargetHost::Name(name) if is_internal(name))
    }
}

impl fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        write!(f, "{scheme}://{host}")?;
        show_port(*scheme, *port, f)
    }
}

/// `:port`, unless it is the scheme's own.
pub(super) fn show_port(scheme: HttpScheme, port: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if port == scheme.default_port() {
        return Ok(());
    }
    write!(f, ":{port}")
}

pub(super) fn is_internal(name: &Hostname) -> bool {
    let front = name.as_str().strip_suffix("internal");
    front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// Why a text is no `host[:port]`. The message doesn't repeat the text: guests wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There is an `@`.
    #[error("a user name or password (`@`) can't stand before the host")]
    Userinfo,
    /// There is no host.
    #[error("the host is empty")]
    NoHost,
    /// The host isn't ASCII.
    #[error("write an international name in its ASCII form (`xn--...`)")]
    NotAscii,
    /// The host has a `%`.
    #[error("a host has no percent-encoding")]
    Encoded,
    /// The host has some other character that no name has.
    #[error("a host has letters, digits, hyphens, underscores and dots only")]
    Character,
    /// The host's labels are wrong.
    #[error("bad host: {reason}")]
    Name {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The host ends in a number but isn't four decimal ones.
    #[error(
        "some resolvers read this host as an address: write the address as four decimal numbers, as in 192.0.2.1"
    )]
    Numeric,
    /// There is more than one `:`, and no brackets.
    #[error(
        "there is more than one `:`; an IPv6 address stands in brackets, as in `[2001:db8::1]`"
    )]
    Brackets,
    /// There are brackets, but not around an IPv6 address and nothing else.
    #[error("what begins with `[` must be an IPv6 address and a `]`, then at most a port")]
    Ipv6,
    /// The IPv6 address has a zone, as in `fe80::1%eth0`.
    #[error("an IPv6 address can't have a zone (`%`) here")]
    Zone,
    /// The port is no number that a port can be.
    #[error("a port is a number from 1 to 65535, with no sign and no zero before it")]
    Port,
}
