//! What functions say, line by line: on standard streams and by `wasi:logging`.
//!
//! Owns the bounds on it, for all functions of an app together: an app can't fill the log faster than
//! [`BYTES_PER_WINDOW_MAX`] allows. Where lines are kept is behind [`GuestOutput`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use everwarm_engine::RequestId;
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::{AppName, TenantId};
use parking_lot::Mutex;

use crate::shares::{Shares, shared};

/// Bytes of one line; a longer one is cut.
pub(crate) const LINE_BYTES_MAX: usize = 8 << 10;
/// Bytes that the functions of one app may say in each [`WINDOW`]; the rest is dropped and counted.
const BYTES_PER_WINDOW_MAX: usize = 1 << 20;
/// See [`BYTES_PER_WINDOW_MAX`].
const WINDOW: Duration = Duration::from_secs(1);
/// What a line costs besides its bytes: empty ones aren't free.
const LINE_OVERHEAD: usize = 64;

/// Takes what guests say, line by line. Called on data-plane threads, so it must neither block nor wait.
pub trait GuestOutput: Send + Sync + 'static {
    /// Takes a line of a function.
    fn line(&self, function: &Arc<FunctionSpec>, line: GuestLine<'_>);

    /// Takes what the node says of a function: what it asked for in vain, for instance.
    fn notice(&self, function: &Arc<FunctionSpec>, text: &str);
}

/// A line that a function said.
#[derive(Debug, Clone)]
pub struct GuestLine<'l> {
    /// By which way.
    pub way: SaidBy<'l>,
    /// For which request; `None` where an instance works on several.
    pub request: Option<RequestId>,
    /// The line.
    pub text: &'l str,
}

/// The ways by which a function says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaidBy<'l> {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// `wasi:logging`.
    Log {
        /// How much it matters.
        level: Level,
        /// What belongs together.
        context: &'l str,
    },
}

/// How much a message matters, by `wasi:logging`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Values of variables, the flow of control.
    Trace,
    /// For somebody who looks for a mistake.
    Debug,
    /// For somebody who watches.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something went wrong.
    Error,
    /// Nothing can go on.
    Critical,
}

impl Level {
    /// All of them, from the least to the most.
    pub const ALL: [Self; 6] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
        Self::Critical,
    ];

    /// The interface's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl SaidBy<'_> {
    /// Its name.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log { .. } => "log",
        }
    }
}

/// What all functions of a node say.
pub(crate) struct Output {
    to: Option<Arc<dyn GuestOutput>>,
    apps: Mutex<Shares<(TenantId, AppName), Budget>>,
}

impl Output {
    /// Lines go to the log, and to `to`.
    pub(crate) fn new(to: Option<Arc<dyn GuestOutput>>) -> Arc<Self> {
        Arc::new(Self {
            to,
            apps: Mutex::default(),
        })
    }

    /// The voice of one function.
    pub(crate) fn voice(&self, function: &Arc<FunctionSpec>) -> Arc<Voice> {
        let app = (function.tenant.clone(), function.app.clone());
        Arc::new(Voice {
            function: Arc::clone(function),
            to: self.to.clone(),
            budget: shared(&self.apps, app, Budget::default),
        })
    }
}

/// What one function says.
pub(crate) struct Voice {
    function: Arc<FunctionSpec>,
    to: Option<Arc<dyn GuestOutput>>,
    budget: Arc<Budget>,
}

impl Voice {
    /// Says a line, if the app may say more.
    pub(crate) fn say(&self, way: SaidBy<'_>, request: Option<RequestId>, text: &str) {
        let text = text.trim_end_matches(['\n', '\r']);
        let context = match way {
            SaidBy::Log { context, .. } => context.len(),
            SaidBy::Stdout | SaidBy::Stderr => 0,
        };
        let bytes = text.len() + context + LINE_OVERHEAD;
        let admitted = self.budget.0.lock().admit(Instant::now(), bytes);
        if admitted.dropped_before > 0 {
            let lines = admitted.dropped_before;
            self.notice(&format!(
                "{lines} lines were dropped: the app said too much in a second"
            ));
        }
        if admitted.begins_to_drop {
            self.notice(
                "lines are dropped until the second is over: the functions of the app say more than 1 MiB in it",
            );
        }
        if !admitted.is_in {
            return;
        }
        let (spec, stream) = (&self.function, way.as_str());
        let id = request.as_ref().map(tracing::field::display);
        match way {
            SaidBy::Stdout | SaidBy::Stderr => tracing::info!(
                target: "everwarm::guest",
                app = %spec.app,
                function = %spec.name,
                request_id = id,
                stream,
                line = text,
            ),
            SaidBy::Log { level, context } => tracing::info!(
                target: "everwarm::guest",
                app = %spec.app,
                function = %spec.name,
                request_id = id,
                stream,
                severity = level.as_str(),
                context,
                line = text,
            ),
        }
        if let Some(to) = &self.to {
            to.line(spec, GuestLine { way, request, text });
        }
    }

    fn notice(&self, text: &str) {
        let spec = &self.function;
        tracing::warn!(
            target: "everwarm::guest",
            app = %spec.app,
            function = %spec.name,
            "{text}"
        );
        if let Some(to) = &self.to {
            to.notice(spec, text);
        }
    }
}

/// How much the functions of an app may still say.
#[derive(Default)]
pub(crate) struct Budget(Mutex<Window>);

#[derive(Default)]
struct Window {
    started: Option<Instant>,
    bytes: usize,
    dropped: u64,
}

/// What came of a line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Admitted {
    is_in: bool,
    /// It is the first that isn't, in this window.
    begins_to_drop: bool,
    /// Lines that weren't in the window before.
    dropped_before: u64,
}

impl Window {
    fn admit(&mut self, now: Instant, bytes: usize) -> Admitted {
        let mut admitted = Admitted::default();
        if self.started.is_none_or(|started| now - started >= WINDOW) {
            admitted.dropped_before = std::mem::take(&mut self.dropped);
            self.started = Some(now);
            self.bytes = 0;
        }
        admitted.is_in = self.bytes + bytes <= BYTES_PER_WINDOW_MAX;
        if admitted.is_in {
            self.bytes += bytes;
        } else {
            // A shorter line that would still fit isn't let in either: what is there is the beginning.
            self.bytes = BYTES_PER_WINDOW_MAX;
            admitted.begins_to_drop = self.dropped == 0;
            self.dropped += 1;
        }
        admitted
    }
}

/// The beginning of a text, so many bytes long at most.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_says_so_much_in_a_window_and_what_was_dropped_is_counted() {
        let now = Instant::now();
        let mut window = Window::default();
        let line = BYTES_PER_WINDOW_MAX / 4;
        let admitted: Vec<_> = (0..6).map(|_| window.admit(now, line)).collect();
        let is_in = admitted.iter().filter(|admitted| admitted.is_in).count();
        assert_eq!(is_in, 4);
        assert!(admitted[4].begins_to_drop && !admitted[5].begins_to_drop);
        assert!(!window.admit(now, 1).is_in);
        let later = window.admit(now + WINDOW, line);
        assert_eq!((later.is_in, later.dropped_before), (true, 3));
        assert_eq!(window.admit(now + WINDOW, line).dropped_before, 0);
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("caf\u{e9}", 4), "caf");
        assert_eq!(cut("caf\u{e9}", 5), "caf\u{e9}");
        assert_eq!(cut("", 5), "");
    }
}
