//! The thread that writes and removes files, one after the other, and looks through what an earlier process left.
//!
//! Owns that a disk that is full, or nearly so, or broken ends nothing but keeping: it is tried again after a while.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::clock::{self, Clock};
use super::file::{Reading, Writing};
use super::files::{Known, Place, app_of_folder, tag_name, variant_name};
use super::form::{End, Head};
use super::{Disk, Job, LetGo};
use crate::entry::Entry;
use crate::store::{Since, Store};

/// What is left of the disk to others.
const FREE_BYTES_MIN: u64 = 256 << 20;
/// How long nothing is written once something couldn't be.
const PAUSE: Duration = Duration::from_secs(10);
/// Says which run of the machine files are of.
const RUN: &str = "run";

pub(super) struct Keeper {
    disk: Arc<Disk>,
    store: Weak<Store>,
    paused_until: Option<Instant>,
    /// Answers that come in pieces, by their numbers.
    filings: HashMap<u64, Writing>,
}

impl Keeper {
    pub(super) fn new(disk: Arc<Disk>, store: Weak<Store>) -> Self {
        Self {
            disk,
            store,
            paused_until: None,
            filings: HashMap::new(),
        }
    }

    pub(super) fn run(mut self) {
        if let Err(error) = self.take_up() {
            self.pause("be looked through", &error);
        }
        while let Some(job) = self.next() {
            self.work(job);
        }
    }

    /// What is next. After the end what is to be removed yet, and nothing else.
    fn next(&self) -> Option<Job> {
        let mut queue = self.disk.queue.lock();
        loop {
            match queue.jobs.pop_front() {
                Some(job) => {
                    if let Job::Keep(let_go) = &job {
                        queue.bytes -= let_go.entry.bytes() as u64;
                    }
                    let removes = matches!(job, Job::Remove(..) | Job::Forget(..));
                    if removes || !queue.has_ended {
                        return Some(job);
                    }
                }
                None if queue.has_ended => return None,
                None => self.disk.changed.wait(&mut queue),
            }
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Keep(let_go) => self.keep(&let_go),
            Job::Remove(files, done) => {
                if self.remove(&files) {
                    // Whoever waited may have left.
                    let _ = done.send(());
                }
            }
            Job::Forget(app, done) => {
                if self.forget(&Place::folder(&self.disk.root, app)) {
                    let _ = done.send(());
                }
            }
            Job::Piece(number, bytes, state) => {
                let failed = !self.piece(number, &bytes);
                state.written(bytes.len(), failed);
            }
            Job::Finish(answer, number, state) => {
                self.finish(&answer, number);
                state.written(0, false);
            }
            Job::GiveUp(number) => drop(self.filings.remove(&number)),
        }
    }

    fn keep(&mut self, let_go: &LetGo) {
        let LetGo {
            place, url, entry, ..
        } = let_go;
        let Some(store) = self.store.upgrade() else {
            return;
        };
        if self.is_paused() || place.has_file(url.borrowed(), &entry.variant, entry.filed) {
            return;
        }
        if !self.has_room(entry.bytes() as u64) {
            return;
        }
        let number = self.disk.next_number();
        let written = self
            .begin(place.app().id(), number)
            .and_then(|mut writing| {
                writing.push(&entry.body)?;
                Ok(writing)
            });
        match written.and_then(|writing| self.finished(writing, let_go, number)) {
            Ok(known) => {
                let gone = store.file(let_go, known);
                self.remove(&gone);
            }
            Err(error) => self.pause("be written", &error),
        }
    }

    fn piece(&mut self, number: u64, bytes: &[u8]) -> bool {
        if !self.filings.contains_key(&number) {
            if self.is_paused() || !self.has_room(bytes.len() as u64) {
                return false;
            }
            match self.begin_filing(number) {
                Ok(writing) => self.filings.insert(number, writing),
                Err(error) => {
                    self.pause("be written", &error);
                    return false;
                }
            };
        }
        let Some(writing) = self.filings.get_mut(&number) else {
            return false;
        };
        match writing.push(bytes) {
            Ok(()) => true,
            Err(error) => {
                self.filings.remove(&number);
                self.pause("be written", &error);
                false
            }
        }
    }

    fn finish(&mut self, answer: &LetGo, number: u64) {
        let Some(writing) = self.filings.remove(&number) else {
            return;
        };
        let Some(store) = self.store.upgrade() else {
            return;
        };
        let folder = Place::folder(&self.disk.root, answer.place.app().id());
        let finished = make_folder(&folder).and_then(|()| self.finished(writing, answer, number));
        match finished {
            Ok(known) => {
                let gone = store.file(answer, known);
                self.remove(&gone);
            }
            Err(error) => self.pause("be written", &error),
        }
    }

    fn begin(&self, app: crate::key::Id, number: u64) -> io::Result<Writing> {
        make_folder(&Place::folder(&self.disk.root, app))?;
        Writing::begin(&Place { app, number }.path(&self.disk.root))
    }

    /// One whose app's folder may be gone before it is whole: it is beside them all.
    fn begin_filing(&self, number: u64) -> io::Result<Writing> {
        make_folder(&self.disk.root)?;
        Writing::begin(&self.disk.root.join(number.to_string()))
    }

    fn finished(&self, writing: Writing, of: &LetGo, number: u64) -> io::Result<Known> {
        let app = of.place.app().id();
        let path = Place { app, number }.path(&self.disk.root);
        let head = head(of);
        let (bytes, end) = writing.finish(head, Clock::now(), &path)?;
        Ok(known(&of.entry, number, bytes, end))
    }

    /// Removes files. `false` when one may be there again for the next process.
    fn remove(&mut self, files: &[Place]) -> bool {
        let paths = files.iter().map(|file| file.path(&self.disk.root));
        let removed = paths.map(fs::remove_file).collect();
        self.is_removed(removed)
    }

    fn forget(&mut self, folder: &Path) -> bool {
        self.is_removed(vec![fs::remove_dir_all(folder)])
    }

    fn is_removed(&mut self, removed: Vec<io::Result<()>>) -> bool {
        let mut failed = removed.into_iter().filter_map(Result::err);
        let Some(error) = failed.find(|error| error.kind() != io::ErrorKind::NotFound) else {
            return true;
        };
        self.pause("be removed", &error);
        // Something is there that shouldn't be: the next process is to begin with nothing.
        fs::remove_file(self.disk.root.join(RUN)).is_ok()
    }

    fn is_paused(&mut self) -> bool {
        let is_paused = self.paused_until.is_some_and(|end| Instant::now() < end);
        if !is_paused {
            self.paused_until = None;
        }
        is_paused
    }

    fn pause(&mut self, what: &str, error: &io::Error) {
        let folder = self.disk.root.display();
        let seconds = PAUSE.as_secs();
        tracing::warn!(
            %error,
            %folder,
            "a file of the response cache can't {what}: nothing is kept on the disk for {seconds} seconds"
        );
        self.paused_until = Some(Instant::now() + PAUSE);
    }

    /// Whether so much may be written. The store is on the same disk, and comes first.
    fn has_room(&mut self, bytes: u64) -> bool {
        let free = rustix::fs::statvfs(&self.disk.root)
            .map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let has_room = free >= FREE_BYTES_MIN.saturating_add(bytes);
        if !has_room {
            self.pause("be written", &io::ErrorKind::StorageFull.into());
        }
        has_room
    }

    /// Takes up what an earlier process left, if it can be used.
    fn take_up(&mut self) -> io::Result<()> {
        let root = self.disk.root.clone();
        make_folder(&root)?;
        let run = this_run(&root)?;
        let is_same = run.is_some() && fs::read_to_string(root.join(RUN)).ok() == run;
        if !is_same {
            empty(&root)?;
            if let Some(run) = run {
                fs::write(root.join(RUN), run)?;
            }
            return Ok(());
        }
        for folder in fs::read_dir(&root)? {
            let folder = folder?;
            let name = folder.file_name();
            if name == RUN {
                continue;
            }
            let app = name.to_str().and_then(app_of_folder);
            let store = self.store.upgrade();
            let cache = app.and_then(|app| store?.app_with(app));
            match cache {
                Some(place) => self.take_up_app(&folder.path(), &place)?,
                None => throw_away(&folder.path())?,
            }
        }
        Ok(())
    }

    fn take_up_app(&mut self, folder: &Path, place: &crate::store::Place) -> io::Result<()> {
        for file in fs::read_dir(folder)? {
            let file = file?;
            let name = file.file_name();
            let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
            let taken = number.and_then(|number| self.take_up_file(&file.path(), number, place));
            match taken {
                Some(gone) => {
                    self.remove(&gone);
                }
                None => throw_away(&file.path())?,
            }
            if self.disk.queue.lock().has_ended {
                break;
            }
        }
        Ok(())
    }

    /// The files that go for it. `None` when it is of no use.
    fn take_up_file(
        &self,
        path: &Path,
        number: u64,
        place: &crate::store::Place,
    ) -> Option<Vec<Place>> {
        let store = self.store.upgrade()?;
        let (reading, end, bytes) = Reading::open(path, None, Clock::now()).ok()?;
        let head = reading.head;
        if head.url.app() != place.app().id() {
            return None;
        }
        let answer = LetGo {
            place: place.clone(),
            url: head.url,
            // Nothing was purged since this process began.
            since: Since::default(),
            entry: Arc::new(Entry {
                variant: head.variant,
                status: head.status,
                headers: head.headers,
                body: bytes::Bytes::new(),
                freshness: head.freshness,
                tags: head.tags,
                coded: crate::entry::Coded::default(),
                filed: Some(number),
            }),
        };
        let known = known(&answer.entry, number, bytes, end);
        Some(store.file(&answer, known))
    }
}

fn head(of: &LetGo) -> Head {
    let entry = &of.entry;
    Head {
        url: of.url.clone(),
        variant: entry.variant.clone(),
        status: entry.status,
        headers: entry.headers.clone(),
        freshness: entry.freshness,
        tags: entry.tags.clone(),
        is_coded: entry.coded.has_room(),
        length: 0,
        digests: Vec::new(),
    }
}

fn known(entry: &Entry, number: u64, bytes: u64, end: End) -> Known {
    Known {
        variant: variant_name(entry.variant.function, &entry.variant.values),
        number,
        bytes,
        end,
        asked: entry.freshness.parts().asked,
        tags: entry.tags.iter().map(|tag| tag_name(tag)).collect(),
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// Names this run of the machine and this folder: a copy of it isn't the folder that things were removed from. `None` where
/// the machine doesn't say.
fn this_run(root: &Path) -> io::Result<Option<String>> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(root)?;
    let (device, inode) = (metadata.dev(), metadata.ino());
    Ok(clock::run_of_the_machine().map(|run| format!("1 {run} {device} {inode}\n")))
}

fn empty(root: &Path) -> io::Result<()> {
    // First of all what says that it can be used.
    let _ = fs::remove_file(root.join(RUN));
    for entry in fs::read_dir(root)? {
        throw_away(&entry?.path())?;
    }
    Ok(())
}

fn throw_away(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}
