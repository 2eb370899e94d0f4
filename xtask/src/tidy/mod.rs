//! `cargo xtask tidy`: the house rules that a program can check, one file a rule.
//!
//! Owns the list of rules and how a violation is shown. Each rule is a function from the sources to
//! violations, so that its unit tests need no files.

mod arrows;
mod error_pages;
mod guest_tests;
mod invariants;
mod lengths;
mod names;
mod sources;
mod threats;
mod unsafe_code;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::steps;
pub(crate) use sources::listed_files;
use sources::{Source, read_all};

/// One place that breaks a rule, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    path: PathBuf,
    /// Counted from 1.
    line: usize,
    what_to_do: String,
    /// Worth a look, but not an error.
    is_warning: bool,
}

impl Violation {
    fn error(path: &Path, line: usize, what_to_do: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what_to_do: what_to_do.into(),
            is_warning: false,
        }
    }

    fn warning(path: &Path, line: usize, what_to_do: impl Into<String>) -> Self {
        Self {
            is_warning: true,
            ..Self::error(path, line, what_to_do)
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.is_warning { "warning: " } else { "" };
        write!(
            f,
            "{}:{}: {level}{}",
            self.path.display(),
            self.line,
            self.what_to_do
        )
    }
}

/// Checks every rule over the whole repository.
///
/// # Errors
/// When a rule is broken; each place is printed first.
pub(crate) fn run() -> anyhow::Result<()> {
    eprintln!("\n==> cargo xtask tidy");
    let root = steps::root();
    let sources = read_all(&root)?;
    let metadata =
        steps::read(steps::cargo().args(["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).context("`cargo metadata` printed something else")?;

    let mut violations = arrows::check(&metadata, &root);
    violations.extend(unsafe_code::check(&metadata, &root, &sources));
    violations.extend(names::check(&sources));
    violations.extend(lengths::check(&sources));
    violations.extend(words::check(&sources));
    violations.extend(error_pages::check(&sources));
    violations.extend(guest_tests::check(&sources));
    violations.extend(invariants::check(&sources));
    violations.extend(threats::check(&sources));
    violations.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));

    for violation in &violations {
        eprintln!("{violation}");
    }
    let errors = violations.iter().filter(|found| !found.is_warning).count();
    if errors > 0 {
        bail!("tidy: {errors} place(s) to mend");
    }
    eprintln!("tidy: {} files are in order", sources.len());
    Ok(())
}

/// A source for the unit tests of rules.
#[cfg(test)]
fn source(path: &str, text: &str) -> Source {
    Source {
        path: PathBuf::from(path),
        text: text.to_owned(),
    }
}
