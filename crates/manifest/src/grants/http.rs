//! One grant for HTTP requests: its text and which targets it allows. Doesn't look names up, so it can't
//! say what a name may resolve to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::address::{self, Kind};
use super::authority;
use super::target::{HttpScheme, HttpTarget, TargetError, TargetHost, is_internal, show_port};
use crate::route::Hostname;

/// Where a function may send requests: `scheme://host[:port]`.
///
/// Two grants are equal when they allow the same targets. A grant is shown in normal form, without the
/// scheme's own port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpGrant {
    scheme: HttpScheme,
    host: GrantHost,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum GrantHost {
    /// `*`.
    Any,
    /// `*.example.com`.
    Under(Hostname),
    /// This host only. An address is never an IPv4 one in IPv6 form.
    Exact(TargetHost),
}

impl HttpGrant {
    /// Reads `scheme://host[:port]`.
    ///
    /// # Errors
    /// [`GrantError`] says what is wrong, and proposes another text where it can.
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            let suggestion = format!("https://{text}");
            return Err(GrantError::NoScheme { suggestion });
        };
        let Some(scheme) = HttpScheme::ALL.into_iter().find(|s| s.as_str() == scheme) else {
            let lower = scheme.to_ascii_lowercase();
            let known = HttpScheme::ALL.into_iter().find(|s| s.as_str() == lower);
            let suggestion = known.map(|scheme| format!("{scheme}://{rest}"));
            return Err(GrantError::Scheme { suggestion });
        };
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        if authority.contains('@') {
            return Err(GrantError::Userinfo);
        }
        if !path.is_empty() {
            let suggestion = (path == "/").then(|| format!("{scheme}://{authority}"));
            return Err(GrantError::Path { suggestion });
        }
        let bad_host = |reason| GrantError::Host {
            reason,
            suggestion: in_brackets(scheme, authority),
        };
        let (host, port) = authority::split(authority).map_err(bad_host)?;
        Ok(Self {
            scheme,
            host: GrantHost::parse(host, text)?,
            port: port.unwrap_or(scheme.default_port()),
        })
    }

    /// Whether a function with this grant may send requests there.
    ///
    /// A target with a name says nothing yet about the address that the name resolves to. A target with an
    /// address may be connected to as it is: `*` allows [public](Kind::Public) addresses only.
    pub fn allows(&self, target: &HttpTarget) -> bool {
        self.scheme == target.scheme && self.port == target.port && self.host.matches(target)
    }
}

impl GrantHost {
    /// `text` is the whole grant that `host` is from.
    fn parse(host: &str, text: &str) -> Result<Self, GrantError> {
        if host == "*" {
            return Ok(Self::Any);
        }
        let (under, written) = match host.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, host),
        };
        if written.contains('*') {
            return Err(GrantError::Wildcard);
        }
        let suggestion = None;
        let host =
            authority::host(written).map_err(|reason| GrantError::Host { reason, suggestion })?;
        match host {
            TargetHost::Name(name) if is_internal(&name) => Err(GrantError::Internal),
            TargetHost::Name(name) if under => Ok(Self::Under(name)),
            TargetHost::Address(_) if under => Err(GrantError::Wildcard),
            TargetHost::Address(address) if address.to_canonical() != address => {
                let suggestion = text.replacen(written, &address.to_canonical().to_string(), 1);
                Err(GrantError::Mapped { suggestion })
            }
            host => Ok(Self::Exact(host)),
        }
    }

    fn matches(&self, target: &HttpTarget) -> bool {
        match (self, &target.host) {
            (Self::Any, TargetHost::Name(_)) => !target.is_internal(),
            (Self::Any, TargetHost::Address(address)) => address::kind(*address) == Kind::Public,
            (Self::Under(name), TargetHost::Name(host)) => host
                .as_str()
                .strip_suffix(name.as_str())
                .and_then(|front| front.strip_suffix('.'))
                .is_some_and(|front| !front.is_empty()),
            (Self::Under(_), TargetHost::Address(_)) => false,
            (Self::Exact(granted), host) => granted == host,
        }
    }
}

/// The grant for an IPv6 address that was written without brackets.
fn in_brackets(scheme: HttpScheme, authority: &str) -> Option<String> {
    let address: Ipv6Addr = authority.parse().ok()?;
    let host = TargetHost::Address(IpAddr::V6(address).to_canonical());
    Some(format!("{scheme}://{host}"))
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match &self.host {
            GrantHost::Any => f.write_str("*"),
            GrantHost::Under(name) => write!(f, "*.{name}"),
            GrantHost::Exact(host) => write!(f, "{host}"),
        }?;
        show_port(self.scheme, self.port, f)
    }
}

impl FromStr for HttpGrant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for HttpGrant {
    type Error = GrantError;

    fn try_from(text: String) -> Result<Self, GrantError> {
        Self::parse(&text)
    }
}

impl From<HttpGrant> for String {
    fn from(grant: HttpGrant) -> String {
        grant.to_string()
    }
}

/// Why a text is no grant for HTTP requests. A suggestion is what the user may have meant; it can be wrong
/// in another place still.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// There is no `://`.
    #[error("a grant is `scheme://host[:port]`, and this one has no scheme")]
    NoScheme {
        /// With a scheme.
        suggestion: String,
    },
    /// It has another scheme.
    #[error("the scheme must be `http` or `https`")]
    Scheme {
        /// With the scheme in lower case, if only that was wrong.
        suggestion: Option<String>,
    },
    /// It has a user name or password.
    #[error("a grant has no user name and no password")]
    Userinfo,
    /// It goes on behind the port.
    #[error("a grant has no path, query or fragment: it ends with the host or the port")]
    Path {
        /// Without what is too much, if that means the same.
        suggestion: Option<String>,
    },
    /// A `*` stands where it has no meaning.
    #[error("`*` stands alone or before a name, as in `*.example.com`")]
    Wildcard,
    /// The name is one of those that never leave the node.
    #[error("names in `internal` can't be granted")]
    Internal,
    /// An IPv4 address in its IPv6 form.
    #[error("this is an IPv4 address in IPv6 form: write it as IPv4")]
    Mapped {
        /// With the IPv4 address.
        suggestion: String,
    },
    /// The host or the port is wrong.
    #[error("{reason}")]
    Host {
        /// What is wrong with it.
        reason: TargetError,
        /// With the host as it must be written, if it is an address.
        suggestion: Option<String>,
    },
}

impl GrantError {
    /// What the user may have meant.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::NoScheme { suggestion } | Self::Mapped { suggestion } => Some(suggestion),
            Self::Scheme { suggestion }
            | Self::Path { suggestion }
            | Self::Host { suggestion, .. } => suggestion.as_deref(),
            Self::Userinfo | Self::Wildcard | Self::Internal => None,
        }
    }
}
