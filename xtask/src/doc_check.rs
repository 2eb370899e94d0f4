//! `cargo xtask doc-check`: API docs build without a warning, and links between Markdown files lead
//! somewhere.
//!
//! Knows nothing of links to other sites: those can break without a change here.

use std::path::Path;

use anyhow::bail;

use crate::{steps, tidy};

/// Packages that nobody reads the docs of but in their source.
const WITHOUT_DOCS: [&str; 5] = [
    "everwarm-bench",
    "everwarm-bench-instantiate",
    "everwarm-e2e",
    "everwarm-fuzz",
    "xtask",
];

/// Builds the docs and checks links.
///
/// # Errors
/// When rustdoc warns or a link is dead.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut doc = steps::cargo();
    doc.args(["doc", "--no-deps", "--workspace"]);
    for package in WITHOUT_DOCS {
        doc.args(["--exclude", package]);
    }
    steps::run(doc.env("RUSTDOCFLAGS", "-Dwarnings"))?;
    links()
}

/// Whether links between Markdown files lead somewhere.
///
/// # Errors
/// When one doesn't.
pub(crate) fn links() -> anyhow::Result<()> {
    let root = steps::root();
    let mut dead = 0;
    for path in tidy::listed_files(&root)? {
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = std::fs::read_to_string(root.join(&path))?;
        for (line, target) in relative_links(&text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let linked = if file.is_empty() {
                root.join(&path)
            } else {
                root.join(path.parent().unwrap_or(Path::new(""))).join(file)
            };
            let problem = if !linked.exists() {
                format!("links to `{file}`, which is not there")
            } else if !anchor.is_empty() && !has_heading(&linked, anchor) {
                format!("links to `#{anchor}`, and no heading there has that name")
            } else {
                continue;
            };
            dead += 1;
            eprintln!(
                "{}:{line}: {problem}: mend or remove the link",
                path.display()
            );
        }
    }
    if dead > 0 {
        bail!("{dead} dead link(s) in Markdown");
    }
    Ok(())
}

/// Every `](target)` outside code that is not an address on another site, with its line.
fn relative_links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        // Every second piece between backticks is code.
        for prose in line.split('`').step_by(2) {
            for rest in prose.split("](").skip(1) {
                let Some((target, _)) = rest.split_once(')') else {
                    continue;
                };
                if !target.contains("://") && !target.starts_with("mailto:") {
                    found.push((number + 1, target));
                }
            }
        }
    }
    // A link whose text is code (`[`x`](y)`) is cut in two by the split above.
    for (number, line) in text.lines().enumerate() {
        for rest in line.split("`](").skip(1) {
            if let Some((target, _)) = rest.split_once(')')
                && !target.contains("://")
                && !found.contains(&(number + 1, target))
            {
                found.push((number + 1, target));
            }
        }
    }
    found
}

/// Whether a Markdown file has a heading that renders to this anchor.
fn has_heading(path: &Path, anchor: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else {
        return false;
    };
    text.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| slug(line.trim_start_matches('#').trim()) == anchor)
}

/// The anchor that a heading gets: lower case, spaces to hyphens, other punctuation dropped.
fn slug(heading: &str) -> String {
    heading
        .chars()
        .filter_map(|c| match c {
            ' ' | '-' => Some('-'),
            c if c.is_alphanumeric() || c == '_' => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_are_not_links() {
        let text = "see [a](a.md)\n```\n[b](b.md)\n```\nand `[c](c.md)` and [`d`](d.md)\n";
        assert_eq!(relative_links(text), [(1, "a.md"), (5, "d.md")]);
    }

    #[test]
    fn links_to_other_sites_are_left_alone() {
        assert_eq!(relative_links("[x](https://example.com)"), []);
    }

    #[test]
    fn heading_becomes_the_anchor_that_browsers_use() {
        assert_eq!(
            slug("The way of a request, in full"),
            "the-way-of-a-request-in-full"
        );
    }
}
