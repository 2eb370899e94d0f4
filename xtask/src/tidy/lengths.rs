//! Rule: files and functions stay short enough to read.
//!
//! Function bounds come from rustfmt's layout: the line that closes an item has the indentation of the
//! line that opened it. `cargo fmt --check` runs before this, so the layout can be relied on.

use super::{Source, Violation};

/// Lines after which a Rust file is worth splitting.
const FILE_LINES_WARN: usize = 500;
/// Lines that no Rust file may pass.
const FILE_LINES_MAX: usize = 700;
/// Lines that no other hand-written text file may pass.
const OTHER_LINES_MAX: usize = 800;
/// Lines that no function may pass, its signature included.
const FUNCTION_LINES_MAX: usize = 100;
/// Words that may stand before `fn`.
const QUALIFIERS: &[&str] = &[
    "pub",
    "pub(crate)",
    "pub(super)",
    "const",
    "async",
    "unsafe",
];

pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        if source.is_rust() {
            if lines > FILE_LINES_MAX {
                violations.push(Violation::error(
                    &source.path,
                    lines,
                    format!("{lines} lines, {FILE_LINES_MAX} at most: it is probably two ideas, split it"),
                ));
            } else if lines > FILE_LINES_WARN {
                violations.push(Violation::warning(
                    &source.path,
                    lines,
                    format!("{lines} lines: over {FILE_LINES_WARN} a file is probably two ideas"),
                ));
            }
            violations.extend(long_functions(source));
        } else if lines > OTHER_LINES_MAX && !is_exempt(source) {
            violations.push(Violation::error(
                &source.path,
                lines,
                format!("{lines} lines, {OTHER_LINES_MAX} at most: split it"),
            ));
        }
    }
    violations
}

/// Lock files are written by tools, and the interface definitions are copies of a standard.
fn is_exempt(source: &Source) -> bool {
    let by_name = source
        .path
        .extension()
        .is_some_and(|extension| extension == "lock" || extension == "wit");
    by_name || source.path.ends_with("package-lock.json")
}

fn long_functions(source: &Source) -> Vec<Violation> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut violations = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let Some(name) = function_name(body) else {
            continue;
        };
        let indent = &line[..line.len() - body.len()];
        let end = lines[start..].iter().position(|line| {
            line.strip_prefix(indent).is_some_and(|rest| {
                rest == "}" || (!rest.starts_with(' ') && rest.ends_with([';', '}']))
            })
        });
        let length = end.map_or(0, |end| end + 1);
        if length > FUNCTION_LINES_MAX {
            violations.push(Violation::error(
                &source.path,
                start + 1,
                format!(
                    "`{name}` has {length} lines, {FUNCTION_LINES_MAX} at most: name its parts"
                ),
            ));
        }
    }
    violations
}

/// The name of the function that a line opens, if it opens one.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split(' ');
    loop {
        match words.next()? {
            "fn" => break,
            word if QUALIFIERS.contains(&word) => {}
            _ => return None,
        }
    }
    let name = words.next()?;
    name.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    fn function(body_lines: usize) -> String {
        format!(
            "impl X {{\n    pub(crate) async fn long<T>() {{\n{}    }}\n}}\n",
            "        step();\n".repeat(body_lines)
        )
    }

    #[test]
    fn function_of_the_longest_length_passes_and_one_line_more_does_not() {
        let fits = source("a.rs", &function(FUNCTION_LINES_MAX - 2));
        assert_eq!(check(&[fits]), []);
        let found = check(&[source("a.rs", &function(FUNCTION_LINES_MAX - 1))]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
        assert!(found[0].what_to_do.contains("`long` has 101 lines"));
    }

    #[test]
    fn declaration_without_a_body_ends_at_its_semicolon() {
        let text = format!(
            "trait X {{\n    fn f();\n{}}}\n",
            "    // note\n".repeat(200)
        );
        assert_eq!(check(&[source("a.rs", &text)]), []);
    }

    #[test]
    fn long_file_is_first_a_warning_and_then_an_error() {
        let warned = check(&[source("a.rs", &"//! x\n".repeat(FILE_LINES_WARN + 1))]);
        assert!(warned[0].is_warning);
        let refused = check(&[source("a.rs", &"//! x\n".repeat(FILE_LINES_MAX + 1))]);
        assert!(!refused[0].is_warning);
    }

    #[test]
    fn lock_file_may_be_long() {
        assert_eq!(check(&[source("Cargo.lock", &"x\n".repeat(2_000))]), []);
    }
}
