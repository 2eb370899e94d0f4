//! Rule: a crate depends only on the crates below it.
//!
//! The table here is the map in ARCHITECTURE.md. A new arrow is a decision: change both.

use std::path::Path;

use serde_json::Value;

use super::Violation;

/// Each crate and the crates of this workspace that it may depend on, in whatever way.
const ARROWS: &[(&str, &[&str])] = &[
    ("everwarm-manifest", &[]),
    ("everwarm-api", &["everwarm-manifest"]),
    // Of `e2e` its tests have the S3 server.
    ("everwarm-store", &["everwarm-e2e", "everwarm-manifest"]),
    ("everwarm-cache", &["everwarm-manifest"]),
    ("everwarm-secrets", &["everwarm-manifest"]),
    ("everwarm-tls", &[]),
    ("everwarm-bundle", &["everwarm-manifest"]),
    ("everwarm-build", &["everwarm-bundle", "everwarm-manifest"]),
    ("everwarm-engine", &["everwarm-manifest"]),
    (
        "everwarm-host",
        &[
            "everwarm-bundle",
            "everwarm-cache",
            "everwarm-engine",
            "everwarm-manifest",
            "everwarm-store",
        ],
    ),
    (
        "everwarm-triggers",
        &["everwarm-manifest", "everwarm-store"],
    ),
    (
        "everwarm-edge",
        &[
            "everwarm-bundle",
            "everwarm-cache",
            "everwarm-engine",
            "everwarm-manifest",
        ],
    ),
    (
        "everwarm-node",
        &[
            "everwarm-api",
            "everwarm-bundle",
            "everwarm-cache",
            "everwarm-edge",
            "everwarm-engine",
            "everwarm-host",
            "everwarm-manifest",
            "everwarm-secrets",
            "everwarm-store",
            "everwarm-tls",
            "everwarm-triggers",
        ],
    ),
    (
        "everwarm",
        &[
            "everwarm-api",
            "everwarm-build",
            "everwarm-manifest",
            "everwarm-node",
        ],
    ),
    // What isn't published: tests and measurements, above everything that ships.
    (
        "everwarm-e2e",
        &["everwarm-api", "everwarm-bundle", "everwarm-manifest"],
    ),
    (
        "everwarm-fuzz",
        &[
            "everwarm-api",
            "everwarm-edge",
            "everwarm-engine",
            "everwarm-manifest",
            "everwarm-node",
            "everwarm-store",
        ],
    ),
    (
        "everwarm-bench",
        &[
            "everwarm-api",
            "everwarm-edge",
            "everwarm-manifest",
            "everwarm-node",
        ],
    ),
    (
        "everwarm-bench-instantiate",
        &["everwarm-engine", "everwarm-host", "everwarm-manifest"],
    ),
    ("xtask", &[]),
];

pub(super) fn check(metadata: &Value, root: &Path) -> Vec<Violation> {
    let packages: Vec<&Value> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let is_ours = |name: &str| packages.iter().any(|package| package["name"] == name);
    let mut violations = Vec::new();
    for package in &packages {
        let name = package["name"].as_str().unwrap_or_default();
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let manifest = manifest.strip_prefix(root).unwrap_or(manifest);
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            violations.push(Violation::error(
                manifest,
                1,
                format!("crate `{name}` is not on the map: add it to ARCHITECTURE.md and to ARROWS in xtask/src/tidy/arrows.rs"),
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            if is_ours(to) && !allowed.contains(&to) {
                violations.push(Violation::error(
                    manifest,
                    1,
                    format!("`{name}` may not depend on `{to}`: move what it needs down, or pass it in from above"),
                ));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(from: &str, to: &str) -> Value {
        serde_json::json!({"packages": [
            {"name": from, "manifest_path": "/r/crates/x/Cargo.toml", "dependencies": [{"name": to}]},
            {"name": to, "manifest_path": "/r/crates/y/Cargo.toml", "dependencies": []},
        ]})
    }

    #[test]
    fn arrow_that_points_up_is_an_error_at_its_manifest() {
        let found = check(
            &metadata("everwarm-engine", "everwarm-node"),
            Path::new("/r"),
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, Path::new("crates/x/Cargo.toml"));
        assert!(found[0].what_to_do.contains("`everwarm-node`"));
    }

    #[test]
    fn arrow_that_points_down_is_allowed() {
        assert_eq!(
            check(
                &metadata("everwarm-node", "everwarm-engine"),
                Path::new("/r")
            ),
            []
        );
    }

    #[test]
    fn crate_that_is_not_on_the_map_is_an_error() {
        let found = check(
            &metadata("everwarm-new", "everwarm-manifest"),
            Path::new("/r"),
        );
        assert_eq!(found.len(), 1);
        assert!(found[0].what_to_do.contains("not on the map"));
    }

    #[test]
    fn the_map_itself_has_no_cycle() {
        let mut settled: Vec<&str> = Vec::new();
        while settled.len() < ARROWS.len() {
            let next = ARROWS.iter().find(|(from, to)| {
                !settled.contains(from) && to.iter().all(|to| settled.contains(to))
            });
            let (from, _) = next.expect("some crate depends only on settled ones");
            settled.push(from);
        }
    }
}
