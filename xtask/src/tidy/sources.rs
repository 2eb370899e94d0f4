//! The text files that git knows or would add: what the rules are checked over.
//!
//! Ignored files (build output) and binary files are left out.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps;

/// One text file.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// From the root of the repository.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    pub(super) fn is_rust(&self) -> bool {
        self.path
            .extension()
            .is_some_and(|extension| extension == "rs")
    }

    /// Lines, counted from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

/// Every file that git tracks or would add, from the root, sorted.
///
/// # Errors
/// When this is no git work tree.
pub(crate) fn listed_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = steps::read(Command::new("git").current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut paths: Vec<PathBuf> = listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        // A file that was removed but not yet committed is still listed.
        .filter(|path| root.join(path).is_file())
        .collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// Reads every listed file that is text.
///
/// # Errors
/// As [`listed_files`], and when a file can't be read.
pub(super) fn read_all(root: &Path) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in listed_files(root)? {
        let bytes = std::fs::read(root.join(&path))?;
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}
