//! Rule: a file is named after what it owns. Names that say nothing collect everything.

use super::{Source, Violation};

/// Names for files and folders that hold Rust.
const FORBIDDEN: &[&str] = &[
    "common", "helper", "helpers", "manager", "misc", "types", "util", "utils",
];

pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let bad = source.path.components().find_map(|part| {
            let part = part.as_os_str().to_str()?;
            let stem = part.strip_suffix(".rs").unwrap_or(part);
            FORBIDDEN.contains(&stem).then_some(stem)
        });
        if let Some(bad) = bad {
            violations.push(Violation::error(
                &source.path,
                1,
                format!("`{bad}` says nothing: name the file after the one thing that it owns"),
            ));
        }
        if !source.text.trim_start().starts_with("//!") {
            violations.push(Violation::error(
                &source.path,
                1,
                "open with `//!`: what this file owns and what it doesn't know",
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    #[test]
    fn file_and_folder_that_say_nothing_are_errors() {
        let sources = [
            source("crates/x/src/utils.rs", "//! X.\n"),
            source("crates/x/src/common/parse.rs", "//! X.\n"),
            source("crates/x/src/router.rs", "//! X.\n"),
        ];
        let found = check(&sources);
        assert_eq!(found.len(), 2);
        assert!(found[0].what_to_do.contains("`utils`"));
    }

    #[test]
    fn file_that_opens_with_code_is_an_error() {
        let found = check(&[source("crates/x/src/router.rs", "use std::fmt;\n")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 1);
    }
}
