//! The name of an interface (`wasi:http/types@0.2.3`), and when one version serves another.
//!
//! Owns the rule of compatibility, which is Wasmtime's own: what passes here, its linker finds.

use semver::Version;

/// A parsed name of an import or export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface<'a> {
    /// The whole name.
    pub name: &'a str,
    /// The package, `wasi:http`; empty when the name has none.
    pub package: &'a str,
    /// Package and interface, without the version.
    pub path: &'a str,
    /// The version, when there is one and it is a version.
    pub version: Option<Version>,
}

impl<'a> Interface<'a> {
    /// Takes a name apart. Any text has a path; only some have a package or a version.
    pub fn parse(name: &'a str) -> Self {
        let (path, version) = match name.split_once('@') {
            Some((path, version)) => (path, Version::parse(version).ok()),
            None => (name, None),
        };
        let package = path.split_once('/').map_or("", |(package, _)| package);
        Self {
            name,
            package,
            path,
            version,
        }
    }

    /// Whether a host that provides `provided` serves a component that uses this name: the same
    /// name, or the same interface in a version on the same track (0.2.x, or 1.x). A pre-release
    /// is served by itself alone, and so is 0.0.x.
    pub fn is_served_by(&self, provided: &Interface<'_>) -> bool {
        if self.name == provided.name {
            return true;
        }
        match (&self.version, &provided.version) {
            (Some(used), Some(provided_version)) => {
                self.path == provided.path
                    && track(used).is_some_and(|used| Some(used) == track(provided_version))
            }
            _ => false,
        }
    }
}

/// What all versions that are compatible with each other share; none when nothing is.
fn track(version: &Version) -> Option<(u64, u64)> {
    match (version.pre.is_empty(), version.major, version.minor) {
        (false, _, _) | (true, 0, 0) => None,
        (true, 0, minor) => Some((0, minor)),
        (true, major, _) => Some((major, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::Interface;

    fn serves(provided: &str, used: &str) -> bool {
        Interface::parse(used).is_served_by(&Interface::parse(provided))
    }

    #[test]
    fn versions_of_one_track_serve_each_other_in_both_directions() {
        assert!(serves("wasi:io/streams@0.2.6", "wasi:io/streams@0.2.0"));
        assert!(serves("wasi:io/streams@0.2.0", "wasi:io/streams@0.2.6"));
        assert!(serves("a:b/c@1.4.0", "a:b/c@1.0.2"));
    }

    #[test]
    fn other_tracks_interfaces_and_pre_releases_do_not_serve() {
        for (provided, used) in [
            ("wasi:io/streams@0.2.6", "wasi:io/streams@0.3.0"),
            ("wasi:io/streams@0.2.6", "wasi:io/poll@0.2.6"),
            (
                "wasi:http/handler@0.3.0",
                "wasi:http/handler@0.3.0-rc-2025-09-16",
            ),
            (
                "wasi:http/handler@0.3.0-rc-2025-09-16",
                "wasi:http/handler@0.3.0",
            ),
            ("a:b/c@0.0.1", "a:b/c@0.0.2"),
            ("a:b/c@1.0.0", "a:b/c@2.0.0"),
            ("a:b/c", "a:b/c@1.0.0"),
            ("a:b/c@1.0.0", "a:b/c@one"),
        ] {
            assert!(!serves(provided, used), "{provided} must not serve {used}");
        }
    }

    #[test]
    fn any_name_is_served_by_itself() {
        for name in [
            "wasi:http/handler@0.3.0-rc-1",
            "a:b/c@0.0.1",
            "plain",
            "",
            "@",
            "a@b@c",
        ] {
            assert!(serves(name, name), "{name:?}");
        }
    }
}
