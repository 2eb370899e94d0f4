//! What is kept on the disk: what memory has let go of, and what is too large for it. One file an answer, in a folder of its
//! app; which there are is known without a read.
//!
//! Writing, removing and the look through what an earlier process left are done by one thread (`keeper`), one after the
//! other: what is purged is removed before the purge is answered, and nothing that was begun before comes back behind it.
//! Reading blocks whoever reads, and checks every byte.
//!
//! What waits to be written is found until it is.
//!
//! Nothing is synced. What the process before left is used while the machine runs on, since the kernel has all that was
//! written and removed; after that it is thrown away, since what was purged might be there again. So it is where a process serves
//! on that has given the folder to another one.

mod clock;
mod file;
mod files;
mod filing;
mod form;
mod keeper;

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};

use crate::entry::{Coded, Entry, NO_ROOM, Variant};
use crate::key::{Id, Url, UrlRef, Values};
use crate::store::{self, Since, Store};
use clock::Clock;
use file::Reading;
use form::End;

pub use file::Damage;
pub(crate) use files::{Files, Known, Place, UrlName, tag_name, variant_name};
pub use filing::Filing;
pub use form::PIECE_BYTES;

/// Bytes of answers that wait to be written; what memory lets go of beyond that is gone.
const QUEUE_BYTES_MAX: u64 = 16 << 20;
/// How long a purge waits until its files are removed.
const REMOVAL_TIME_MAX: Duration = Duration::from_secs(30);

/// An answer that memory has let go of.
#[derive(Clone)]
pub(crate) struct LetGo {
    pub(crate) place: store::Place,
    pub(crate) url: Url,
    /// What had been purged when it was there.
    pub(crate) since: Since,
    pub(crate) entry: Arc<Entry>,
}

/// Names an answer.
type Name = (UrlName, form::Digest);

impl LetGo {
    fn name(&self) -> Name {
        let Variant { function, values } = &self.entry.variant;
        name_of(self.url.borrowed(), *function, values)
    }
}

fn name_of(url: UrlRef<'_>, function: Id, values: &Values) -> Name {
    (UrlName::of(url), variant_name(function, values))
}

/// What the thread is asked to do.
enum Job {
    Keep(Name, Arc<LetGo>),
    /// Files that nothing leads to any more.
    Remove(Vec<Place>, mpsc::Sender<()>),
    /// All that an app has.
    Forget(Id, mpsc::Sender<()>),
    /// A part of an answer that comes in pieces.
    Piece(u64, Bytes, Arc<filing::State>),
    Finish(Box<LetGo>, u64, Arc<filing::State>),
    GiveUp(u64, Arc<filing::State>),
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: u64,
    /// Answers that are to be written, until they are.
    waiting: HashMap<Name, Arc<LetGo>>,
    has_ended: bool,
}

/// See the module's documentation. Ends with [`Disk::close`].
pub(crate) struct Disk {
    root: PathBuf,
    queue: Mutex<Queue>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
    next: AtomicU64,
    /// Answers that come in pieces.
    filings: Arc<AtomicUsize>,
}

impl Disk {
    /// Opens a folder, which is nobody else's. What is in it is looked through meanwhile.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn open(root: PathBuf, store: Weak<Store>) -> std::io::Result<Arc<Self>> {
        let disk = Arc::new(Self {
            root,
            queue: Mutex::default(),
            changed: Condvar::new(),
            thread: Mutex::default(),
            // Beyond all that earlier processes gave, since they are of the same run of the machine.
            next: AtomicU64::new(Clock::now().nanoseconds()),
            filings: Arc::default(),
        });
        let keeper = keeper::Keeper::new(Arc::clone(&disk), store);
        let thread = std::thread::Builder::new()
            .name("everwarm-cache".into())
            .spawn(move || keeper.run())?;
        *disk.thread.lock() = Some(thread);
        Ok(disk)
    }

    /// Does what is to be removed yet, and no more. The folder may be another's then. Blocks.
    pub(crate) fn close(&self) {
        self.end();
        if let Some(thread) = self.thread.lock().take() {
            // It panicked, then: what it wrote is checked by whoever reads it.
            let _ = thread.join();
        }
    }

    /// The same; whoever has the folder then begins with nothing. Blocks.
    ///
    /// # Errors
    /// It may take up what is there.
    pub(crate) fn close_for_good(&self) -> std::io::Result<()> {
        self.close();
        keeper::distrust(&self.root)
    }

    /// The same without waiting for it.
    pub(crate) fn end(&self) {
        self.queue.lock().has_ended = true;
        self.changed.notify_all();
    }

    /// Keeps what memory has let go of, if there is room in the queue.
    pub(crate) fn offer(&self, let_go: LetGo) {
        let bytes = let_go.entry.bytes() as u64;
        let name = let_go.name();
        let let_go = Arc::new(let_go);
        let mut queue = self.queue.lock();
        if queue.bytes + bytes > QUEUE_BYTES_MAX || queue.has_ended {
            return;
        }
        queue.bytes += bytes;
        queue.waiting.insert(name, Arc::clone(&let_go));
        queue.jobs.push_back(Job::Keep(name, let_go));
        drop(queue);
        self.changed.notify_all();
    }

    /// An answer that waits to be written.
    pub(crate) fn waiting(
        &self,
        url: UrlRef<'_>,
        function: Id,
        values: &Values,
    ) -> Option<Arc<LetGo>> {
        if self.queue.lock().waiting.is_empty() {
            return None;
        }
        let name = name_of(url, function, values);
        self.queue.lock().waiting.get(&name).cloned()
    }

    /// Has an answer that waits not written, if it is one of these.
    pub(crate) fn give_up(
        &self,
        url: UrlRef<'_>,
        variant: &Variant,
        is_it: impl Fn(&Entry) -> bool,
    ) {
        if !self.queue.lock().waiting.is_empty() {
            let name = name_of(url, variant.function, &variant.values);
            self.take_waiting(&name, |there| is_it(&there.entry));
        }
    }

    /// Whether this is still to be written, and no other in its place.
    fn is_wanted(&self, name: &Name, let_go: &Arc<LetGo>) -> bool {
        let queue = self.queue.lock();
        let waiting = queue.waiting.get(name);
        waiting.is_some_and(|waiting| Arc::ptr_eq(waiting, let_go))
    }

    /// It is written, or won't be.
    fn is_over(&self, name: &Name, let_go: &Arc<LetGo>) {
        self.take_waiting(name, |there| Arc::ptr_eq(there, let_go));
    }

    fn take_waiting(&self, name: &Name, is_it: impl Fn(&Arc<LetGo>) -> bool) {
        let mut queue = self.queue.lock();
        if queue.waiting.get(name).is_some_and(is_it) {
            queue.waiting.remove(name);
        }
    }

    /// Removes files that nothing leads to any more.
    pub(crate) fn remove(&self, files: Vec<Place>) -> Removal {
        if files.is_empty() {
            return Removal(None);
        }
        let (done, is_done) = mpsc::channel();
        self.push(Job::Remove(files, done));
        Removal(Some(is_done))
    }

    /// Removes all that an app has.
    pub(crate) fn forget(&self, app: Id) -> Removal {
        let (done, is_done) = mpsc::channel();
        self.push(Job::Forget(app, done));
        Removal(Some(is_done))
    }

    /// `false` after the end: then the job is dropped, and whoever waits for it hears so.
    fn push(&self, job: Job) -> bool {
        let mut queue = self.queue.lock();
        if queue.has_ended {
            return false;
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.changed.notify_all();
        true
    }

    fn has_ended(&self) -> bool {
        self.queue.lock().has_ended
    }

    fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// Files that are being removed.
#[derive(Debug)]
#[must_use = "what is purged is there until this is done"]
pub struct Removal(Option<mpsc::Receiver<()>>);

impl Removal {
    /// Nothing has to be removed.
    pub(crate) fn nothing() -> Self {
        Self(None)
    }

    /// Whether there is nothing to wait for.
    pub fn is_done(&self) -> bool {
        self.0.is_none()
    }

    /// Waits until they are gone. `false` when that can't be said. Blocks.
    pub fn wait(self) -> bool {
        self.wait_for(REMOVAL_TIME_MAX)
    }

    /// The same for somebody who has less time. They are removed all the same. Blocks.
    pub fn wait_for(self, time: Duration) -> bool {
        match self.0 {
            Some(is_done) => is_done.recv_timeout(time).is_ok(),
            None => true,
        }
    }
}

/// An answer that is on the disk.
#[derive(Debug, Clone)]
pub struct Filed {
    disk: Arc<Disk>,
    pub(crate) place: Place,
    end: End,
    bytes: u64,
}

impl Filed {
    pub(crate) fn new(disk: Arc<Disk>, place: Place, known: &Known) -> Self {
        Self {
            disk,
            place,
            end: known.end,
            bytes: known.bytes,
        }
    }

    /// How long its file is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Opens it and reads its head. Blocks.
    ///
    /// # Errors
    /// It can't be read, or isn't the answer to this: then it should be [forgotten](crate::store::Store::forget_damaged) if that
    /// [lasts](Damage::is_lasting).
    pub fn open(&self, url: &Url, variant: &Variant) -> Result<Opened, Damage> {
        let path = self.place.path(&self.disk.root);
        let (reading, _, _) = Reading::open(&path, Some(self.end), Clock::now())?;
        if reading.head.url != *url || reading.head.variant != *variant {
            return Err(Damage::Torn);
        }
        Ok(Opened {
            reading,
            number: self.place.number,
        })
    }
}

/// An answer whose file is open.
#[derive(Debug)]
pub struct Opened {
    reading: Reading,
    number: u64,
}

impl Opened {
    /// How long its content is.
    pub fn length(&self) -> u64 {
        self.reading.head.length
    }

    /// So many bytes of the content at once, by their place among all such pieces. Blocks.
    ///
    /// # Errors
    /// It can't be read, or isn't what was written.
    pub fn piece(&self, number: usize) -> Result<Bytes, Damage> {
        self.reading.piece(number)
    }

    /// The answer, with all of its content, and so much room for codings if it is for clients that take one. Blocks.
    ///
    /// # Errors
    /// It can't be read, or isn't what was written.
    pub fn whole(&self, room: usize) -> Result<Entry, Damage> {
        Ok(self.entry(self.reading.whole()?, room))
    }

    /// The answer without its content.
    pub fn head(&self) -> Entry {
        self.entry(Bytes::new(), NO_ROOM)
    }

    fn entry(&self, body: Bytes, room: usize) -> Entry {
        let head = &self.reading.head;
        Entry {
            variant: head.variant.clone(),
            status: head.status,
            headers: head.headers.clone(),
            body,
            freshness: head.freshness,
            tags: head.tags.clone(),
            coded: Coded::with_room(if head.is_coded { room } else { 0 }),
            filed: Some(self.number),
        }
    }
}

#[cfg(test)]
mod tests;
