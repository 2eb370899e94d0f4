//! A thread that writes lines in batches, and drops them rather than hold a request up.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use everwarm_edge::meter::Answerer;
use parking_lot::{Condvar, Mutex};

use super::book::LogBook;
use super::line::Source;

/// Bytes that may wait to be written; lines beyond that are dropped and counted.
const BUFFER_BYTES_MAX: usize = 4 << 20;
/// How long a line may wait before it is written.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Bytes at which a batch is written before its time.
const BATCH_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    dropped: AtomicU64,
    /// Who keeps lines besides.
    book: OnceLock<Arc<LogBook>>,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    /// Where lines of a function end in the buffer, and where they begin.
    abouts: Vec<About>,
    ended: bool,
}

/// A line of the buffer, and the function that it is about.
#[derive(Debug)]
struct About {
    from: usize,
    until: usize,
    answerer: Answerer,
}

impl Writer {
    pub(super) fn keep_in(&self, book: Arc<LogBook>) {
        // The first one stays.
        let _ = self.shared.book.set(book);
    }

    pub(super) fn start(output: Box<dyn Write + Send>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                buffer: Vec::with_capacity(2 * BATCH_BYTES),
                abouts: Vec::new(),
                ended: false,
            }),
            changed: Condvar::new(),
            dropped: AtomicU64::new(0),
            book: OnceLock::new(),
        });
        let thread = std::thread::Builder::new()
            .name("everwarm-log".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.write_batches(output)
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Costs a function's line two words more in the buffer, and a count on what it is about.
    pub(super) fn write(&self, line: &str, about: Option<&Answerer>) {
        let mut state = self.shared.state.lock();
        if state.buffer.len() + line.len() > BUFFER_BYTES_MAX {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_small = state.buffer.len() < BATCH_BYTES;
        if let Some(answerer) = about.filter(|_| self.shared.book.get().is_some()) {
            let from = state.buffer.len();
            state.abouts.push(About {
                from,
                until: from + line.len(),
                answerer: answerer.clone(),
            });
        }
        state.buffer.extend_from_slice(line.as_bytes());
        let wake = was_small && state.buffer.len() >= BATCH_BYTES;
        drop(state);
        if wake {
            self.shared.changed.notify_one();
        }
    }
}

impl Shared {
    fn write_batches(&self, mut output: Box<dyn Write + Send>) {
        let mut batch = Vec::with_capacity(2 * BATCH_BYTES);
        let mut abouts = Vec::new();
        loop {
            let ended = {
                let mut state = self.state.lock();
                if !state.ended && state.buffer.len() < BATCH_BYTES {
                    self.changed.wait_for(&mut state, FLUSH_EVERY);
                }
                std::mem::swap(&mut state.buffer, &mut batch);
                std::mem::swap(&mut state.abouts, &mut abouts);
                state.ended
            };
            // A log that can't be written must not stop the node.
            let _ = output.write_all(&batch).and_then(|()| output.flush());
            if let Some(book) = self.book.get() {
                let lines = abouts.iter().filter_map(|about: &About| {
                    let text = std::str::from_utf8(batch.get(about.from..about.until)?).ok()?;
                    Some((&about.answerer, text))
                });
                book.add(Source::Access, lines);
            }
            abouts.clear();
            batch.clear();
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                tracing::warn!(
                    lines = dropped,
                    "access log lines were dropped: the output is slow"
                );
            }
            if ended {
                return;
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.state.lock().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has nothing left to write.
            let _ = thread.join();
        }
    }
}
