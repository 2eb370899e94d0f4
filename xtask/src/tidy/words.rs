//! Rule: nothing unfinished is committed, and nothing that is true on one machine only.
//!
//! The forbidden words are written in two pieces here, so that this file doesn't break its own rule.

use super::{Source, Violation};

/// What may not stand in Rust, and what to do instead.
const UNFINISHED: &[(&str, &str)] = &[
    (
        concat!("todo", "!("),
        "write the code or leave the feature out",
    ),
    (
        concat!("unimplemented", "!("),
        "write the code or return an error",
    ),
    (concat!("dbg", "!("), "remove it, or log with `tracing`"),
    (concat!("FIX", "ME"), "mend it now, or open an issue"),
    (concat!("TO", "DO"), "do it now, or open an issue"),
    (concat!("#[", "ignore"), "a test runs or is deleted"),
];

/// Folders that exist on somebody's machine.
const MACHINE_FOLDERS: &[&str] = &[
    concat!("/", "root/"),
    concat!("/", "work/"),
    concat!("/", "farm/"),
    concat!("/", "home/"),
    concat!("/", "Users/"),
];

/// Where every locked dependency must come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        let is_lock = source
            .path
            .file_name()
            .is_some_and(|name| name == "Cargo.lock");
        for (number, line) in source.lines() {
            if source.is_rust() {
                for (word, instead) in UNFINISHED.iter().filter(|(word, _)| has_word(line, word)) {
                    violations.push(Violation::error(
                        &source.path,
                        number,
                        format!("`{word}`: {instead}"),
                    ));
                }
            }
            if let Some(folder) = machine_folder(line) {
                violations.push(Violation::error(
                    &source.path,
                    number,
                    format!(
                        "a path under `{folder}` is true on one machine only: use a relative one"
                    ),
                ));
            }
            if is_lock && line.starts_with("source = ") && !line.contains(REGISTRY) {
                violations.push(Violation::error(
                    &source.path,
                    number,
                    "a dependency is locked to a place other than crates.io",
                ));
            }
        }
    }
    violations
}

/// Whether a word stands in a line by itself, not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let is_open = !word.ends_with(is_part);
        !line[..at].ends_with(is_part) && (is_open || !line[at + word.len()..].starts_with(is_part))
    })
}

/// A machine folder at the start of a path (not in the middle of one, as in `src/work/`).
fn machine_folder(line: &str) -> Option<&'static str> {
    MACHINE_FOLDERS.iter().copied().find(|folder| {
        line.match_indices(folder).any(|(at, _)| {
            !line[..at].ends_with(|before: char| {
                before.is_ascii_alphanumeric() || matches!(before, '_' | '.' | '-' | '}' | '*')
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    #[test]
    fn unfinished_code_is_an_error_with_its_line() {
        let text = format!(
            "//! X.\nfn f() {{\n    {}\"later\");\n}}\n",
            UNFINISHED[0].0
        );
        let found = check(&[source("a.rs", &text)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 3);
    }

    #[test]
    fn longer_word_that_holds_a_forbidden_one_is_allowed() {
        let text = format!("//! X.\nstatic {}S: u32 = 0;\n", UNFINISHED[4].0);
        assert_eq!(check(&[source("a.rs", &text)]), []);
    }

    #[test]
    fn path_on_one_machine_is_an_error_in_any_file() {
        let text = format!("see {}notes.txt\n", MACHINE_FOLDERS[0]);
        assert_eq!(check(&[source("docs/a.md", &text)]).len(), 1);
    }

    #[test]
    fn folder_in_the_middle_of_a_path_is_not_a_machine_path() {
        let text = format!(
            "https://example.com{}x and src{}\n",
            MACHINE_FOLDERS[3], MACHINE_FOLDERS[1]
        );
        assert_eq!(check(&[source("docs/a.md", &text)]), []);
    }

    #[test]
    fn dependency_from_another_registry_is_an_error() {
        let text = "source = \"registry+https://mirror.example.com/index\"\n";
        assert_eq!(check(&[source("Cargo.lock", text)]).len(), 1);
    }
}
