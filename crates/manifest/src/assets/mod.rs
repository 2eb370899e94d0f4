//! Files that an app has served without a function: which folder, at which URLs, and what else holds for them.
//!
//! Owns the form of their paths and globs. Reads no file: what is in a folder is for who builds the app to say.

mod glob;
mod path;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use glob::{GLOB_BYTES_MAX, Glob, GlobError};
pub use path::{AssetPath, AssetPathError, PATH_BYTES_MAX};

use crate::route::{PathPattern, RouteError, RoutePattern, Segment};

/// The most `[[assets]]` of one app.
pub const ASSETS_MAX: usize = 16;
/// The most globs in `immutable` of one of them.
pub const IMMUTABLE_MAX: usize = 32;
/// What usage, logs and metrics call the files of an app, where they have a function's name for others.
pub const ASSETS_NAME: &str = "assets";

/// One folder of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assets {
    /// The folder, relative to the manifest's.
    pub path: AssetPath,
    /// Where its files are.
    #[serde(default)]
    pub at: AssetsAt,
    /// The file, relative to the folder, that answers pages which have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<AssetPath>,
    /// Which files never change under their names; relative to the folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub immutable: Vec<Glob>,
}

impl Assets {
    /// Whether a file, by its path in the folder, never changes under its name.
    pub fn is_immutable(&self, file: &str) -> bool {
        self.immutable.iter().any(|glob| glob.matches(file))
    }
}

/// Where files are: `[host]/prefix`, which is the route `[host]/prefix/*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetsAt(RoutePattern);

impl AssetsAt {
    /// Reads `[host]/prefix`, with a slash at its end or without.
    ///
    /// # Errors
    /// [`RouteError`] as for a route; there are no parameters, and `*` stands for nothing here.
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        if text.ends_with('*') {
            return Err(RouteError::Segment {
                segment: "*".into(),
                reason: "`at` has no `*`: all below it is meant",
                suggestion: None,
            });
        }
        if !text.contains('/') {
            // Told as of a route, with what is nearest.
            RoutePattern::parse(text)?;
        }
        let folder = text.strip_suffix('/').unwrap_or(text);
        let route = RoutePattern::parse(&format!("{folder}/*"))?;
        let param = route
            .path
            .segments()
            .iter()
            .find_map(|segment| match segment {
                Segment::Param(name) => Some(format!("{{{name}}}")),
                Segment::Literal(_) => None,
            });
        match param {
            None => Ok(Self(route)),
            Some(segment) => Err(RouteError::Segment {
                segment,
                reason: "files have no parameters in their path",
                suggestion: None,
            }),
        }
    }

    /// The route that it stands for.
    pub fn route(&self) -> &RoutePattern {
        &self.0
    }

    /// What the path of each of its files begins with, in normal form and without a slash at its end.
    pub fn prefix(&self) -> String {
        let text = self.0.path.to_string();
        text.trim_end_matches("/*").to_owned()
    }
}

/// `/`: the whole host.
impl Default for AssetsAt {
    fn default() -> Self {
        let mut route = RoutePattern::everything();
        route.path = PathPattern::everything();
        Self(route)
    }
}

impl fmt::Display for AssetsAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/", self.0.host, self.prefix())
    }
}

impl FromStr for AssetsAt {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for AssetsAt {
    type Error = RouteError;

    fn try_from(text: String) -> Result<Self, RouteError> {
        Self::parse(&text)
    }
}

impl From<AssetsAt> for String {
    fn from(at: AssetsAt) -> String {
        at.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_a_route_for_all_below_it() {
        for (text, route, shown, prefix) in [
            ("/", "/*", "/", ""),
            ("/static", "/static/*", "/static/", "/static"),
            ("/static/", "/static/*", "/static/", "/static"),
            ("/caf\u{e9}", "/caf%C3%A9/*", "/caf%C3%A9/", "/caf%C3%A9"),
            (
                "www.Example.com/",
                "www.example.com/*",
                "www.example.com/",
                "",
            ),
        ] {
            let at = AssetsAt::parse(text).unwrap();
            assert_eq!(at.route().to_string(), route);
            assert_eq!(at.to_string(), shown);
            assert_eq!(at.prefix(), prefix);
            assert_eq!(AssetsAt::parse(&at.to_string()), Ok(at));
        }
        assert_eq!(AssetsAt::default(), AssetsAt::parse("/").unwrap());
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in [
            "",
            "static",
            "/static/*",
            "/*",
            "/{id}",
            "/a//b",
            "/..",
            "//",
            "https://a/",
        ] {
            assert!(AssetsAt::parse(text).is_err(), "{text}");
        }
    }
}
