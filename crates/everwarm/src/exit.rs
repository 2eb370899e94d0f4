//! How a run ends: the documented exit codes, and a failure as it is told. Every library's error
//! becomes a [`Failure`] here; how it looks is `printer`'s.

use std::borrow::Cow;
use std::error::Error;
use std::process::ExitCode;

use everwarm_api::client::ClientError;
use everwarm_build::{AssetsError, BuildError, ProjectError};
use everwarm_manifest::ManifestErrors;
use everwarm_node::backup::RestoreError;

/// The exit codes. `docs/cli.md` lists them; scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Success = 0,
    /// Anything that has no code of its own.
    Failure = 1,
    /// Wrong flags or arguments; clap's code too.
    Usage = 2,
    /// There is no manifest, or it has mistakes.
    Manifest = 3,
    /// The components couldn't be built.
    Build = 4,
    /// The node couldn't start, take the app or listen.
    Node = 5,
    /// `invoke`: the function's answer was a 5xx.
    Answer = 6,
    /// Interrupted, as shells have it for SIGINT.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb didn't do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// The stable code, with a page in `docs/errors/`.
    pub(crate) code: Option<Cow<'static, str>>,
    /// What happened, where, and what to do.
    pub(crate) message: String,
    /// What a compiler wrote; it was shown already, so only JSON has it.
    pub(crate) output: Option<String>,
    /// All mistakes of a manifest.
    pub(crate) mistakes: Option<ManifestErrors>,
}

impl Failure {
    pub(crate) fn new(
        exit: Exit,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: Some(code.into()),
            ..Self::uncoded(exit, message)
        }
    }

    /// For what is the command line's own, or the machine's.
    pub(crate) fn uncoded(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: None,
            message: message.into(),
            output: None,
            mistakes: None,
        }
    }
}

/// An error with its causes in one text, without saying anything twice.
pub(crate) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        Self::new(Exit::Node, error.code(), told(&error))
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        let code = error.code();
        match error {
            ProjectError::Invalid(mistakes) => {
                let count = match mistakes.count() {
                    1 => "a mistake".to_owned(),
                    count => format!("{count} mistakes"),
                };
                let message = format!("the manifest has {count}\n{mistakes}");
                Self {
                    mistakes: Some(mistakes),
                    ..Self::new(Exit::Manifest, code, message)
                }
            }
            error => Self::new(Exit::Manifest, code, told(&error)),
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let mut failure = Self::new(Exit::Build, error.code(), told(&error));
        failure.output = error.output().map(str::to_owned);
        failure
    }
}

impl From<AssetsError> for Failure {
    fn from(error: AssetsError) -> Self {
        Self::new(Exit::Build, error.code(), told(&error))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Address(_) | ClientError::Header(_) | ClientError::Authority(_) => {
                Exit::Usage
            }
            ClientError::Problem(_)
            | ClientError::Untrusted { .. }
            | ClientError::Unreachable { .. }
            | ClientError::Strange { .. } => Exit::Node,
        };
        let code = error.code().to_owned();
        let message = match &error {
            ClientError::Problem(problem) => match &problem.stage {
                Some(stage) => format!("the deploy failed at `{stage}`: {}", problem.detail),
                None => problem.detail.clone(),
            },
            other => told(other),
        };
        Self::new(exit, code, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_told_once_each() {
        let inner = std::io::Error::other("inner");
        assert_eq!(told(&Outer(inner)), "outer: inner");
        assert_eq!(told(&std::io::Error::other("alone")), "alone");
    }
}
