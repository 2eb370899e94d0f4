//! The path of a route pattern and the path of a request, both in one normal form (RFC 3986 section 6.2.2):
//! encoded octets that stand for unreserved characters are decoded, the others have upper-case digits, and
//! what must be encoded is.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::RouteError;

/// The most segments of a pattern, `*` included.
pub const SEGMENTS_MAX: usize = 32;

/// Which paths a pattern matches. Cloning it copies no text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    segments: Arc<[Segment]>,
    rest: bool,
}

/// One segment of a path pattern; `*` isn't one, see [`PathPattern::takes_rest`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This text in normal form. Empty only as the last segment, after a trailing slash.
    Literal(Box<str>),
    /// Exactly one segment that isn't empty; the text is the parameter's name.
    Param(Box<str>),
}

impl PathPattern {
    /// `/*`.
    pub fn everything() -> Self {
        Self {
            segments: Arc::new([]),
            rest: true,
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, RouteError> {
        let mut texts: Vec<&str> = text.strip_prefix('/').unwrap_or(text).split('/').collect();
        if texts.len() > SEGMENTS_MAX {
            return Err(RouteError::TooManySegments { count: texts.len() });
        }
        let rest = texts.last() == Some(&"*");
        if rest {
            texts.pop();
        }
        let mut segments: Vec<Segment> = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let last = index + 1 == texts.len() && !rest;
            let segment = parse_segment(text, last)?;
            if matches!(segment, Segment::Param(_)) && segments.contains(&segment) {
                return Err(bad(
                    text,
                    "the route has another parameter of that name",
                    None,
                ));
            }
            segments.push(segment);
        }
        Ok(Self {
            segments: segments.into(),
            rest,
        })
    }

    /// The segments before the end or before `*`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the pattern ends with `*`: it matches however many segments follow, none included.
    pub fn takes_rest(&self) -> bool {
        self.rest
    }

    /// Whether a request for that path matches.
    pub fn matches(&self, path: &RequestPath<'_>) -> bool {
        let mut sent = path.segments();
        for segment in self.segments.iter() {
            let matches = match (segment, sent.next()) {
                (Segment::Literal(text), Some(sent)) => **text == *sent,
                (Segment::Param(_), Some(sent)) => !sent.is_empty(),
                (_, None) => false,
            };
            if !matches {
                return false;
            }
        }
        self.rest || sent.next().is_none()
    }

    pub(super) fn compare_specificity(&self, other: &Self) -> Ordering {
        let ranks = |path: &Self, index: usize| match path.segments.get(index) {
            Some(Segment::Literal(_)) => 2,
            Some(Segment::Param(_)) => 1,
            None if path.rest => 0,
            None => 3,
        };
        for index in 0..=self.segments.len().max(other.segments.len()) {
            let order = ranks(self, index).cmp(&ranks(other, index));
            let order =
                order.then_with(
                    || match (self.segments.get(index), other.segments.get(index)) {
                        (Some(Segment::Literal(a)), Some(Segment::Literal(b))) => a.cmp(b),
                        _ => Ordering::Equal,
                    },
                );
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in self.segments.iter() {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Param(name) => write!(f, "/{{{name}}}")?,
            }
        }
        if self.rest { f.write_str("/*") } else { Ok(()) }
    }
}

fn bad(segment: &str, reason: &'static str, suggestion: Option<String>) -> RouteError {
    RouteError::Segment {
        segment: segment.into(),
        reason,
        suggestion,
    }
}

fn parse_segment(text: &str, last: bool) -> Result<Segment, RouteError> {
    if text.contains(['{', '}']) {
        return parse_param(text);
    }
    if text.is_empty() && !last {
        return Err(bad(text, "there is nothing between two slashes", None));
    }
    if text == "**" {
        return Err(bad(
            text,
            "one `*` already stands for all that follows",
            Some("*".into()),
        ));
    }
    if text.contains('*') {
        return Err(bad(
            text,
            "`*` is only allowed as the whole last segment",
            None,
        ));
    }
    if text.contains(['?', '#']) {
        return Err(bad(text, "a route matches no query and no fragment", None));
    }
    if text.chars().any(char::is_control) {
        return Err(bad(text, "control characters are not allowed", None));
    }
    if has_bad_percent(text.as_bytes()) {
        return Err(bad(
            text,
            "`%` is followed by two hexadecimal digits; the character itself is `%25`",
            None,
        ));
    }
    let literal = normalized(text);
    if matches!(&*literal, "." | "..") {
        return Err(bad(text, "`.` and `..` match no request", None));
    }
    if has_nul(&literal) {
        return Err(bad(
            text,
            "a path with a NUL (`%00`) matches no route",
            None,
        ));
    }
    Ok(Segment::Literal(literal.into()))
}

fn parse_param(text: &str) -> Result<Segment, RouteError> {
    let Some(name) = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
    else {
        return Err(bad(
            text,
            "a parameter is a whole segment, as in `/{id}/`",
            None,
        ));
    };
    if name.starts_with('*') || name.ends_with("...") {
        return Err(bad(
            text,
            "the rest of a path has no name",
            Some("*".into()),
        ));
    }
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        return Err(bad(
            text,
            "a parameter's name has letters, digits and underscores, and no digit first",
            None,
        ));
    }
    Ok(Segment::Param(name.into()))
}

/// What stands in a normal form as it is: unreserved characters, sub-delimiters, `:`, `@` and the separator
/// `/` (RFC 3986 section 3.3). `%` isn't: what follows it must be looked at.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let bytes = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/";
    let mut index = 0;
    while index < bytes.len() {
        plain[bytes[index] as usize] = true;
        index += 1;
    }
    plain
};

fn is_plain(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The octet that `%XX` at the start of `bytes` stands for.
fn encoded_octet(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else {
        return None;
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn has_bad_percent(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| bytes[at] == b'%' && encoded_octet(&bytes[at..]).is_none())
}

fn normalized(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut normal = String::with_capacity(text.len() + 8);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let encoded = encoded_octet(&bytes[at..]);
        at += if encoded.is_some() { 3 } else { 1 };
        let octet = encoded.unwrap_or(byte);
        let keep = if encoded.is_some() {
            is_unreserved(octet)
        } else {
            is_plain(octet)
        };
        if keep {
            normal.push(char::from(octet));
        } else {
            let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
            normal.extend(['%', digit(octet >> 4), digit(octet & 15)]);
        }
    }
    Cow::Owned(normal)
}

fn has_dot_segment(path: &str) -> bool {
    // Nearly no path has `/.` at all, so the segments are seldom split.
    path.contains("/.") && path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// A NUL ends a text in many languages: who reads on and who doesn't see different paths.
fn has_nul(normal: &str) -> bool {
    normal.contains("%00")
}

/// The path of a request in normal form. Making one allocates only when the path as sent is in another.
#[derive(Debug, Clone)]
pub struct RequestPath<'a>(Cow<'a, str>);

impl<'a> RequestPath<'a> {
    /// Takes a request's path without its query. `None` when no pattern can match it: it doesn't start with
    /// `/`, a segment is `.` or `..`, encoded or not, or there is a NUL.
    pub fn new(path: &'a str) -> Option<Self> {
        let path = path.starts_with('/').then(|| normalized(path))?;
        // In a path that was in its normal form as it came there may be nothing encoded at all.
        let is_none = has_dot_segment(&path) || (matches!(path, Cow::Owned(_)) && has_nul(&path));
        (!is_none).then_some(Self(path))
    }

    /// The path as text. It starts with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The texts between slashes. There is at least one; the last is empty after a trailing slash.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.strip_prefix('/').unwrap_or(&self.0).split('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let pattern = PathPattern::parse(pattern).unwrap();
        RequestPath::new(path).is_some_and(|path| pattern.matches(&path))
    }

    #[test]
    fn literals_match_themselves_only() {
        assert!(matches("/", "/"));
        assert!(matches("/a/b", "/a/b"));
        for path in ["/a", "/a/b/", "/a/b/c", "/A/b", "/a//b", "//a/b", "/"] {
            assert!(!matches("/a/b", path), "{path}");
        }
        assert!(matches("/a/", "/a/"));
        assert!(!matches("/a/", "/a"));
    }

    #[test]
    fn a_parameter_is_one_segment_that_is_not_empty() {
        assert!(matches("/u/{id}", "/u/1"));
        assert!(matches("/u/{id}/x", "/u/a%2Fb/x"));
        for path in ["/u", "/u/", "/u/1/", "/u/1/2"] {
            assert!(!matches("/u/{id}", path), "{path}");
        }
    }

    #[test]
    fn the_rest_may_be_nothing() {
        for path in ["/", "/a", "/a/b/c", "//", "/a//b/"] {
            assert!(matches("/*", path), "{path}");
        }
        for path in ["/api", "/api/", "/api/a", "/api//"] {
            assert!(matches("/api/*", path), "{path}");
        }
        for path in ["/", "/apix", "/ap", "/x/api"] {
            assert!(!matches("/api/*", path), "{path}");
        }
    }

    #[test]
    fn spellings_of_one_path_match_alike() {
        assert!(matches("/admin", "/%61dmin"));
        assert!(matches("/%61dmin", "/admin"));
        assert!(matches("/a%2fb", "/a%2Fb"));
        assert!(matches("/café", "/caf%c3%a9"));
        assert!(matches("/café", "/café"));
        assert!(
            !matches("/a/b", "/a%2Fb"),
            "an encoded slash separates nothing"
        );
        assert!(
            !matches("/a!", "/a%21"),
            "a sub-delimiter and its code differ (RFC 3986 section 2.2)"
        );
        assert!(
            matches("/{x}", "/%zz"),
            "a stray percent sign is a character like others"
        );
    }

    #[test]
    fn dot_segments_match_nothing() {
        for path in ["/.", "/..", "/a/../b", "/a/%2e%2E/b", "/./", "/a/.%2e"] {
            assert!(RequestPath::new(path).is_none(), "{path}");
        }
        for path in ["/.well-known/x", "/...", "/a..b", "/a./b"] {
            assert!(RequestPath::new(path).is_some(), "{path}");
        }
    }

    #[test]
    fn nul_is_in_no_path() {
        for path in ["/%00", "/a/b%00c", "/\0"] {
            assert!(RequestPath::new(path).is_none(), "{path}");
        }
        assert!(RequestPath::new("/%2500").is_some());
        assert!(PathPattern::parse("/a%00").is_err());
    }

    #[test]
    fn only_a_path_that_starts_with_a_slash_is_one() {
        for path in ["", "*", "a", "?"] {
            assert!(RequestPath::new(path).is_none(), "{path}");
        }
    }

    #[test]
    fn bad_segments_are_refused() {
        for pattern in [
            "//", "/a//b", "/*/a", "/a*", "/**", "/{", "/{}", "/{a", "/a{b}", "/{1}", "/{*rest}",
            "/{a}/{a}", "/a?b", "/a#b", "/%", "/%4", "/%zz", "/.", "/../a", "/%2e", "/a\u{1}",
            "//*",
        ] {
            assert!(PathPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
