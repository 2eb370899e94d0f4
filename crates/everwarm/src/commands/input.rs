//! Bytes that a verb takes from a file or from standard input, within their bound.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::exit::{Exit, Failure};

/// The code of what is too large.
pub(crate) const TOO_LARGE: &str = "EW5021";

/// What is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Its bytes at most.
    pub(crate) bytes_max: usize,
    /// What to do when there are more.
    pub(crate) too_large: &'static str,
}

/// Reads it whole, from a file or from standard input.
pub(crate) async fn read(what: Input, file: Option<PathBuf>) -> Result<Bytes, Failure> {
    let Input {
        name,
        bytes_max,
        too_large,
    } = what;
    if file.is_none() && io::stdin().is_terminal() {
        let message = format!(
            "there is no {name}: type it as the last argument, name its file with `--file`, or pipe it in"
        );
        return Err(Failure::uncoded(Exit::Usage, message));
    }
    let failed = move |error: io::Error| {
        Failure::uncoded(Exit::Failure, format!("couldn't read the {name}: {error}"))
    };
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let read = open(file.as_deref())?
            .take(bytes_max as u64 + 1)
            .read_to_end(&mut bytes);
        read.map_err(failed)?;
        Ok(bytes)
    });
    let bytes: Vec<u8> = read
        .await
        .unwrap_or_else(|error| Err(failed(error.into())))?;
    if bytes.len() > bytes_max {
        let message =
            format!("the {name} has more than the {bytes_max} bytes that it may have: {too_large}");
        return Err(Failure::new(Exit::Failure, TOO_LARGE, message));
    }
    Ok(bytes.into())
}

/// A file, or standard input where there is none or it is called `-`.
pub(crate) fn open(file: Option<&Path>) -> Result<Box<dyn Read>, Failure> {
    match file {
        Some(path) if path != Path::new("-") => {
            let opened = File::open(path).map_err(|error| {
                let message = format!("couldn't read {}: {error}", path.display());
                Failure::uncoded(Exit::Usage, message)
            });
            Ok(Box::new(opened?))
        }
        _ => Ok(Box::new(io::stdin().lock())),
    }
}
