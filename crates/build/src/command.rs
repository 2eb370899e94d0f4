//! The manifest's own build command. Knows nothing of cargo.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use everwarm_manifest::FunctionName;
use tokio::process::Command;

use crate::event::Event;
use crate::process::{self, ProcessError};

/// The longest that the command may run.
const COMMAND_TIME_MAX: Duration = Duration::from_hours(1);

/// Why the command brought nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It couldn't be run to its end.
    #[error("couldn't run `command` of [build]: {source}")]
    Process {
        /// Why.
        #[from]
        source: ProcessError,
    },
    /// It said no.
    #[error("the build command `{command}` failed ({status}): its messages above say why")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It replaces cargo, and the manifest doesn't say where the component is.
    #[error(
        "function `{function}` has no `component`: `command` of [build] replaces cargo, so say which file it makes, as in `component = \"dist/app.wasm\"`"
    )]
    NoComponentPath {
        /// The function.
        function: FunctionName,
    },
}

impl CommandError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Process { .. } | Self::Failed { .. } => "EW2009",
            Self::NoComponentPath { .. } => "EW2011",
        }
    }
}

/// Runs the command through `sh -c` in the app's folder.
pub(crate) async fn run(
    folder: &Path,
    app: &str,
    line: &str,
    events: &mut (dyn FnMut(Event) + Send),
) -> Result<(), CommandError> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).current_dir(folder);
    events(Event::Started {
        what: app.to_owned(),
        world: None,
        command: line.to_owned(),
    });
    let status = process::run(command, COMMAND_TIME_MAX, |_, line| {
        events(Event::Line(line.to_owned()));
    })
    .await?;
    if status.success() {
        return Ok(());
    }
    Err(CommandError::Failed {
        command: line.to_owned(),
        status,
    })
}
