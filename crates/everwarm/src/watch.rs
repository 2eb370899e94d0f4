//! Notices that an app's files changed, and waits until a burst of changes is over. Which files count
//! is `everwarm_build::Sources`' to say; what to do about it is `up`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use everwarm_build::Sources;
use notify::{Config, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// A burst is over when nothing changed for so long. Editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(40);
/// The longest that a burst is waited for.
const BURST_MAX: Duration = Duration::from_millis(500);
/// The most changed paths that are remembered; more are a change all the same.
const PATHS_MAX: usize = 64;

/// Watches the sources of an app.
#[derive(Debug)]
pub(crate) struct Watcher {
    changes: Arc<Changes>,
    sources: Sources,
    /// Stops watching when it is dropped.
    _watching: RecommendedWatcher,
}

#[derive(Debug, Default)]
struct Changes {
    paths: Mutex<BTreeMap<PathBuf, First>>,
    noticed: Notify,
}

/// What happened to a path first since changes were last taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Created,
    Changed,
}

impl Changes {
    fn add(&self, first: First, paths: impl Iterator<Item = PathBuf>) {
        let mut any = false;
        {
            let mut known = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
            for path in paths {
                any = true;
                if known.len() < PATHS_MAX {
                    known.entry(path).or_insert(first);
                }
            }
        }
        if any {
            self.noticed.notify_one();
        }
    }

    fn is_empty(&self) -> bool {
        let known = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        known.is_empty()
    }

    /// What changed. A file that came and went is no change: editors, and cargo with its target
    /// folder, write beside what they mean to replace.
    fn take(&self) -> BTreeSet<PathBuf> {
        let paths = std::mem::take(&mut *self.paths.lock().unwrap_or_else(PoisonError::into_inner));
        paths
            .into_iter()
            .filter(|(path, first)| *first == First::Changed || path.exists())
            .map(|(path, _)| path)
            .collect()
    }
}

impl Watcher {
    /// Starts watching.
    ///
    /// # Errors
    /// When the operating system can't watch, or not so many folders.
    pub(crate) fn start(sources: Sources) -> notify::Result<Self> {
        let changes = Arc::new(Changes::default());
        let handler = {
            let (changes, sources) = (Arc::clone(&changes), sources.clone());
            move |event: notify::Result<notify::Event>| match event {
                // What is only read or looked at stays what it was.
                Ok(event) if !event.kind.is_access() => {
                    let lost = event.need_rescan().then(|| PathBuf::from("."));
                    let first = if event.kind.is_create() {
                        First::Created
                    } else {
                        First::Changed
                    };
                    let paths = event.paths.into_iter().filter(|path| sources.concern(path));
                    changes.add(first, paths.chain(lost));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "watching the app's files failed"),
            }
        };
        let mut watching = RecommendedWatcher::new(handler, Config::default())?;
        for (path, mode) in watched(&sources) {
            watching.watch(&path, mode)?;
        }
        Ok(Self {
            changes,
            sources,
            _watching: watching,
        })
    }

    /// Waits for a change, then for the end of its burst. Cancelling loses nothing.
    pub(crate) async fn changed(&self) -> BTreeSet<PathBuf> {
        loop {
            while self.changes.is_empty() {
                self.changes.noticed.notified().await;
            }
            let burst = async {
                while tokio::time::timeout(QUIET, self.changes.noticed.notified())
                    .await
                    .is_ok()
                {}
            };
            // However it ended: the burst is over.
            let _ = tokio::time::timeout(BURST_MAX, burst).await;
            let paths = self.changes.take();
            if !paths.is_empty() {
                return paths;
            }
        }
    }

    /// Whether these changes may have moved what is to be watched.
    pub(crate) fn is_outdated_by(&self, paths: &BTreeSet<PathBuf>) -> bool {
        paths.iter().any(|path| {
            let is_manifest = path
                .file_name()
                .is_some_and(|name| name == "Cargo.toml" || name == everwarm_build::MANIFEST_FILE);
            // Folders at the top of a package are watched one by one.
            let at_top = path
                .parent()
                .is_some_and(|parent| self.sources.folders.contains(parent));
            is_manifest || (at_top && path.is_dir())
        })
    }
}

/// What the operating system is asked to watch. Of a package each folder but the ignored ones: below
/// `target` alone there are thousands.
fn watched(sources: &Sources) -> Vec<(PathBuf, RecursiveMode)> {
    let mut watched = Vec::new();
    let mut flat: BTreeSet<&Path> = BTreeSet::new();
    for folder in sources.folders.iter().filter(|folder| folder.is_dir()) {
        flat.insert(folder);
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries {
            if entry.path().is_dir() && !Sources::ignores_folder(&entry.file_name()) {
                watched.push((entry.path(), RecursiveMode::Recursive));
            }
        }
    }
    // A file is watched through its folder: many editors replace it.
    flat.extend(sources.files.iter().filter_map(|file| file.parent()));
    watched.extend(
        flat.into_iter()
            .filter(|folder| folder.is_dir())
            .map(|folder| (folder.to_owned(), RecursiveMode::NonRecursive)),
    );
    watched
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn app() -> (tempfile::TempDir, PathBuf) {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        for folder in ["src/inner", "target/release"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("everwarm.toml"), "name = \"a\"\n[[function]]\n").unwrap();
        (temporary, root)
    }

    fn sources(root: &Path) -> Sources {
        let mut sources = Sources::default();
        sources.folders.insert(root.to_owned());
        sources.files.insert(root.join("everwarm.toml"));
        sources
    }

    #[tokio::test]
    async fn edit_deep_in_the_sources_is_noticed_and_a_build_is_not() {
        let (_keep, root) = app();
        let watcher = Watcher::start(sources(&root)).unwrap();
        fs::write(root.join("target/release/a.wasm"), "made").unwrap();
        fs::write(root.join("src/inner/a.rs"), "edited").unwrap();
        let changed = tokio::time::timeout(LIMIT, watcher.changed())
            .await
            .unwrap();
        assert_eq!(changed, BTreeSet::from([root.join("src/inner/a.rs")]));
    }

    #[tokio::test]
    async fn replaced_manifest_is_noticed() {
        let (_keep, root) = app();
        let watcher = Watcher::start(sources(&root)).unwrap();
        fs::write(root.join(".everwarm.toml.new"), "x").unwrap();
        fs::rename(root.join(".everwarm.toml.new"), root.join("everwarm.toml")).unwrap();
        let changed = tokio::time::timeout(LIMIT, watcher.changed())
            .await
            .unwrap();
        assert!(changed.contains(&root.join("everwarm.toml")), "{changed:?}");
        assert!(watcher.is_outdated_by(&changed));
    }

    #[tokio::test]
    async fn cancelled_wait_loses_no_change() {
        let (_keep, root) = app();
        let watcher = Watcher::start(sources(&root)).unwrap();
        fs::write(root.join("src/a.rs"), "edited").unwrap();
        // Each of these waits is given up before a burst can be over.
        for _ in 0..10 {
            let _ = tokio::time::timeout(QUIET / 4, watcher.changed()).await;
        }
        let changed = tokio::time::timeout(LIMIT, watcher.changed())
            .await
            .unwrap();
        assert!(changed.contains(&root.join("src/a.rs")));
    }

    #[tokio::test]
    async fn file_that_came_and_went_is_no_change() {
        let (_keep, root) = app();
        let watcher = Watcher::start(sources(&root)).unwrap();
        fs::create_dir(root.join("targetAbC123")).unwrap();
        fs::rename(root.join("targetAbC123"), root.join("target/made")).unwrap();
        fs::write(root.join("src/sedXyz"), "new").unwrap();
        fs::rename(root.join("src/sedXyz"), root.join("src/lib.rs")).unwrap();
        let changed = tokio::time::timeout(LIMIT, watcher.changed())
            .await
            .unwrap();
        assert_eq!(changed, BTreeSet::from([root.join("src/lib.rs")]));
    }

    #[test]
    fn more_changes_than_are_remembered_are_still_a_change() {
        let changes = Changes::default();
        changes.add(
            First::Changed,
            (0..1_000).map(|number| PathBuf::from(number.to_string())),
        );
        assert_eq!(changes.take().len(), PATHS_MAX);
    }
}
