//! Where the node's logs and access events are shown: on standard error, above the progress line.
//! What is in them is the node's.

use std::io::{self, Write};
use std::sync::Arc;

use everwarm_node::telemetry::{AccessFormat, AccessLogger};
use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// What is logged unless somebody asks for more: every request has its access line anyway.
const FILTER_DEFAULT: &str = "warn,everwarm::guest=info";

/// Sends logs to the printer.
///
/// # Errors
/// When the filter can't be read.
pub(crate) fn start_logs(filter: Option<&str>, printer: &Printer) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter.unwrap_or(FILTER_DEFAULT)).map_err(|error| {
        Failure::uncoded(
            Exit::Usage,
            format!(
                "`--log` isn't a filter: {error}; write a level, as in `info`, or `target=level`"
            ),
        )
    })?;
    let writer = printer.clone();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Lines::new(writer.clone()))
        .with_ansi(printer.output().color_stderr);
    let started = if printer.output().json {
        logs.json().try_init()
    } else {
        logs.with_target(false).try_init()
    };
    started.map_err(|error| {
        Failure::uncoded(Exit::Failure, format!("couldn't start the logs: {error}"))
    })
}

/// Writes an access line for each request.
///
/// # Errors
/// When the operating system refuses a thread.
pub(crate) fn access_log(printer: &Printer) -> Result<Arc<AccessLogger>, Failure> {
    let format = if printer.output().json {
        AccessFormat::Json
    } else {
        AccessFormat::Pretty
    };
    AccessLogger::start(format, Box::new(Lines::new(printer.clone())))
        .map(Arc::new)
        .map_err(|error| {
            Failure::uncoded(Exit::Failure, format!("couldn't start a thread: {error}"))
        })
}

/// Hands whole lines to the printer.
struct Lines {
    printer: Printer,
    line: Vec<u8>,
}

impl Lines {
    fn new(printer: Printer) -> Self {
        Self {
            printer,
            line: Vec::new(),
        }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let lines = std::mem::replace(&mut self.line, rest);
            self.printer
                .note(String::from_utf8_lossy(&lines[..end]).as_ref());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.printer.note(&String::from_utf8_lossy(&self.line));
        }
    }
}
