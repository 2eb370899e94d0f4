//! The thread that writes and removes files, one after the other, and looks through what an earlier process left.
//!
//! Owns that a disk that is full, or nearly so, or broken ends nothing but keeping: it is tried again after a while. And that
//! the next process takes up what is there only where this one had looked through all of it, and removed what it was to.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, UNIX_EPOCH};

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

/// What can't be done with files, and what comes of that.
const WRITE: &str = "be written";
const REMOVE: &str = "be removed: the next process of the node begins with none of them";
const LEAVE: &str = "be left to the next process of the node, which begins with none of them";
const LOOK_THROUGH: &str = "be looked through: all of them go before others are written";

pub(super) struct Keeper {
    disk: Arc<Disk>,
    store: Weak<Store>,
    paused_until: Option<Instant>,
    /// Whether all that is in the folder is known.
    is_in_order: bool,
    /// Answers that come in pieces, by their numbers.
    filings: HashMap<u64, Writing>,
}

impl Keeper {
    pub(super) fn new(disk: Arc<Disk>, store: Weak<Store>) -> Self {
        Self {
            disk,
            store,
            paused_until: None,
            is_in_order: false,
            filings: HashMap::new(),
        }
    }

    pub(super) fn run(mut self) {
        if let Err(error) = self.take_up() {
            self.pause(LOOK_THROUGH, &error);
        }
        while let Some((job, has_ended)) = self.next() {
            self.work(job, has_ended);
        }
    }

    /// What is next, and whether that is after the end.
    fn next(&self) -> Option<(Job, bool)> {
        let mut queue = self.disk.queue.lock();
        loop {
            match queue.jobs.pop_front() {
                Some(job) => {
                    if let Job::Keep(_, let_go) = &job {
                        queue.bytes -= let_go.entry.bytes() as u64;
                    }
                    return Some((job, queue.has_ended));
                }
                None if queue.has_ended => return None,
                None => self.disk.changed.wait(&mut queue),
            }
        }
    }

    /// After the end that does what is to be removed yet, and nothing else.
    fn work(&mut self, job: Job, has_ended: bool) {
        match job {
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
                // Of one that has failed nothing is begun again in the middle.
                let goes_on = !has_ended && !state.has_failed();
                let is_written = goes_on && self.piece(number, &bytes);
                if !is_written {
                    self.filings.remove(&number);
                }
                state.written(bytes.len(), !is_written);
            }
            Job::GiveUp(number, state) => {
                self.filings.remove(&number);
                // It was one of those at once as long as it had a file.
                drop(state);
            }
            Job::Finish(_, number, state) if has_ended || state.has_failed() => {
                self.filings.remove(&number);
            }
            Job::Finish(answer, number, _) => self.finish(&answer, number),
            Job::Keep(name, let_go) => {
                if !has_ended && self.disk.is_wanted(&name, &let_go) {
                    self.keep(&let_go);
                }
                self.disk.is_over(&name, &let_go);
            }
        }
    }

    fn keep(&mut self, let_go: &LetGo) {
        let LetGo {
            place, url, entry, ..
        } = let_go;
        let Some(store) = self.store.upgrade() else {
            return;
        };
        if place.has_file(url.borrowed(), &entry.variant, entry.filed)
            || !self.may_write(entry.bytes() as u64)
        {
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
            Err(error) => self.pause(WRITE, &error),
        }
    }

    /// Whether it was written.
    fn piece(&mut self, number: u64, bytes: &[u8]) -> bool {
        if !self.may_write(bytes.len() as u64) {
            return false;
        }
        let written = self.push_piece(number, bytes);
        if let Err(error) = &written {
            self.pause(WRITE, error);
        }
        written.is_ok()
    }

    fn push_piece(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(writing) = self.filings.get_mut(&number) {
            return writing.push(bytes);
        }
        let mut writing = self.begin_filing(number)?;
        writing.push(bytes)?;
        self.filings.insert(number, writing);
        Ok(())
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
            Err(error) => self.pause(WRITE, &error),
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
        let removed = self.removed(files);
        self.is_done(removed)
    }

    /// Tries to remove each of them.
    fn removed(&self, files: &[Place]) -> io::Result<()> {
        let paths = files.iter().map(|file| file.path(&self.disk.root));
        let removed = paths.map(|path| unless_gone(fs::remove_file(path)));
        removed.fold(Ok(()), io::Result::and)
    }

    fn forget(&mut self, folder: &Path) -> bool {
        self.is_done(unless_gone(fs::remove_dir_all(folder)))
    }

    fn is_done(&mut self, removed: io::Result<()>) -> bool {
        let Err(error) = removed else { return true };
        self.pause(REMOVE, &error);
        // Something is there that shouldn't be: the next process is to begin with nothing.
        distrust(&self.disk.root).is_ok()
    }

    /// Whether so much may be written now. What couldn't be looked through goes first, since no bound has it.
    fn may_write(&mut self, bytes: u64) -> bool {
        if self.paused_until.is_some_and(|end| Instant::now() < end) {
            return false;
        }
        self.paused_until = None;
        if !self.is_in_order
            && let Err(error) = self.begin_anew()
        {
            self.pause(LOOK_THROUGH, &error);
            return false;
        }
        self.has_room(bytes)
    }

    fn pause(&mut self, what: &str, error: &io::Error) {
        let folder = self.disk.root.display();
        let seconds = PAUSE.as_secs();
        tracing::warn!(
            %error,
            %folder,
            "files of the response cache can't {what}. Nothing more is kept on the disk for {seconds} seconds; then it is tried again"
        );
        self.paused_until = Some(Instant::now() + PAUSE);
    }

    /// The store is on the same disk, and comes first.
    fn has_room(&mut self, bytes: u64) -> bool {
        let free = rustix::fs::statvfs(&self.disk.root)
            .map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let has_room = free >= FREE_BYTES_MIN.saturating_add(bytes);
        if !has_room {
            self.pause(WRITE, &io::ErrorKind::StorageFull.into());
        }
        has_room
    }

    /// Takes up what an earlier process left, if it can be used.
    fn take_up(&mut self) -> io::Result<()> {
        let root = self.disk.root.clone();
        make_folder(&root)?;
        let left = fs::read_to_string(root.join(RUN)).ok();
        // What is purged from now on may be in a file that nobody has come to yet: until all are looked through, and if that
        // ends in the middle of it, the next process begins with nothing.
        distrust(&root)?;
        let run = this_run(&root)?;
        if run.is_none() || left != run {
            return self.begin_anew();
        }
        if self.look_through(&root)? {
            self.came_into_order(&root);
        }
        Ok(())
    }

    /// Removes all that is there.
    fn begin_anew(&mut self) -> io::Result<()> {
        let root = self.disk.root.clone();
        make_folder(&root)?;
        distrust(&root)?;
        for entry in fs::read_dir(&root)? {
            throw_away(&entry?.path())?;
        }
        if let Some(store) = self.store.upgrade() {
            store.forget_files();
        }
        self.came_into_order(&root);
        Ok(())
    }

    /// All that is in the folder is known: the next process may take it up.
    fn came_into_order(&mut self, root: &Path) {
        self.is_in_order = true;
        let written = this_run(root).and_then(|run| match run {
            Some(run) => fs::write(root.join(RUN), run),
            None => Ok(()),
        });
        if let Err(error) = written {
            self.pause(LEAVE, &error);
        }
    }

    /// `false` when this ended, or there is no store any more, before all was looked through.
    fn look_through(&self, root: &Path) -> io::Result<bool> {
        for folder in fs::read_dir(root)? {
            let folder = folder?;
            let Some(store) = self.store.upgrade() else {
                return Ok(false);
            };
            let name = folder.file_name();
            let app = name.to_str().and_then(app_of_folder);
            let place = app.and_then(|app| store.app_with(app));
            drop(store);
            match place {
                Some(place) => {
                    if !self.take_up_app(&folder.path(), &place)? {
                        return Ok(false);
                    }
                }
                None => throw_away(&folder.path())?,
            }
        }
        Ok(!self.disk.has_ended())
    }

    /// `false` as above.
    fn take_up_app(&self, folder: &Path, place: &crate::store::Place) -> io::Result<bool> {
        for file in fs::read_dir(folder)? {
            let file = file?;
            let Some(store) = self.store.upgrade() else {
                return Ok(false);
            };
            if self.disk.has_ended() {
                return Ok(false);
            }
            let name = file.file_name();
            let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
            let taken = number.and_then(|number| take_up_file(&file.path(), number, place, &store));
            match taken {
                Some(gone) => self.removed(&gone)?,
                None => throw_away(&file.path())?,
            }
        }
        Ok(true)
    }
}

/// The files that go for it. `None` when it is of no use.
fn take_up_file(
    path: &Path,
    number: u64,
    place: &crate::store::Place,
    store: &Store,
) -> Option<Vec<Place>> {
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
    // An inode is given again, and then its folder was made later.
    let made = metadata.created().ok();
    let made = made.and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    let made = made.map_or(0, |made| made.as_nanos());
    Ok(clock::run_of_the_machine().map(|run| format!("2 {run} {device} {inode} {made}\n")))
}

/// Has whoever opens the folder next begin with nothing.
pub(super) fn distrust(root: &Path) -> io::Result<()> {
    unless_gone(fs::remove_file(root.join(RUN)))
}

/// What isn't there need not be removed.
fn unless_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn throw_away(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}
