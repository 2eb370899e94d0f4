//! Route patterns: which requests a function answers. Owns their text form, the order of specificity,
//! what a conflict is, and the plain matching that the router's table must agree with. Doesn't know
//! functions, apps or tables.
//!
//! A pattern is `[host]/path`. The rules, which `docs/manifest.md` tells users:
//!
//! - Host: none (any host), a literal, or `*.suffix`, which stands for one or more labels. Case doesn't
//!   matter; a port and one trailing dot of the request's host are ignored.
//! - Path: segments that are literal, or `{param}` (exactly one non-empty segment); a last segment `*` stands
//!   for the rest, however much that is: `/api/*` matches `/api`, `/api/` and all below.
//! - Case matters in paths, and `/a` isn't `/a/`. Percent-encoding doesn't matter where RFC 3986 section
//!   6.2.2 says that two spellings are the same; `%2F` is never a separator.
//! - A request path with a segment `.` or `..` (plain or encoded), or with a NUL, matches nothing.

mod host;
mod path;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use host::{HOST_BYTES_MAX, HostPattern, Hostname, RequestHost};
pub use path::{PathPattern, RequestPath, SEGMENTS_MAX, Segment};

/// The longest text of a pattern, in bytes, as written and in normal form.
pub const PATTERN_BYTES_MAX: usize = 1_024;

/// Which requests a function answers: a host and a path.
///
/// Two patterns are equal when their texts are, names of parameters included. Whether they match the same
/// requests is another question: [`RoutePattern::conflicts_with`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoutePattern {
    /// Which hosts.
    pub host: HostPattern,
    /// Which paths.
    pub path: PathPattern,
}

impl RoutePattern {
    /// Reads `[host]/path`.
    ///
    /// # Errors
    /// [`RouteError`] says which part is wrong, and proposes a right pattern where it can.
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(RouteError::TooLong { length: text.len() });
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Err(RouteError::Scheme {
                scheme: scheme.into(),
                suggestion: rest.into(),
            });
        }
        let Some(slash) = text.find('/') else {
            let looks_like_host = text.contains('.');
            let suggestion = if looks_like_host {
                format!("{text}/*")
            } else {
                format!("/{text}")
            };
            return Err(RouteError::NoSlash { suggestion });
        };
        let (host, path) = text.split_at(slash);
        let pattern = Self {
            host: HostPattern::parse(host)?,
            path: PathPattern::parse(path)?,
        };
        // Percent-encoding makes text longer, and the pattern must be readable from its own text.
        let length = pattern.to_string().len();
        if length > PATTERN_BYTES_MAX {
            return Err(RouteError::TooLong { length });
        }
        Ok(pattern)
    }

    /// `/*`: every request.
    pub fn everything() -> Self {
        Self {
            host: HostPattern::Any,
            path: PathPattern::everything(),
        }
    }

    /// The same path on another host.
    #[must_use]
    pub fn on_host(&self, host: HostPattern) -> Self {
        Self {
            host,
            path: self.path.clone(),
        }
    }

    /// Whether a request for `path` on `host` matches. `host` and `path` are as the request has them;
    /// `path` is without the query.
    pub fn matches(&self, host: Option<&str>, path: &str) -> bool {
        let host = host.and_then(RequestHost::new);
        let Some(path) = RequestPath::new(path) else {
            return false;
        };
        self.host.matches(host.as_ref()) && self.path.matches(&path)
    }

    /// Whether both match the same set of requests: then neither is more specific, and an app or a node
    /// can have only one of them.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.compare_specificity(other) == Ordering::Equal
    }

    /// The order in which patterns win: `Greater` when `self` is more specific. Of all patterns that match
    /// a request the greatest answers it.
    ///
    /// A literal host beats `*.suffix`, a longer suffix beats a shorter one, and any of them beats no host.
    /// On equal hosts the paths are compared segment by segment from the left: the end of the path and
    /// literals beat `{param}`, which beats `*`. What is left (patterns that no request matches both of) is
    /// ordered by text, so that the order is total. `Equal` means a conflict.
    pub fn compare_specificity(&self, other: &Self) -> Ordering {
        self.host
            .compare_specificity(&other.host)
            .then_with(|| self.path.compare_specificity(&other.path))
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

impl FromStr for RoutePattern {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for RoutePattern {
    type Error = RouteError;

    fn try_from(text: String) -> Result<Self, RouteError> {
        Self::parse(&text)
    }
}

impl From<RoutePattern> for String {
    fn from(pattern: RoutePattern) -> String {
        pattern.to_string()
    }
}

/// Why a text is no route pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// More than [`PATTERN_BYTES_MAX`] bytes.
    #[error("a route has at most {PATTERN_BYTES_MAX} bytes, this one has {length}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It starts with `https://` or the like.
    #[error("a route has no scheme: it is `[host]/path`")]
    Scheme {
        /// What stands before `://`.
        scheme: String,
        /// The rest.
        suggestion: String,
    },
    /// It has no path.
    #[error("a route is `[host]/path`, and this one has no `/`")]
    NoSlash {
        /// With a slash.
        suggestion: String,
    },
    /// The host is wrong.
    #[error("bad host: {reason}")]
    Host {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More than [`SEGMENTS_MAX`] segments.
    #[error("a route has at most {SEGMENTS_MAX} segments, this one has {count}")]
    TooManySegments {
        /// How many it has.
        count: usize,
    },
    /// A segment is wrong.
    #[error("bad segment `{segment}`: {reason}")]
    Segment {
        /// The segment as it was written.
        segment: String,
        /// What is wrong with it.
        reason: &'static str,
        /// A segment that is right, if one is near.
        suggestion: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> RoutePattern {
        RoutePattern::parse(text).unwrap()
    }

    #[test]
    fn patterns_are_shown_as_they_are_read() {
        for text in [
            "/",
            "/*",
            "/a",
            "/a/",
            "/a/{id}/b/*",
            "/v1.2/~x/a:b@c;d=e",
            "example.com/",
            "*.example.com/a/*",
            "127.0.0.1/x",
            "xn--caf-dma.example/",
        ] {
            assert_eq!(pattern(text).to_string(), text);
        }
    }

    #[test]
    fn spellings_that_mean_the_same_become_one() {
        for (written, canonical) in [
            ("Example.COM./a", "example.com/a"),
            ("/%61", "/a"),
            ("/%7euser", "/~user"),
            ("/a%2fb", "/a%2Fb"),
            ("/café", "/caf%C3%A9"),
            ("/a b", "/a%20b"),
        ] {
            assert_eq!(pattern(written).to_string(), canonical);
        }
    }

    #[test]
    fn a_longer_path_is_not_more_specific_than_an_earlier_literal() {
        let mut patterns = [
            "/*",
            "/{a}",
            "/a/*",
            "/a",
            "/{a}/b/c",
            "/a/{b}/c",
            "/a/b/*",
            "*.com/*",
            "*.example.com/*",
            "example.com/*",
            "example.com/a",
        ]
        .map(pattern);
        patterns.sort_by(|a, b| b.compare_specificity(a));
        assert_eq!(
            patterns.map(|p| p.to_string()),
            [
                "example.com/a",
                "example.com/*",
                "*.example.com/*",
                "*.com/*",
                "/a",
                "/a/b/*",
                "/a/{b}/c",
                "/a/*",
                "/{a}",
                "/{a}/b/c",
                "/*",
            ]
        );
    }

    #[test]
    fn parameters_with_other_names_conflict() {
        assert!(pattern("/u/{id}").conflicts_with(&pattern("/u/{user}")));
        assert!(pattern("/%61").conflicts_with(&pattern("/a")));
        assert!(pattern("A.example/").conflicts_with(&pattern("a.example/")));
        for other in [
            "/u/*",
            "/u/{id}/",
            "/u/{id}/*",
            "/u/id",
            "/U/{id}",
            "a.example/u/{id}",
            "*.a.example/u/{id}",
        ] {
            assert!(
                !pattern("/u/{id}").conflicts_with(&pattern(other)),
                "{other}"
            );
        }
    }

    #[test]
    fn mistakes_are_told_apart_and_a_right_pattern_is_proposed() {
        let error = |text: &str| RoutePattern::parse(text).unwrap_err();
        assert_eq!(
            error("api"),
            RouteError::NoSlash {
                suggestion: "/api".into()
            }
        );
        assert_eq!(
            error("example.com"),
            RouteError::NoSlash {
                suggestion: "example.com/*".into()
            }
        );
        assert_eq!(
            error("https://example.com/a"),
            RouteError::Scheme {
                scheme: "https".into(),
                suggestion: "example.com/a".into()
            }
        );
        assert_eq!(
            error(&format!("/{}", "a".repeat(1_024))),
            RouteError::TooLong { length: 1_025 }
        );
        let umlauts = format!("/{}", "ü".repeat(171));
        assert_eq!(error(&umlauts), RouteError::TooLong { length: 1_027 });
        assert_eq!(
            error(&"/a".repeat(33)),
            RouteError::TooManySegments { count: 33 }
        );
    }

    #[test]
    fn a_pattern_can_move_to_another_host() {
        let host = pattern("hello.localhost/").host;
        assert_eq!(
            pattern("/a/*").on_host(host).to_string(),
            "hello.localhost/a/*"
        );
    }
}
