//! Rule: every crate but the engine forbids unsafe code, in the root file of each of its targets.

use std::path::Path;

use serde_json::Value;

use super::{Source, Violation};

/// The one crate that talks to Wasmtime's unsafe parts and maps machine code.
const ALLOWED: &str = "everwarm-engine";

pub(super) fn check(metadata: &Value, root: &Path, sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        if package["name"] == ALLOWED {
            continue;
        }
        for target in package["targets"].as_array().into_iter().flatten() {
            let is_shipped = target["kind"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|kind| matches!(kind.as_str(), Some("lib" | "bin" | "proc-macro")));
            let path = Path::new(target["src_path"].as_str().unwrap_or_default());
            let path = path.strip_prefix(root).unwrap_or(path);
            let Some(source) = sources.iter().find(|source| source.path == path) else {
                continue;
            };
            if is_shipped && !source.text.contains("#![forbid(unsafe_code)]") {
                violations.push(Violation::error(
                    path,
                    1,
                    "add `#![forbid(unsafe_code)]`: unsafe code lives in crates/engine only",
                ));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    fn metadata(name: &str) -> Value {
        serde_json::json!({"packages": [{"name": name, "targets": [
            {"kind": ["lib"], "src_path": "/r/crates/x/src/lib.rs"},
            {"kind": ["test"], "src_path": "/r/crates/x/tests/it.rs"},
        ]}]})
    }

    #[test]
    fn crate_without_the_attribute_is_an_error() {
        let sources = [
            source("crates/x/src/lib.rs", "//! X.\n"),
            source("crates/x/tests/it.rs", "//! Tests.\n"),
        ];
        let found = check(&metadata("everwarm-x"), Path::new("/r"), &sources);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, Path::new("crates/x/src/lib.rs"));
    }

    #[test]
    fn engine_may_hold_unsafe_code() {
        let sources = [source("crates/x/src/lib.rs", "//! X.\n")];
        assert_eq!(check(&metadata(ALLOWED), Path::new("/r"), &sources), []);
    }
}
