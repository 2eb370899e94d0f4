//! Rule: every threat in docs/security.md names a test that exists, or says that it is shown by reading. A name in a
//! table that looks like a test's is one.

use std::path::Path;

use super::{Source, Violation};

const PAGE: &str = "docs/security.md";
/// The last column of a table of threats.
const COLUMN: &str = "shown by";
/// What a threat says that no test can show.
const BY_READING: &str = "reading:";

pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let Some(page) = sources.iter().find(|source| source.path == Path::new(PAGE)) else {
        return Vec::new();
    };
    let threats = threats(&page.text);
    if threats.is_empty() {
        let message = format!("has no table whose last column is \"{COLUMN}\"");
        return vec![Violation::error(&page.path, 1, message)];
    }
    let mut violations = Vec::new();
    for (line, shown_by) in threats {
        let names = names(shown_by);
        for name in &names {
            if !exists(name, sources) {
                let message = format!("there is no test `{name}`");
                violations.push(Violation::error(&page.path, line, message));
            }
        }
        if names.is_empty() && !shown_by.starts_with(BY_READING) {
            let message = format!(
                "this threat names no test: write `test_name` in backticks, or \"{BY_READING}\" and where"
            );
            violations.push(Violation::error(&page.path, line, message));
        }
    }
    violations
}

/// The last cells of all rows of tables of threats, each with its line.
fn threats(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        let Some(last) = last_cell(line) else {
            inside = false;
            continue;
        };
        if last == COLUMN {
            inside = true;
        } else if inside && !is_rule(last) {
            found.push((index + 1, last));
        }
    }
    found
}

/// The dashes below a table's head.
fn is_rule(cell: &str) -> bool {
    !cell.is_empty() && cell.chars().all(|c| c == '-')
}

fn last_cell(line: &str) -> Option<&str> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(row.rsplit('|').next().unwrap_or(row).trim())
}

/// What looks like the name of a test: code with underscores. `file::name` counts by its last part.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(|code| code.rsplit("::").next().unwrap_or(code))
        .filter(|name| {
            name.contains('_')
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        })
        .collect()
}

fn exists(name: &str, sources: &[Source]) -> bool {
    let declared = format!("fn {name}(");
    sources
        .iter()
        .any(|source| source.is_rust() && source.text.contains(&declared))
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    const TEST: &str = "//! X.\n#[test]\nfn loop_ends() {}\n";

    fn found(rows: &str) -> Vec<Violation> {
        let page = format!("# S\n\n| threat | what stops it | shown by |\n|---|---|---|\n{rows}");
        check(&[source(PAGE, &page), source("e2e/tests/a.rs", TEST)])
    }

    #[test]
    fn threat_with_a_test_or_a_reading_is_in_order() {
        assert_eq!(found("| a loop | a limit | `loop_ends` |\n"), []);
        assert_eq!(
            found("| timing | `subtle` | reading: `Token::matches` |\n"),
            []
        );
    }

    #[test]
    fn threat_without_a_test_is_an_error_on_its_line() {
        let violations = found("| a loop | a limit | |\n");
        assert_eq!((violations.len(), violations[0].line), (1, 5));
    }

    #[test]
    fn every_name_must_be_that_of_a_test() {
        let violations = found("| a loop | a limit | `loop_ends`, `loop_is_gone` |\n");
        assert_eq!(violations.len(), 1);
        assert!(violations[0].what_to_do.contains("loop_is_gone"));
    }

    #[test]
    fn page_without_tables_is_an_error() {
        assert_eq!(check(&[source(PAGE, "# Security\n")]).len(), 1);
    }
}
