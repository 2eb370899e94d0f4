//! What functions printed, and the access lines of their requests, by app: the last of it, in memory.
//!
//! Owns the bounds on it and how it is read on from where one was. A line is named by a number that counts up within its
//! app, so that a reader who is too slow hears how many it has missed. Where lines are kept for longer is another's
//! business: it would read from here.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use everwarm_edge::meter::{Answerer, RequestId};
use everwarm_engine::function::FunctionSpec;
use everwarm_host::{GuestLine, GuestOutput, Level, SaidBy};
use everwarm_manifest::{AppName, FunctionName, TenantId};
use everwarm_store::catalog::UnixMillis;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Lines of one app that are kept.
const LINES_MAX: usize = 2_000;
/// Bytes of one app's lines that are kept.
const BYTES_MAX: usize = 512 << 10;
/// Bytes of all lines. Beyond them the app is forgotten that wrote nothing for the longest time.
const BYTES_OF_ALL_MAX: usize = 64 << 20;
/// Bytes of one line; a longer one is cut.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Bytes that a line takes besides its text.
const LINE_OVERHEAD: usize = size_of::<Line>();
/// Numbers of lines begin at the time of the first, so that they go up over restarts too: an app that writes less than
/// so many lines a millisecond doesn't overtake it.
const NUMBERS_PER_MS: u64 = 1_000;

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The function's standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// `wasi:logging`.
    Log,
    /// What the node says of the function.
    Node,
    /// A request that is over.
    Access,
}

impl Source {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log => "log",
            Self::Node => "node",
            Self::Access => "access",
        }
    }
}

/// A line.
#[derive(Debug, Clone)]
pub struct Line {
    /// When it was written.
    pub at: UnixMillis,
    /// Where it comes from.
    pub source: Source,
    /// The function of a version that it is about.
    pub function: FunctionName,
    /// The version.
    pub version: Arc<str>,
    /// The request that it was written for, where that is known and not in the line itself.
    pub request: Option<RequestId>,
    /// What a function says of a line by `wasi:logging`.
    pub log: Option<Logged>,
    /// The line.
    pub text: Box<str>,
}

/// What a function says of a line.
#[derive(Debug, Clone)]
pub struct Logged {
    /// How much it matters.
    pub level: Level,
    /// What belongs together.
    pub context: Box<str>,
}

/// Which lines are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those after the line with this number.
    pub after: Option<u64>,
    /// So many at most.
    pub limit: usize,
    /// Of this version, or those whose digest begins so.
    pub version: Option<String>,
    /// Of this function.
    pub function: Option<String>,
    /// From this time on.
    pub since: Option<UnixMillis>,
}

/// What is there of it.
#[derive(Debug, Default)]
pub struct Found {
    /// The lines.
    pub lines: Vec<Line>,
    /// The number of the last line that was looked at.
    pub next: Option<u64>,
    /// Lines between `after` and the first one that is kept.
    pub missed: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct LogBook {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    apps: HashMap<(TenantId, AppName), Ring>,
    bytes: usize,
}

#[derive(Debug)]
struct Ring {
    lines: VecDeque<Line>,
    bytes: usize,
    /// The number of the first line that there ever was, and of the next.
    first: u64,
    next: u64,
}

impl Default for LogBook {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl LogBook {
    /// Adds lines of one kind, each with what it is about.
    pub fn add<'l>(&self, source: Source, lines: impl Iterator<Item = (&'l Answerer, &'l str)>) {
        let at = UnixMillis::now();
        let mut added = false;
        for (answerer, text) in lines {
            // Locked for each alone: a batch is long, and functions print meanwhile.
            let line = Line::new(at, source, answerer, text);
            self.state.lock().add(answerer, line);
            added = true;
        }
        if added {
            self.changed.send_replace(());
        }
    }

    /// Wakes whoever waits, to see that the node ends.
    pub fn wake(&self) {
        self.changed.send_replace(());
    }

    /// Tells of every change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The oldest lines of an app that are asked for; without `after` the newest.
    pub fn find(&self, tenant: &TenantId, app: &AppName, filter: &Filter) -> Found {
        let state = self.state.lock();
        let Some(ring) = state.apps.get(&(tenant.clone(), app.clone())) else {
            return Found {
                next: filter.after,
                ..Found::default()
            };
        };
        ring.find(filter)
    }

    /// Forgets an app that is gone.
    pub fn forget(&self, tenant: &TenantId, app: &AppName) {
        let mut state = self.state.lock();
        if let Some(ring) = state.apps.remove(&(tenant.clone(), app.clone())) {
            state.bytes -= ring.bytes;
        }
    }
}

impl GuestOutput for LogBook {
    fn line(&self, function: &Arc<FunctionSpec>, said: GuestLine<'_>) {
        let (source, log) = match said.way {
            SaidBy::Stdout => (Source::Stdout, None),
            SaidBy::Stderr => (Source::Stderr, None),
            SaidBy::Log { level, context } => {
                let context = context.into();
                (Source::Log, Some(Logged { level, context }))
            }
        };
        let answerer = Answerer::Function(Arc::clone(function));
        let line = Line {
            request: said.request,
            log,
            ..Line::new(UnixMillis::now(), source, &answerer, said.text)
        };
        self.state.lock().add(&answerer, line);
        self.changed.send_replace(());
    }

    fn notice(&self, function: &Arc<FunctionSpec>, text: &str) {
        let answerer = Answerer::Function(Arc::clone(function));
        self.add(Source::Node, std::iter::once((&answerer, text)));
    }
}

impl State {
    fn add(&mut self, answerer: &Answerer, line: Line) {
        let key = (answerer.tenant().clone(), answerer.app().clone());
        let ring = self.apps.entry(key).or_insert_with(|| {
            let first = line.at.0.saturating_mul(NUMBERS_PER_MS);
            Ring {
                lines: VecDeque::new(),
                bytes: 0,
                first,
                next: first,
            }
        });
        let before = ring.bytes;
        ring.add(line);
        self.bytes = self.bytes - before + ring.bytes;
        while self.bytes > BYTES_OF_ALL_MAX {
            let idle = self
                .apps
                .iter()
                .min_by_key(|(_, ring)| ring.lines.back().map(|line| line.at));
            let Some(key) = idle.map(|(key, _)| key.clone()) else {
                break;
            };
            if let Some(ring) = self.apps.remove(&key) {
                self.bytes -= ring.bytes;
            }
        }
    }
}

impl Ring {
    fn add(&mut self, line: Line) {
        self.bytes += line.bytes();
        self.lines.push_back(line);
        self.next += 1;
        while self.lines.len() > LINES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
        }
    }

    fn find(&self, filter: &Filter) -> Found {
        let oldest = self.next - self.lines.len() as u64;
        let numbered = (oldest..).zip(&self.lines);
        let wanted = numbered.filter(|(_, line)| line.is_of(filter));
        let Some(after) = filter.after else {
            let all: Vec<&Line> = wanted.map(|(_, line)| line).collect();
            let newest = all.iter().skip(all.len().saturating_sub(filter.limit));
            return Found {
                lines: newest.copied().cloned().collect(),
                next: Some(self.next - 1),
                missed: 0,
            };
        };
        let mut lines = Vec::new();
        let mut next = self.next - 1;
        for (number, line) in wanted.filter(|(number, _)| *number > after) {
            if lines.len() == filter.limit {
                break;
            }
            lines.push(line.clone());
            next = number;
        }
        if lines.len() < filter.limit {
            next = self.next - 1;
        }
        // A number of before this process began, or of an app that was forgotten, tells of nothing missed here.
        let missed = if after < self.first {
            0
        } else {
            oldest.saturating_sub(after.saturating_add(1))
        };
        Found {
            lines,
            next: Some(next.max(after)),
            missed,
        }
    }
}

impl Line {
    fn new(at: UnixMillis, source: Source, answerer: &Answerer, text: &str) -> Self {
        Self {
            at,
            source,
            function: answerer.name().clone(),
            version: Arc::clone(answerer.version()),
            request: None,
            log: None,
            text: cut(text).into(),
        }
    }

    fn bytes(&self) -> usize {
        let context = self.log.as_ref().map_or(0, |log| log.context.len());
        self.text.len() + context + LINE_OVERHEAD
    }

    fn is_of(&self, filter: &Filter) -> bool {
        let digits = |text: &str| text.trim_start_matches("sha256:").to_owned();
        filter.since.is_none_or(|since| self.at.0 >= since.0)
            && filter
                .function
                .as_ref()
                .is_none_or(|name| self.function.as_str() == name)
            && filter
                .version
                .as_ref()
                .is_none_or(|version| digits(&self.version).starts_with(&digits(version)))
    }
}

fn cut(text: &str) -> &str {
    let text = text.trim_end_matches(['\n', '\r']);
    let mut end = text.len().min(LINE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line {
            at: UnixMillis(1),
            source: Source::Stdout,
            function: FunctionName::new("f").expect("it is a name"),
            version: "sha256:abc".into(),
            request: None,
            log: None,
            text: text.into(),
        }
    }

    fn ring(lines: usize) -> Ring {
        let mut ring = Ring {
            lines: VecDeque::new(),
            bytes: 0,
            first: 1_000,
            next: 1_000,
        };
        for number in 0..lines {
            ring.add(line(&number.to_string()));
        }
        ring
    }

    fn texts(found: &Found) -> Vec<&str> {
        found.lines.iter().map(|line| &*line.text).collect()
    }

    #[test]
    fn reader_goes_on_where_it_was_and_hears_what_it_missed() {
        let filter = |after| Filter {
            after,
            limit: 2,
            ..Filter::default()
        };
        let small = ring(5);
        assert_eq!(texts(&small.find(&filter(None))), ["3", "4"]);
        let found = small.find(&filter(Some(1_000)));
        assert_eq!(
            (texts(&found), found.next, found.missed),
            (vec!["1", "2"], Some(1_002), 0)
        );
        let found = small.find(&filter(Some(1_004)));
        assert_eq!(
            (texts(&found), found.next, found.missed),
            (vec![], Some(1_004), 0)
        );
        let large = ring(LINES_MAX + 10);
        let found = large.find(&filter(Some(1_003)));
        assert_eq!((texts(&found), found.missed), (vec!["10", "11"], 6));
        // A number of an earlier process.
        let found = large.find(&filter(Some(7)));
        assert_eq!((texts(&found), found.missed), (vec!["10", "11"], 0));
    }

    #[test]
    fn lines_of_an_app_are_bounded_in_number_and_bytes() {
        let mut full = ring(2 * LINES_MAX);
        assert_eq!(full.lines.len(), LINES_MAX);
        for _ in 0..100 {
            full.add(line(&"x".repeat(LINE_BYTES_MAX)));
        }
        assert!(full.bytes <= BYTES_MAX);
        assert_eq!(
            full.bytes,
            full.lines.iter().map(Line::bytes).sum::<usize>()
        );
    }

    #[test]
    fn long_line_is_cut_between_characters() {
        let text = "\u{e9}".repeat(LINE_BYTES_MAX);
        assert!(cut(&format!("x{text}")).len() < LINE_BYTES_MAX);
        assert_eq!(cut("line\r\n"), "line");
    }
}
