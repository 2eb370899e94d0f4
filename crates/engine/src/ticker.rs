//! The epoch ticker: interrupts running guests every millisecond, and sleeps while none runs.
//!
//! Owns one thread. Data-plane threads announce that a guest runs by `Ticker::enter`; that is two
//! uncontended atomic operations. The ticker parks once it has seen no guest for a while, so an
//! idle node wakes no CPU.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use wasmtime::Engine;

use crate::priority;
use crate::stripes::Striped;

/// Time between two epochs.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks without a running guest after which the ticker parks.
const IDLE_TICKS_MAX: u32 = 50;

#[derive(Debug)]
struct Shared {
    stripes: Striped<Stripe>,
    parked: AtomicBool,
    ended: AtomicBool,
}

/// What the threads of one stripe have counted.
#[derive(Debug, Default)]
struct Stripe {
    /// Guests that run now.
    running: AtomicU32,
    /// Guests that have run, ever; wraps.
    ran: AtomicU32,
}

impl Shared {
    fn some_run(&self) -> bool {
        self.stripes
            .iter()
            .any(|stripe| stripe.running.load(Ordering::SeqCst) > 0)
    }

    fn ran(&self) -> u32 {
        let counts = self
            .stripes
            .iter()
            .map(|stripe| stripe.ran.load(Ordering::Relaxed));
        counts.fold(0, u32::wrapping_add)
    }
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
            stripes: Striped::default(),
            parked: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let join = std::thread::Builder::new()
            .name("everwarm-epoch".into())
            .spawn({
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
        let stripe = self.shared.stripes.mine();
        stripe.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(stripe)
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

/// A guest is running; see `Ticker::enter`.
pub(crate) struct Running<'a>(&'a Stripe);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.ran.fetch_add(1, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(shared: &Shared, engines: &[Engine]) {
    priority::be_prompt();
    let mut idle_ticks = 0;
    let mut ran = shared.ran();
    while !shared.ended.load(Ordering::SeqCst) {
        std::thread::sleep(TICK);
        if shared.some_run() {
            idle_ticks = 0;
            for engine in engines {
                engine.increment_epoch();
            }
            continue;
        }
        let ran_before = std::mem::replace(&mut ran, shared.ran());
        idle_ticks = if ran == ran_before { idle_ticks + 1 } else { 0 };
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
    while !shared.some_run() && !shared.ended.load(Ordering::SeqCst) {
        std::thread::park();
    }
    shared.parked.store(false, Ordering::SeqCst);
}
