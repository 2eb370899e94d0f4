//! Everything that is shown: data on standard output (for people or as JSON), notes, progress and
//! failures on standard error. Decides nothing.

use std::io::{Write, stderr, stdout};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use console::{StyledObject, style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::settings::Output;

/// What takes longer than this shows that it is going on.
const QUIET_TIME_MAX: Duration = Duration::from_secs(1);
/// How often the moving part moves.
const TICK: Duration = Duration::from_millis(100);
/// Where the pages of the error codes are.
const ERRORS_URL: &str = "https://everwarm.dev/errors";

/// Shows things as [`Output`] says.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    output: Output,
    line: Arc<Mutex<ProgressLine>>,
}

/// The progress line. One stage at a time has it.
#[derive(Debug, Default)]
struct ProgressLine {
    /// The number of the stage that goes on.
    stage: Option<u64>,
    stages: u64,
    /// Its line, once it is on the screen.
    bar: Option<ProgressBar>,
}

impl ProgressLine {
    fn clear(&mut self) {
        self.stage = None;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Something that goes on until this is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    number: u64,
    printer: Printer,
    appearing: tokio::task::JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.appearing.abort();
        let mut line = self.printer.line();
        if line.stage == Some(self.number) {
            line.clear();
        }
    }
}

impl Printer {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            line: Arc::default(),
        }
    }

    fn line(&self) -> MutexGuard<'_, ProgressLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn output(&self) -> Output {
        self.output
    }

    /// What a verb is for: as JSON, or as `human` writes it.
    pub(crate) fn data(&self, value: &impl Serialize, human: impl FnOnce() -> String) {
        if self.output.json {
            self.json(value);
        } else {
            self.stdout(human().as_bytes());
        }
    }

    /// One line of JSON, if JSON was asked for.
    pub(crate) fn event(&self, value: &impl Serialize) {
        if self.output.json {
            self.json(value);
        }
    }

    /// A line for people on standard output, unless JSON was asked for.
    pub(crate) fn say(&self, text: &str) {
        if !self.output.json {
            self.stdout(format!("{text}\n").as_bytes());
        }
    }

    fn json(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(line) => self.stdout(format!("{line}\n").as_bytes()),
            Err(error) => self.note(&format!("couldn't write JSON: {error}")),
        }
    }

    /// Bytes as they are. A reader that has gone away is no failure.
    pub(crate) fn stdout(&self, bytes: &[u8]) {
        self.aside(|| {
            let mut stdout = stdout().lock();
            let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
        });
    }

    /// A line on standard error, above the progress line.
    pub(crate) fn note(&self, line: &str) {
        self.aside(|| {
            let _ = writeln!(stderr().lock(), "{line}");
        });
    }

    fn aside(&self, print: impl FnOnce()) {
        match self.line().bar.as_ref() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Says what goes on, if it takes longer than a second. Needs a tokio runtime.
    pub(crate) fn stage(&self, what: &str) -> Stage {
        let number = {
            let mut line = self.line();
            line.clear();
            line.stages += 1;
            line.stage = Some(line.stages);
            line.stages
        };
        let printer = self.clone();
        let what = what.to_owned();
        let appearing = tokio::spawn(async move {
            tokio::time::sleep(QUIET_TIME_MAX).await;
            printer.appear(number, what);
        });
        Stage {
            number,
            printer: self.clone(),
            appearing,
        }
    }

    fn appear(&self, number: u64, what: String) {
        let mut line = self.line();
        if line.stage != Some(number) {
            return;
        }
        if !self.output.animated {
            let _ = writeln!(stderr().lock(), "{what} ...");
            return;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
            .with_elapsed(QUIET_TIME_MAX);
        if let Ok(spinner) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(spinner);
        }
        bar.set_message(what);
        bar.enable_steady_tick(TICK);
        line.bar = Some(bar);
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        if self.output.json {
            self.json(&json!({ "error": failure_as_json(failure) }));
        }
        self.explain(failure);
    }

    /// A failure for people.
    pub(crate) fn explain(&self, failure: &Failure) {
        // Each mistake of a manifest has its code beside it.
        let code = failure
            .code
            .as_deref()
            .filter(|_| failure.mistakes.is_none());
        let title = code.map_or("error".to_owned(), |code| format!("error[{code}]"));
        self.note(&format!(
            "{}: {}",
            self.err(title).red().bold(),
            failure.message
        ));
        if let Some(code) = code {
            self.note(&format!("   = see {ERRORS_URL}/{code}"));
        }
    }

    /// Text for standard output, to be styled.
    pub(crate) fn out<T>(&self, text: T) -> StyledObject<T> {
        style(text).force_styling(self.output.color_stdout)
    }

    /// Text for standard error, to be styled.
    pub(crate) fn err<T>(&self, text: T) -> StyledObject<T> {
        style(text).force_styling(self.output.color_stderr)
    }
}

/// A failure as JSON has it, in `build`'s answer as in an event of `up`.
pub(crate) fn failure_as_json(failure: &Failure) -> Value {
    let mut value = json!({ "message": failure.message });
    if let Some(code) = failure.code.as_deref() {
        value["code"] = json!(code);
        value["page"] = json!(format!("{ERRORS_URL}/{code}"));
    }
    if let Some(output) = &failure.output {
        value["output"] = json!(console::strip_ansi_codes(output));
    }
    if let Some(mistakes) = &failure.mistakes {
        value["mistakes"] = json!(mistakes.diagnostics());
    }
    value
}

/// A size as people read it, in units of 1024.
pub(crate) fn size(bytes: usize) -> String {
    indicatif::BinaryBytes(bytes as u64).to_string()
}

/// A duration as people read it.
pub(crate) fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1e-3 {
        format!("{:.0} us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

/// A duration as JSON has it: milliseconds, with three digits for what is faster.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn durations_and_sizes_are_read_by_people() {
        assert_eq!(elapsed(Duration::from_micros(12)), "12 us");
        assert_eq!(elapsed(Duration::from_micros(1_230)), "1.2 ms");
        assert_eq!(elapsed(Duration::from_millis(2_340)), "2.3 s");
        assert_eq!(size(322 << 10), "322.00 KiB");
    }

    #[test]
    fn failure_in_json_has_its_page_and_no_colours() {
        let mut failure = Failure::new(Exit::Build, "EW2009", "no");
        failure.output = Some("\u{1b}[31merror\u{1b}[0m: x".to_owned());
        let value = failure_as_json(&failure);
        assert_eq!(value["page"], "https://everwarm.dev/errors/EW2009");
        assert_eq!(value["output"], "error: x");
    }
}
