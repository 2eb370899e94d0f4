//! The host of a route pattern and the host of a request, both in one normal form: lower case, no port,
//! no trailing dot. Grants have their names from here too.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::RouteError;

/// The longest host, in bytes (RFC 1035 section 2.3.4, as text without the last dot).
pub const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Which hosts a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// Every host, and requests without one.
    Any,
    /// Every host that ends with a dot and this name: `*.example.com`.
    Suffix(Hostname),
    /// This host only.
    Exact(Hostname),
}

/// A host's name in normal form. Cloning it copies no text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hostname(Arc<str>);

impl Hostname {
    /// Reads a literal host: labels of letters, digits, hyphens and underscores, with dots between them.
    ///
    /// # Errors
    /// [`RouteError::Host`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        Self::read(text).map_err(|reason| RouteError::Host { reason })
    }

    /// As [`Hostname::parse`], with nothing but the reason.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.contains(':') {
            return Err("a route has no port, and no IPv6 address");
        }
        if text.contains('*') {
            return Err("`*` is only allowed as the whole first label, as in `*.example.com`");
        }
        if text.contains('{') {
            return Err("parameters are only allowed in the path");
        }
        if !text.is_ascii() {
            return Err("write an international name in its ASCII form (`xn--...`)");
        }
        if text.len() > HOST_BYTES_MAX {
            return Err("a host has at most 253 characters");
        }
        for label in text.split('.') {
            if label.is_empty() {
                return Err("there is nothing between two dots");
            }
            if label.len() > LABEL_BYTES_MAX {
                return Err("a label has at most 63 characters");
            }
            if label
                .bytes()
                .any(|b| !(b.is_ascii_alphanumeric() || b == b'-' || b == b'_'))
            {
                return Err("labels have letters, digits, hyphens and underscores only");
            }
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// So that a map with hosts as keys can be asked with a request's text.
impl Borrow<str> for Hostname {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl HostPattern {
    pub(super) fn parse(text: &str) -> Result<Self, RouteError> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        if text == "*" {
            return Err(RouteError::Host {
                reason: "for every host leave the host out and start with `/`",
            });
        }
        match text.strip_prefix("*.") {
            Some(suffix) => Hostname::parse(suffix).map(Self::Suffix),
            None => Hostname::parse(text).map(Self::Exact),
        }
    }

    /// Whether a request for that host matches.
    pub fn matches(&self, host: Option<&RequestHost<'_>>) -> bool {
        match (self, host.map(RequestHost::as_str)) {
            (Self::Any, _) => true,
            (Self::Exact(name), Some(host)) => name.as_str() == host,
            (Self::Suffix(name), Some(host)) => host
                .strip_suffix(name.as_str())
                .and_then(|front| front.strip_suffix('.'))
                .is_some_and(|front| !front.is_empty()),
            (_, None) => false,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Any => 0,
            Self::Suffix(_) => 1,
            Self::Exact(_) => 2,
        }
    }

    pub(super) fn compare_specificity(&self, other: &Self) -> Ordering {
        match (self, other) {
            // Two suffixes of one host differ in length.
            (Self::Suffix(a), Self::Suffix(b)) => a
                .as_str()
                .len()
                .cmp(&b.as_str().len())
                .then_with(|| a.cmp(b)),
            (Self::Exact(a), Self::Exact(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Suffix(name) => write!(f, "*.{name}"),
            Self::Exact(name) => write!(f, "{name}"),
        }
    }
}

/// The host of a request in normal form. Making one allocates nothing.
#[derive(Debug, Clone)]
pub struct RequestHost<'a>(Text<'a>);

#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "on the stack for one look-up; a box would allocate"
)]
enum Text<'a> {
    AsSent(&'a str),
    LowerCase {
        bytes: [u8; HOST_BYTES_MAX],
        length: usize,
    },
}

impl<'a> RequestHost<'a> {
    /// Takes the value of `Host` or `:authority`, with or without port. `None` when no pattern could name
    /// it: it is empty, too long, or not ASCII.
    pub fn new(authority: &'a str) -> Option<Self> {
        let host = without_port(authority);
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.is_ascii() {
            return None;
        }
        if !host.bytes().any(|b| b.is_ascii_uppercase()) {
            return Some(Self(Text::AsSent(host)));
        }
        let mut bytes = [0; HOST_BYTES_MAX];
        let lower = bytes.get_mut(..host.len())?;
        lower.copy_from_slice(host.as_bytes());
        lower.make_ascii_lowercase();
        Some(Self(Text::LowerCase {
            bytes,
            length: host.len(),
        }))
    }

    /// The host as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::AsSent(host) => host,
            // ASCII by construction: the default is never taken.
            Text::LowerCase { bytes, length } => bytes
                .get(..*length)
                .and_then(|host| std::str::from_utf8(host).ok())
                .unwrap_or_default(),
        }
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rfind([':', ']']) {
        // In `[::1]` the last colon is part of the address, and a bracket ends the search for it.
        Some(at) if authority.as_bytes().get(at) == Some(&b':') => &authority[..at],
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(authority: &str) -> Option<String> {
        RequestHost::new(authority).map(|host| host.as_str().to_owned())
    }

    #[test]
    fn port_trailing_dot_and_case_of_a_request_do_not_matter() {
        for sent in [
            "example.com",
            "example.com:3000",
            "example.com.",
            "EXAMPLE.com.:80",
            "Example.Com:",
        ] {
            assert_eq!(normal(sent).as_deref(), Some("example.com"), "{sent}");
        }
        assert_eq!(normal("[::1]:3000").as_deref(), Some("[::1]"));
        assert_eq!(normal("[::1]").as_deref(), Some("[::1]"));
    }

    #[test]
    fn a_host_that_no_pattern_can_name_is_none() {
        for sent in ["", ":80", ".", "café", &"a".repeat(254)] {
            assert_eq!(normal(sent), None, "{sent}");
        }
        assert_eq!(normal(&"A".repeat(253)), Some("a".repeat(253)));
    }

    #[test]
    fn a_suffix_stands_for_one_or_more_labels() {
        let suffix = HostPattern::parse("*.example.com").unwrap();
        let matches = |host: &str| suffix.matches(RequestHost::new(host).as_ref());
        assert!(matches("a.example.com"));
        assert!(matches("a.b.example.com:1"));
        assert!(!matches("example.com"));
        assert!(!matches(".example.com"));
        assert!(!matches("badexample.com"));
        assert!(!suffix.matches(None));
        assert!(HostPattern::Any.matches(None));
    }

    #[test]
    fn hosts_that_cannot_be_are_refused() {
        for text in [
            "*",
            "*.",
            "a..b",
            ".a",
            "a:80",
            "[::1]",
            "a*.b",
            "*.*.b",
            "{x}.b",
            "a b",
            "café.fr",
            "a/b",
            &"a.".repeat(127),
            &"a".repeat(64),
        ] {
            let text = if *text == "a.".repeat(127) {
                &format!("{text}a")
            } else {
                text
            };
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
