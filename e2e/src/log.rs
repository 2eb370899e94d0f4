//! What a process writes, line by line, for tests to wait on.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::deadline::DEADLINE;

/// Lines that a failed test shows of a stream, the last ones.
const LINES_SHOWN_MAX: usize = 30;

/// The lines of one stream of a process.
#[derive(Debug, Clone)]
pub struct Log {
    name: &'static str,
    lines: Arc<Mutex<Vec<String>>>,
    changed: watch::Receiver<()>,
    patience: Duration,
}

impl Log {
    /// Reads a stream to its end, on a thread that ends with it.
    pub(crate) fn read(name: &'static str, stream: impl Read + Send + 'static) -> Self {
        let (change, changed) = watch::channel(());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = Self {
            name,
            lines: Arc::clone(&lines),
            changed,
            patience: DEADLINE,
        };
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                locked(&lines).push(text);
                change.send_replace(());
                line.clear();
            }
        });
        log
    }

    /// The same log, for waits that last as long as this.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Self {
        Self {
            patience,
            ..self.clone()
        }
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        locked(&self.lines).clone()
    }

    /// All lines so far that are JSON.
    pub fn json(&self) -> Vec<Value> {
        let lines = self.lines();
        lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Whether any line so far has this in it.
    pub fn contains(&self, text: &str) -> bool {
        locked(&self.lines).iter().any(|line| line.contains(text))
    }

    /// Waits until `pick` finds something in the lines.
    ///
    /// # Panics
    ///
    /// At the deadline, or when the stream has ended without it; the lines are shown.
    pub async fn wait_for<T>(&self, what: &str, pick: impl Fn(&[String]) -> Option<T>) -> T {
        let mut changed = self.changed.clone();
        let found = tokio::time::timeout(self.patience, async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = pick(&locked(&self.lines)) {
                    return Some(found);
                }
                if changed.changed().await.is_err() {
                    return pick(&locked(&self.lines));
                }
            }
        });
        let Ok(found) = found.await else {
            panic!("{what}: not within {} s\n{self}", self.patience.as_secs())
        };
        found.unwrap_or_else(|| panic!("{what}: the process ended without it\n{self}"))
    }

    /// Waits for a line with this text in it.
    ///
    /// # Panics
    ///
    /// As [`Self::wait_for`].
    pub async fn line(&self, text: &str) -> String {
        let pick = |lines: &[String]| lines.iter().find(|line| line.contains(text)).cloned();
        self.wait_for(&format!("a line with `{text}`"), pick).await
    }

    /// Waits for a line of JSON that `wanted` takes.
    ///
    /// # Panics
    ///
    /// As [`Self::wait_for`].
    pub async fn value(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let pick = |lines: &[String]| {
            let values = lines
                .iter()
                .filter_map(|line| serde_json::from_str(line).ok());
            values.into_iter().find(&wanted)
        };
        self.wait_for(what, pick).await
    }

    /// Waits for the access event of a request with this path and query.
    ///
    /// # Panics
    ///
    /// As [`Self::wait_for`].
    pub async fn access(&self, path: &str) -> Value {
        let what = format!("the access event of {path}");
        self.value(&what, |value| value["path"] == path).await
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let left_out = lines.len().saturating_sub(LINES_SHOWN_MAX);
        writeln!(f, "--- {} (after {left_out} lines):", self.name)?;
        for line in &lines[left_out..] {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

fn locked(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
