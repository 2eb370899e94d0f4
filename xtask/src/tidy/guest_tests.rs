//! Rule: a test guest without an end-to-end test is an error.

use std::path::Path;

use super::{Source, Violation};

/// The list of guests.
const LIST: &str = "guest/guests.toml";
/// Where their tests are.
const TESTS: &str = "e2e";

pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let Some(list) = sources.iter().find(|source| source.path == Path::new(LIST)) else {
        return Vec::new();
    };
    let tests: Vec<&Source> = sources
        .iter()
        .filter(|source| source.path.starts_with(TESTS) && source.is_rust())
        .collect();
    list.lines()
        .filter_map(|(number, line)| Some((number, quoted_name(line)?)))
        .filter(|(_, name)| !tests.iter().any(|test| names_guest(&test.text, name)))
        .map(|(number, name)| {
            Violation::error(
                &list.path,
                number,
                format!("no test under {TESTS}/ names the guest `{name}`: write one, or remove the guest"),
            )
        })
        .collect()
}

/// The value of a `name = "..."` line.
fn quoted_name(line: &str) -> Option<&str> {
    let value = line
        .trim()
        .strip_prefix("name")?
        .trim_start()
        .strip_prefix('=')?;
    value.trim().strip_prefix('"')?.split('"').next()
}

/// Whether a test holds the guest's name as a string: alone, or before its world.
fn names_guest(text: &str, name: &str) -> bool {
    text.contains(&format!("\"{name}\"")) || text.contains(&format!("\"{name}."))
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    #[test]
    fn guest_that_no_test_names_is_an_error_on_its_line() {
        let found = check(&[
            source(
                LIST,
                "[[guest]]\nname = \"hello\"\n\n[[guest]]\nname = \"echo\"\n",
            ),
            source("e2e/tests/serve.rs", "//! X.\nstart(\"hello\");\n"),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 5);
        assert!(found[0].what_to_do.contains("`echo`"));
    }

    #[test]
    fn test_elsewhere_does_not_count() {
        let found = check(&[
            source(LIST, "name = \"hello\"\n"),
            source("crates/edge/src/a.rs", "start(\"hello\");\n"),
        ]);
        assert_eq!(found.len(), 1);
    }
}
