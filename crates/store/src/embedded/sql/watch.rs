//! What a running statement is held to: its caller, its time, and what it writes.
//!
//! Owns the looks that SQLite takes while it runs (its progress and busy handlers), and waiting on a connection's
//! thread. A caller that leaves raises a flag of its statement's own, which no other statement of the connection ever
//! looks at; SQLite's own interrupt is the connection's, and might come late and hit the next. Knows no SQL.

use std::fs::File;
use std::future::Future;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Instructions of SQLite's machine between two looks: some microseconds.
const LOOK_EVERY: i32 = 200;
/// How long a statement runs before it needs a pass. Most are done by then: they wait for nobody, and those that take
/// long leave the node its cores.
const WITHOUT_PASS: Duration = Duration::from_millis(5);
/// Time between two looks at what was written, which takes a call of the system's.
const LOOK_AT_WRITES_EVERY: Duration = Duration::from_millis(1);
/// How long a connection waits before it tries a lock of the file's again. Few do: writers wait in a row before.
const LOCK_AGAIN: Duration = Duration::from_millis(1);

/// How many long statements run at once, of a tenant and in all.
pub(super) type Gates = [Arc<Semaphore>; 2];

/// Raised when a statement's caller has left.
#[derive(Debug, Default)]
pub(super) struct Cancel {
    raised: AtomicBool,
    /// Who waits for what the statement needs, once it is there.
    thread: OnceLock<Thread>,
}

impl Cancel {
    pub(super) fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }
}

/// What one statement is held to.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) cancel: Arc<Cancel>,
    /// When it has waited and run too long.
    pub(super) until: Instant,
    /// How long it may run.
    pub(super) running: Duration,
    /// Bytes that it may write to files.
    pub(super) written: u64,
}

/// Why a statement was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its caller has left, or the store was let go.
    Left,
    /// It ran too long.
    Running,
    /// It waited too long.
    Waiting,
    /// It wrote too much.
    Written,
}

/// Looks after the statements of one connection.
#[derive(Debug, Clone)]
pub(super) struct Watch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    current: Mutex<Current>,
    /// Whether the engine's own SQL is prepared, which may do what a guest's may not.
    is_engine: AtomicBool,
    /// Whether the statement that was prepared last makes a table, an index, a view or a trigger.
    makes_object: AtomicBool,
    gates: Gates,
    /// Raised when the store is let go: whatever runs ends.
    closing: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Current {
    held_to: Option<HeldTo>,
    stopped: Option<Stop>,
    denied: Option<String>,
    /// What this thread has written, where the system counts it.
    io: Option<File>,
}

impl Current {
    fn stops(&mut self, stop: Stop) -> bool {
        self.stopped = Some(stop);
        true
    }
}

#[derive(Debug)]
struct HeldTo {
    limits: Limits,
    running_until: Instant,
    written_until: Option<u64>,
    look_at_writes: Instant,
    pass_from: Instant,
    pass: Option<[OwnedSemaphorePermit; 2]>,
    /// How long it has waited for the pass.
    waited: Duration,
}

impl Watch {
    /// For the connection of the current thread.
    pub(super) fn new(closing: Arc<AtomicBool>, gates: Gates) -> Self {
        let current = Current {
            // The kernel's count of this thread alone; other systems have none.
            io: File::open("/proc/thread-self/io").ok(),
            ..Current::default()
        };
        Self(Arc::new(Shared {
            current: Mutex::new(current),
            is_engine: AtomicBool::new(false),
            makes_object: AtomicBool::new(false),
            gates,
            closing,
        }))
    }

    /// Has a connection ask before it does more.
    pub(super) fn attach(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let watch = self.clone();
        connection.progress_handler(LOOK_EVERY, Some(move || watch.must_stop()))?;
        let watch = self.clone();
        connection.busy_handler(Some(move |_| watch.waits_for_lock()))
    }

    /// From now on until the guard is dropped the connection's statement is held to its limits.
    pub(super) fn hold(&self, limits: &Limits) -> Held<'_> {
        let now = Instant::now();
        let mut current = self.current();
        let written = current.io.as_ref().and_then(written);
        current.held_to = Some(HeldTo {
            limits: limits.clone(),
            running_until: now + limits.running,
            written_until: written.map(|bytes| bytes.saturating_add(limits.written)),
            look_at_writes: now + LOOK_AT_WRITES_EVERY,
            pass_from: now + WITHOUT_PASS,
            pass: None,
            waited: Duration::ZERO,
        });
        current.stopped = None;
        current.denied = None;
        self.0.makes_object.store(false, Ordering::Relaxed);
        Held { watch: self, now }
    }

    /// Why the statement was stopped that was held last.
    pub(super) fn stopped(&self) -> Option<Stop> {
        self.current().stopped
    }

    /// What it was denied.
    pub(super) fn denied(&self) -> Option<String> {
        self.current().denied.take()
    }

    pub(super) fn deny(&self, what: String) {
        self.current().denied.get_or_insert(what);
    }

    pub(super) fn is_engine(&self) -> bool {
        self.0.is_engine.load(Ordering::Relaxed)
    }

    /// Does what the engine itself wants of the connection.
    pub(super) fn as_engine<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.is_engine.store(true, Ordering::Relaxed);
        let done = work();
        self.0.is_engine.store(false, Ordering::Relaxed);
        done
    }

    pub(super) fn makes_object(&self) -> bool {
        self.0.makes_object.load(Ordering::Relaxed)
    }

    pub(super) fn note_object(&self) {
        self.0.makes_object.store(true, Ordering::Relaxed);
    }

    fn must_stop(&self) -> bool {
        let is_closing = self.0.closing.load(Ordering::Relaxed);
        let limits = {
            let mut current = self.current();
            let current = &mut *current;
            let Some(held_to) = &mut current.held_to else {
                return is_closing;
            };
            let now = Instant::now();
            let stop = held_to.stop(is_closing, now, current.io.as_ref());
            if stop.is_some() {
                current.stopped = stop;
                return true;
            }
            if held_to.pass.is_some() || now < held_to.pass_from {
                return false;
            }
            held_to.limits.clone()
        };
        self.take_pass(&limits)
    }

    /// Waits for a pass. `true` when there is none in time.
    fn take_pass(&self, limits: &Limits) -> bool {
        let start = Instant::now();
        let [of_tenant, of_all] = &self.0.gates;
        let pass = self.wait(
            async {
                // The tenant's first: who waits there keeps nobody else out.
                let of_tenant = Arc::clone(of_tenant).acquire_owned().await.ok()?;
                let of_all = Arc::clone(of_all).acquire_owned().await.ok()?;
                Some([of_tenant, of_all])
            },
            limits,
        );
        let mut current = self.current();
        let pass = match pass {
            Ok(Some(pass)) => pass,
            Ok(None) => return current.stops(Stop::Left),
            Err(stop) => return current.stops(stop),
        };
        let Some(held_to) = &mut current.held_to else {
            return true;
        };
        held_to.pass = Some(pass);
        let waited = start.elapsed();
        held_to.waited += waited;
        held_to.running_until += waited;
        false
    }

    /// Waits a little, if the statement may go on waiting.
    fn waits_for_lock(&self) -> bool {
        if self.must_stop() {
            return false;
        }
        let until = self.current().held_to.as_ref().map(|it| it.limits.until);
        let is_over = until.is_none_or(|until| until <= Instant::now());
        if is_over {
            self.current().stopped = Some(Stop::Waiting);
        } else {
            std::thread::sleep(LOCK_AGAIN);
        }
        !is_over
    }

    /// Waits on this thread for what a statement needs.
    pub(super) fn wait<T>(
        &self,
        need: impl Future<Output = T>,
        limits: &Limits,
    ) -> Result<T, Stop> {
        let mut need = std::pin::pin!(need);
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        let _ = limits.cancel.thread.set(std::thread::current());
        loop {
            if let Poll::Ready(done) = need.as_mut().poll(&mut context) {
                return Ok(done);
            }
            if limits.cancel.is_raised() || self.0.closing.load(Ordering::Acquire) {
                return Err(Stop::Left);
            }
            let left = limits.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Stop::Waiting);
            }
            std::thread::park_timeout(left);
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Nothing under the lock leaves anything half-done.
        let current = self.0.current.lock();
        current.unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldTo {
    fn stop(&mut self, is_closing: bool, now: Instant, io: Option<&File>) -> Option<Stop> {
        if is_closing || self.limits.cancel.is_raised() {
            return Some(Stop::Left);
        }
        if now >= self.running_until {
            return Some(Stop::Running);
        }
        if let Some(until) = self.written_until
            && now >= self.look_at_writes
        {
            self.look_at_writes = now + LOOK_AT_WRITES_EVERY;
            if io.and_then(written).is_some_and(|bytes| bytes > until) {
                return Some(Stop::Written);
            }
        }
        None
    }
}

/// A statement that is held to its limits.
pub(super) struct Held<'a> {
    watch: &'a Watch,
    now: Instant,
}

impl Held<'_> {
    /// How long it has run.
    pub(super) fn ran(&self) -> Duration {
        let current = self.watch.current();
        let waited = current.held_to.as_ref().map(|held_to| held_to.waited);
        self.now
            .elapsed()
            .saturating_sub(waited.unwrap_or_default())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.watch.current().held_to = None;
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Bytes that the thread has written until now, as the kernel counts them.
fn written(io: &File) -> Option<u64> {
    let mut text = [0; 256];
    let read = io.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(&text[..read]).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "))?;
    line.parse().ok()
}
