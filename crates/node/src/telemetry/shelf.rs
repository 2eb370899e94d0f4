//! The lines of apps on the disk, so that a node that starts again has those of before: a file for what is written now
//! and one for what was before, for each app.
//!
//! Owns the bounds on them and their form. It reads from the book, a few times a second, so that nobody who prints waits
//! for a disk. Nothing is synced: the newest lines may be lost with the power. What can't be written is passed over, and
//! a line that can't be read is none.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use everwarm_host::Level;
use everwarm_manifest::{AppName, FunctionName, TenantId};
use everwarm_store::catalog::UnixMillis;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use super::book::{Key, LogBook};
use super::line::{Line, Logged, Request, Source};
use crate::node::Node;

/// Bytes of one of the two files of an app.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of all files. Beyond them those of the app are removed that wrote nothing for the longest time.
const BYTES_OF_ALL_MAX: u64 = 1 << 30;
/// How long a line may wait before it is written.
const WRITE_EVERY: Duration = Duration::from_millis(500);
/// Time between two warnings that lines can't be written.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// What is written now.
const NOW: &str = "now.jsonl";
/// What was before.
const BEFORE: &str = "before.jsonl";

/// See the module's documentation.
pub(crate) struct Shelf {
    root: PathBuf,
    book: Arc<LogBook>,
    /// Apps whose lines of before are in the book.
    recalled: Mutex<HashSet<Key>>,
    writing: Arc<Mutex<Writing>>,
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A line as it is in a file.
#[derive(Serialize, Deserialize)]
struct Written<'l> {
    number: u64,
    at_ms: u64,
    source: &'l str,
    function: &'l str,
    version: &'l str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<(String, String)>,
    text: String,
}

impl Shelf {
    /// Keeps the lines of a book in a folder from now on.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a thread.
    pub(crate) fn start(root: PathBuf, book: &Arc<LogBook>) -> io::Result<Self> {
        let ended = Arc::<(Mutex<bool>, Condvar)>::default();
        let writing = Writing::new(root.clone(), Arc::clone(book));
        let writing = Arc::new(Mutex::new(writing));
        let thread = std::thread::Builder::new()
            .name("everwarm-lines".into())
            .spawn({
                let writing = Arc::clone(&writing);
                let ended = Arc::clone(&ended);
                move || {
                    let (ended, changed) = &*ended;
                    loop {
                        let is_last = {
                            let mut ended = ended.lock();
                            if !*ended {
                                changed.wait_for(&mut ended, WRITE_EVERY);
                            }
                            *ended
                        };
                        writing.lock().write();
                        if is_last {
                            return;
                        }
                    }
                }
            })?;
        Ok(Self {
            root,
            book: Arc::clone(book),
            recalled: Mutex::default(),
            writing,
            ended,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Puts an app's lines of before into the book, once. Blocks.
    fn recall(&self, key: &Key) {
        let is_new = self.recalled.lock().insert(key.clone());
        if is_new || !self.book.has(key) {
            self.book.recall(key, read(&folder(&self.root, key)));
        }
    }

    /// Removes the lines of an app that is gone. Blocks.
    fn forget(&self, key: &Key) {
        self.recalled.lock().remove(key);
        // Lines that were taken from the book before it forgot them are written by now.
        self.writing.lock().forget(key);
    }

    /// Writes what is left. Blocks.
    fn finish(&self) {
        *self.ended.0.lock() = true;
        self.ended.1.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // One that panicked has nothing left to write.
            let _ = thread.join();
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Node {
    /// Has an app's lines of before in the book, where they are kept.
    pub(crate) async fn recall_lines(&self, tenant: &TenantId, app: &AppName) {
        let key = (tenant.clone(), app.clone());
        self.on_shelf(move |shelf| shelf.recall(&key)).await;
    }

    /// Removes an app's lines, in memory and on the disk.
    pub(crate) async fn forget_lines(&self, tenant: &TenantId, app: &AppName) {
        self.logs.forget(tenant, app);
        let key = (tenant.clone(), app.clone());
        self.on_shelf(move |shelf| shelf.forget(&key)).await;
    }

    /// Writes the last lines, after a drain.
    pub(crate) async fn put_lines_away(&self) {
        self.on_shelf(Shelf::finish).await;
    }

    /// Does something that blocks, where lines are kept.
    async fn on_shelf(&self, does: impl FnOnce(&Shelf) + Send + 'static) {
        if let Some(shelf) = self.shelf.clone() {
            // A panic in it was logged, and lines are no reason to end.
            let _ = tokio::task::spawn_blocking(move || does(&shelf)).await;
        }
    }
}

/// What the thread that writes knows.
struct Writing {
    root: PathBuf,
    book: Arc<LogBook>,
    /// Until which line each app's are written.
    until: HashMap<Key, u64>,
    /// Bytes of each app's files, and when they were written to.
    sizes: HashMap<PathBuf, (u64, Instant)>,
    warned: Option<Instant>,
}

impl Writing {
    fn new(root: PathBuf, book: Arc<LogBook>) -> Self {
        Self {
            root,
            book,
            until: HashMap::new(),
            sizes: HashMap::new(),
            warned: None,
        }
    }

    /// Writes what is new.
    fn write(&mut self) {
        for (key, lines) in self.book.fresh(&mut self.until) {
            let folder = folder(&self.root, &key);
            if self.sizes.is_empty() {
                self.measure();
            }
            let written = append(&folder, &lines);
            match written {
                Ok(bytes) => drop(self.sizes.insert(folder, (bytes, Instant::now()))),
                Err(error) => {
                    if self
                        .warned
                        .is_none_or(|warned| warned.elapsed() >= WARN_EVERY)
                    {
                        self.warned = Some(Instant::now());
                        tracing::warn!(%error, "lines of apps can't be written to the disk");
                    }
                }
            }
        }
        self.make_room();
    }

    /// What processes before have left.
    fn measure(&mut self) {
        let now = Instant::now();
        for tenant in folders(&self.root) {
            for app in folders(&tenant) {
                let bytes = size(&app.join(NOW)) + size(&app.join(BEFORE));
                self.sizes.insert(app, (bytes, now));
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        let folder = folder(&self.root, key);
        // That there is nothing, or that it can't be removed, harms nobody: it is bounded.
        let _ = fs::remove_dir_all(&folder);
        self.sizes.remove(&folder);
        self.until.remove(key);
    }

    fn make_room(&mut self) {
        let mut all: u64 = self.sizes.values().map(|(bytes, _)| bytes).sum();
        while all > BYTES_OF_ALL_MAX {
            let idle = self.sizes.iter().min_by_key(|(_, (_, at))| *at);
            let Some(folder) = idle.map(|(folder, _)| folder.clone()) else {
                return;
            };
            let _ = fs::remove_dir_all(&folder);
            all -= self.sizes.remove(&folder).map_or(0, |(bytes, _)| bytes);
        }
    }
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.is_dir()).collect()
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

/// Names of tenants and apps are letters, digits and dashes.
fn folder(root: &Path, (tenant, app): &Key) -> PathBuf {
    root.join(tenant.as_str()).join(app.as_str())
}

/// Appends lines to an app's file, and tells how large both are.
fn append(folder: &Path, lines: &[(u64, Line)]) -> io::Result<u64> {
    fs::create_dir_all(folder)?;
    let mut bytes = Vec::new();
    for (number, line) in lines {
        serde_json::to_writer(&mut bytes, &written(*number, line))?;
        bytes.push(b'\n');
    }
    let now = folder.join(NOW);
    let before = folder.join(BEFORE);
    if size(&now) + bytes.len() as u64 > FILE_BYTES_MAX && size(&now) > 0 {
        fs::rename(&now, &before)?;
    }
    let mut file = OpenOptions::new();
    let mut file = file.append(true).create(true).mode(0o600).open(&now)?;
    // In one go: another process may still have its last lines to write.
    file.write_all(&bytes)?;
    Ok(size(&now) + size(&before))
}

fn written(number: u64, line: &Line) -> Written<'_> {
    let log = line.log.as_ref();
    Written {
        number,
        at_ms: line.at.0,
        source: line.source.as_str(),
        function: line.function.as_str(),
        version: &line.version,
        request: line
            .request
            .as_ref()
            .map(|request| (request.id(), request.trace())),
        log: log.map(|log| (log.level.as_str().to_owned(), log.context.to_string())),
        text: line.text.to_string(),
    }
}

/// The lines in an app's files, the oldest first.
fn read(folder: &Path) -> Vec<(u64, Line)> {
    let mut lines = Vec::new();
    for name in [BEFORE, NOW] {
        // What isn't there has no lines.
        let Ok(bytes) = fs::read(folder.join(name)) else {
            continue;
        };
        let parts = bytes.split(|byte| *byte == b'\n');
        lines.extend(parts.filter_map(line));
    }
    lines.sort_by_key(|(number, _)| *number);
    lines.dedup_by_key(|(number, _)| *number);
    lines
}

/// A line of a file. One that a crash has cut, or that somebody else wrote, is none.
fn line(bytes: &[u8]) -> Option<(u64, Line)> {
    let written: Written<'_> = serde_json::from_slice(bytes).ok()?;
    let log = written.log.and_then(|(level, context)| {
        Some(Logged {
            level: Level::ALL.into_iter().find(|it| it.as_str() == level)?,
            context: context.into(),
        })
    });
    let request = written.request.map(|(id, trace)| Request::Before {
        id: id.into(),
        trace: trace.into(),
    });
    let line = Line {
        at: UnixMillis(written.at_ms),
        source: Source::ALL
            .into_iter()
            .find(|source| source.as_str() == written.source)?,
        function: FunctionName::new(written.function).ok()?,
        version: written.version.into(),
        request,
        log,
        text: written.text.into(),
    };
    Some((written.number, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Line {
        Line {
            at: UnixMillis(7),
            source: Source::Log,
            function: FunctionName::new("f").unwrap(),
            version: "sha256:abc".into(),
            request: Some(Request::Before {
                id: "id".into(),
                trace: "trace".into(),
            }),
            log: Some(Logged {
                level: Level::Warn,
                context: "shop".into(),
            }),
            text: text.into(),
        }
    }

    #[test]
    fn lines_are_read_as_they_were_written_and_what_is_cut_is_none() {
        let folder = tempfile::tempdir().unwrap();
        append(
            folder.path(),
            &[(1, said("first \"\n")), (2, said("second"))],
        )
        .unwrap();
        let mut file = OpenOptions::new();
        let mut file = file.append(true).open(folder.path().join(NOW)).unwrap();
        file.write_all(b"{\"number\":3,\"at_ms\":").unwrap();
        let lines = read(folder.path());
        assert_eq!(lines.len(), 2);
        let (number, line) = &lines[0];
        assert_eq!((*number, &*line.text, line.at.0), (1, "first \"\n", 7));
        assert_eq!(line.source, Source::Log);
        assert_eq!(line.log.as_ref().unwrap().level, Level::Warn);
        assert_eq!(&*line.log.as_ref().unwrap().context, "shop");
        assert_eq!(line.request.as_ref().unwrap().id(), "id");
        assert!(read(&folder.path().join("nobody")).is_empty());
    }

    #[test]
    fn files_of_an_app_are_two_and_bounded_and_have_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let text = "x".repeat(10_000);
        for number in 0..500 {
            append(folder.path(), &[(number, said(&text))]).unwrap();
        }
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2);
        for name in [NOW, BEFORE] {
            assert!(size(&folder.path().join(name)) <= FILE_BYTES_MAX);
        }
        let lines = read(folder.path());
        assert_eq!(lines.last().unwrap().0, 499);
        assert!(lines.len() > 100, "{}", lines.len());
    }
}
