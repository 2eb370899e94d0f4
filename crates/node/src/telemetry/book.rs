//! What functions printed, and the access lines of their requests, by app: the last of it, in memory.
//!
//! Owns the bounds on it and how it is read on from where one was. A line is named by a number that counts up within its
//! app, so that a reader who is too slow hears how many it has missed. Where lines are kept for longer is another's
//! business (`shelf`): it reads from here.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use everwarm_edge::meter::Answerer;
use everwarm_engine::function::FunctionSpec;
use everwarm_host::{GuestLine, GuestOutput, SaidBy};
use everwarm_manifest::{AppName, TenantId};
use everwarm_store::catalog::UnixMillis;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::line::{Filter, Line, Logged, Request, Source};

/// Lines of one app that are kept.
const LINES_MAX: usize = 2_000;
/// Bytes of one app's lines that are kept.
const BYTES_MAX: usize = 512 << 10;
/// Bytes of all lines. Beyond them the app is forgotten that wrote nothing for the longest time.
const BYTES_OF_ALL_MAX: usize = 64 << 20;
/// Numbers of lines begin at the time of the first, so that they go up over restarts too: an app that writes less than
/// so many lines a millisecond doesn't overtake it.
const NUMBERS_PER_MS: u64 = 1_000;

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
    apps: HashMap<Key, Ring>,
    bytes: usize,
}

#[derive(Debug)]
struct Ring {
    /// Each with its number.
    lines: VecDeque<(u64, Line)>,
    bytes: usize,
    /// The number of the first line that this process had, of the first that wasn't put out for others, and of the next.
    first: u64,
    there: u64,
    next: u64,
}

/// Whose lines they are.
pub(super) type Key = (TenantId, AppName);

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

    /// Whether there is anything of an app.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.state.lock().apps.contains_key(key)
    }

    /// The lines of this process that are newer than those `until` which an app's were asked for before.
    pub(super) fn fresh(&self, until: &mut HashMap<Key, u64>) -> Vec<(Key, Vec<(u64, Line)>)> {
        let changed: Vec<Key> = {
            let state = self.state.lock();
            until.retain(|key, _| state.apps.contains_key(key));
            let changed = state.apps.iter();
            let changed =
                changed.filter(|(key, ring)| ring.next > until.get(*key).copied().unwrap_or(0));
            changed.map(|(key, _)| key.clone()).collect()
        };
        let mut fresh = Vec::with_capacity(changed.len());
        for key in changed {
            // Locked for each alone: functions print meanwhile.
            let state = self.state.lock();
            let Some(ring) = state.apps.get(&key) else {
                continue;
            };
            let from = until.insert(key.clone(), ring.next).unwrap_or(0);
            let from = from.max(ring.first);
            let newest = ring.lines.iter().rev();
            let newest = newest.take_while(|(number, _)| *number >= from);
            let mut lines: Vec<_> = newest.cloned().collect();
            drop(state);
            lines.reverse();
            fresh.push((key, lines));
        }
        fresh
    }

    /// Adds what a process before has left, the oldest line first, as far as there is room beside what is there.
    pub(super) fn recall(&self, key: &Key, lines: Vec<(u64, Line)>) {
        let Some(last) = lines.last().map(|(number, _)| *number) else {
            return;
        };
        let mut state = self.state.lock();
        let state = &mut *state;
        let ring = state.apps.entry(key.clone()).or_insert_with(|| {
            let now = UnixMillis::now().0.saturating_mul(NUMBERS_PER_MS);
            Ring::starting_at(now.max(last.saturating_add(1)))
        });
        let before = ring.bytes;
        ring.recall(lines);
        state.bytes = state.bytes - before + ring.bytes;
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
            request: said.request.map(Request::Of),
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
        let ring = self
            .apps
            .entry(key)
            .or_insert_with(|| Ring::starting_at(line.at.0.saturating_mul(NUMBERS_PER_MS)));
        let before = ring.bytes;
        ring.add(line);
        self.bytes = self.bytes - before + ring.bytes;
        while self.bytes > BYTES_OF_ALL_MAX {
            let idle = self
                .apps
                .iter()
                .min_by_key(|(_, ring)| ring.lines.back().map(|(_, line)| line.at));
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
    fn starting_at(first: u64) -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            first,
            there: first,
            next: first,
        }
    }

    fn add(&mut self, line: Line) {
        self.bytes += line.bytes();
        self.lines.push_back((self.next, line));
        self.next += 1;
        while self.lines.len() > LINES_MAX || self.bytes > BYTES_MAX {
            let Some((number, oldest)) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
            self.there = self.there.max(number + 1);
        }
    }

    fn recall(&mut self, lines: Vec<(u64, Line)>) {
        let oldest = self.lines.front().map_or(self.first, |(number, _)| *number);
        let older = lines.into_iter().rev();
        for (number, line) in older.filter(|(number, _)| *number < oldest) {
            let bytes = self.bytes + line.bytes();
            if self.lines.len() >= LINES_MAX || bytes > BYTES_MAX {
                break;
            }
            self.bytes = bytes;
            self.lines.push_front((number, line));
        }
    }

    fn find(&self, filter: &Filter) -> Found {
        let numbered = self.lines.iter();
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
            next = *number;
        }
        if lines.len() < filter.limit {
            next = self.next - 1;
        }
        // A number of before this process began, or of an app that was forgotten, tells of nothing missed here.
        let missed = if after < self.first {
            0
        } else {
            self.there.saturating_sub(after.saturating_add(1))
        };
        Found {
            lines,
            next: Some(next.max(after)),
            missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use everwarm_manifest::FunctionName;

    use super::super::line::LINE_BYTES_MAX;
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
        let mut ring = Ring::starting_at(1_000);
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
    fn lines_of_before_are_read_first_and_are_the_first_to_go() {
        let mut ring = ring(3);
        let before = (10..15).map(|number| (number, line("before"))).collect();
        ring.recall(before);
        let after = |after| Filter {
            after: Some(after),
            limit: 100,
            ..Filter::default()
        };
        let found = ring.find(&after(12));
        assert_eq!(texts(&found), ["before", "before", "0", "1", "2"]);
        assert_eq!((found.next, found.missed), (Some(1_002), 0));
        // A second time they are there already.
        ring.recall((10..15).map(|number| (number, line("before"))).collect());
        assert_eq!(ring.lines.len(), 8);
        for _ in 0..LINES_MAX - 3 {
            ring.add(line("more"));
        }
        assert_eq!(ring.find(&after(1_000)).missed, 0);
        assert_eq!(ring.find(&after(0)).lines.len(), 100);
        ring.add(line("one more"));
        ring.add(line("another"));
        assert_eq!(ring.find(&after(1_000)).missed, 1);
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
            full.lines
                .iter()
                .map(|(_, line)| line.bytes())
                .sum::<usize>()
        );
    }
}
