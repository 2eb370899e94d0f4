//! Rule: every numbered invariant in ARCHITECTURE.md names, in backticks, a test that exists.

use std::path::Path;

use super::{Source, Violation};

const PAGE: &str = "ARCHITECTURE.md";

pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let Some(page) = sources.iter().find(|source| source.path == Path::new(PAGE)) else {
        return Vec::new();
    };
    let invariants = numbered_items(&page.text);
    if invariants.is_empty() {
        return vec![Violation::error(
            &page.path,
            1,
            "has no numbered list under a heading with the word \"Invariants\"",
        )];
    }
    invariants
        .into_iter()
        .filter(|(_, text)| !names_a_test(text, sources))
        .map(|(line, text)| {
            let opening: String = text.chars().take(40).collect();
            Violation::error(
                &page.path,
                line,
                format!("invariant \"{opening}...\" names no test that exists: write `test_name` in backticks"),
            )
        })
        .collect()
}

/// The numbered items under the heading, each with its line and its whole text.
fn numbered_items(text: &str) -> Vec<(usize, String)> {
    let mut items: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('#') {
            inside = line.to_ascii_lowercase().contains("invariants");
        } else if inside {
            let starts_item = line
                .split_once(". ")
                .is_some_and(|(number, _)| number.parse::<u32>().is_ok());
            if starts_item {
                items.push((index + 1, line.to_owned()));
            } else if let Some((_, item)) = items.last_mut()
                && line.starts_with(' ')
            {
                item.push('\n');
                item.push_str(line);
            }
        }
    }
    items
}

/// Whether a word in backticks is the name of a test function. `file::name` counts by its last part.
fn names_a_test(item: &str, sources: &[Source]) -> bool {
    item.split('`').skip(1).step_by(2).any(|code| {
        let name = code.rsplit("::").next().unwrap_or(code);
        let is_identifier = !name.is_empty()
            && name.contains('_')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_identifier
            && sources
                .iter()
                .any(|source| source.is_rust() && source.text.contains(&format!("fn {name}(")))
    })
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    const TEST: &str = "//! X.\n#[test]\nfn nothing_compiles_on_a_request_path() {}\n";

    #[test]
    fn invariant_whose_test_exists_is_in_order() {
        let page = "## Invariants\n1. Nothing compiles.\n   Test: `a::nothing_compiles_on_a_request_path`.\n";
        assert_eq!(
            check(&[source(PAGE, page), source("e2e/tests/a.rs", TEST)]),
            []
        );
    }

    #[test]
    fn invariant_whose_test_is_gone_is_an_error_on_its_line() {
        let page = "# X\n\n## Invariants\n1. One hop. Test: `one_hop_at_most`.\n";
        let found = check(&[source(PAGE, page), source("e2e/tests/a.rs", TEST)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 4);
    }

    #[test]
    fn page_without_invariants_is_an_error() {
        assert_eq!(check(&[source(PAGE, "# Architecture\n")]).len(), 1);
    }
}
