//! Rule: every error code in the code has a page, and every page a code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Source, Violation};

/// Where pages live, one a code.
const PAGES: &str = "docs/errors";
/// Letters that open a code; four digits follow.
const PREFIX: &str = "EW";
const DIGITS: usize = 4;

pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let mut used: BTreeMap<&str, (&Path, usize)> = BTreeMap::new();
    let mut pages: BTreeMap<&str, &Path> = BTreeMap::new();
    for source in sources {
        if source.path.starts_with("crates") && source.is_rust() {
            for (number, line) in source.lines() {
                for code in codes(line) {
                    used.entry(code).or_insert((&source.path, number));
                }
            }
        }
        if source.path.starts_with(PAGES)
            && let Some(stem) = source.path.file_stem().and_then(|stem| stem.to_str())
            && codes(stem).next() == Some(stem)
        {
            pages.insert(stem, &source.path);
        }
    }
    let without_page = used.iter().filter(|(code, _)| !pages.contains_key(*code));
    let without_code = pages.iter().filter(|(code, _)| !used.contains_key(*code));
    without_page
        .map(|(code, (path, line))| {
            let page = PathBuf::from(PAGES).join(format!("{code}.md"));
            let what_to_do = format!("{code} has no page: write {}", page.display());
            Violation::error(path, *line, what_to_do)
        })
        .chain(without_code.map(|(code, path)| {
            let what_to_do = format!("no code in crates/ uses {code}: use it or remove its page");
            Violation::error(path, 1, what_to_do)
        }))
        .collect()
}

/// Every code in a line.
fn codes(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices(PREFIX).filter_map(|(at, _)| {
        let code = line.get(at..at + PREFIX.len() + DIGITS)?;
        let all_digits = code[PREFIX.len()..]
            .bytes()
            .all(|byte| byte.is_ascii_digit());
        let more = line[at + code.len()..].starts_with(|next: char| next.is_ascii_alphanumeric());
        let before = line[..at].ends_with(|before: char| before.is_ascii_alphanumeric());
        (all_digits && !more && !before).then_some(code)
    })
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    /// A code that this file may name without using it.
    fn code(number: u32) -> String {
        format!("{PREFIX}{number}")
    }

    #[test]
    fn code_without_a_page_is_an_error_where_it_is_used() {
        let used = format!("//! X.\nconst A: &str = \"{}\";\n", code(1001));
        let found = check(&[source("crates/x/src/a.rs", &used)]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].path.as_path(), found[0].line),
            (Path::new("crates/x/src/a.rs"), 2)
        );
    }

    #[test]
    fn page_without_a_code_is_an_error_on_the_page() {
        let page = format!("docs/errors/{}.md", code(1001));
        let found = check(&[
            source(&page, "# X\n"),
            source("docs/errors/README.md", "# List\n"),
        ]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, PathBuf::from(page));
    }

    #[test]
    fn code_with_a_page_is_in_order() {
        let used = format!("//! {}.\n", code(1001));
        let page = format!("docs/errors/{}.md", code(1001));
        assert_eq!(
            check(&[source("crates/x/src/a.rs", &used), source(&page, "# X\n")]),
            []
        );
    }

    #[test]
    fn longer_number_is_not_a_code() {
        assert_eq!(codes(&format!("{}9", code(1001))).count(), 0);
    }
}
