//! The epoch ticker: interrupts running guests every millisecond, and sleeps while none runs.
//!
//! Owns one thread. Data-plane threads announce that a guest runs by [`Ticker::enter`]; that is two
//! uncontended atomic operations. The ticker parks once it has seen no guest for a while, so an
//! idle node wakes no CPU.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// Time between two epochs.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks without a running guest after which the ticker parks.
const IDLE_TICKS_MAX: u32 = 50;

#[derive(Debug)]
struct Shared {
    running: AtomicU32,
    parked: AtomicBool,
    ended: AtomicBool,
    seen: AtomicBool,
}

/// Handle to the ticker's thread, which ends when the last handle is dropped.
#[derive(Debug)]
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
    join: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread that advances the epochs of `engines`.
    ///
    /// # Errors
    ///
    /// When the operating system refuses another thread.
    pub fn start(engines: Vec<Engine>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicU32::new(0),
            parked: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            seen: AtomicBool::new(false),
        });
        let join = std::thread::Builder::new().name("everwarm-epoch".into()).spawn({
            let shared = Arc::clone(&shared);
            move || tick(&shared, &engines)
        })?;
        Ok(Self {
            thread: join.thread().clone(),
            shared,
            join: Some(join),
        })
    }

    /// Says that a guest runs until the returned value is dropped.
    pub(crate) fn enter(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.shared)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(join) = self.join.take() {
            // A ticker that panicked has nothing left to clean up.
            let _ = join.join();
        }
    }
}

/// A guest is running; see [`Ticker::enter`].
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.seen.store(true, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(shared: &Shared, engines: &[Engine]) {
    let mut idle_ticks = 0;
    while !shared.ended.load(Ordering::SeqCst) {
        std::thread::sleep(TICK);
        let ran = shared.seen.swap(false, Ordering::Relaxed);
        if shared.running.load(Ordering::SeqCst) > 0 {
            idle_ticks = 0;
            for engine in engines {
                engine.increment_epoch();
            }
            continue;
        }
        idle_ticks = if ran { 0 } else { idle_ticks + 1 };
        if idle_ticks >= IDLE_TICKS_MAX {
            park(shared);
            idle_ticks = 0;
        }
    }
}

/// Parks until a guest runs. `parked` is set before `running` is read, and `enter` does it the
/// other way round, so one of the two always sees the other.
fn park(shared: &Shared) {
    shared.parked.store(true, Ordering::SeqCst);
    while shared.running.load(Ordering::SeqCst) == 0 && !shared.ended.load(Ordering::SeqCst) {
        std::thread::park();
    }
    shared.parked.store(false, Ordering::SeqCst);
}
