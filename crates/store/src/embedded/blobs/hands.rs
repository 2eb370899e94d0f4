//! Threads that read and write files for whoever waits.
//!
//! Owns that blocking on a disk holds up no caller's thread, and how much of it there is at once. Each caller has one job
//! at a time: a slow disk makes callers wait, and nothing pile up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::super::worker::Lost;

/// How many there are. One that syncs a large file leaves the others to the rest.
const HANDS: usize = 4;
/// Jobs that may wait; callers beyond that wait to hand theirs in.
const JOBS_WAITING_MAX: usize = 256;

type Job = Box<dyn FnOnce() + Send>;

/// See the module's documentation. Dropping them finishes the jobs already handed in.
#[derive(Debug)]
pub(super) struct Hands(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    jobs: mpsc::Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl Hands {
    pub(super) fn spawn() -> std::io::Result<Self> {
        let hands = Self(Mutex::default());
        hands.start()?;
        Ok(hands)
    }

    /// Starts the threads that were stopped.
    pub(super) fn start(&self) -> std::io::Result<()> {
        let (jobs, waiting) = mpsc::channel::<Job>(JOBS_WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = (0..HANDS).map(|_| {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new()
                .name("store-blobs".to_owned())
                .spawn(move || {
                    while let Some(job) = next(&waiting) {
                        job();
                    }
                })
        });
        let threads = threads.collect::<std::io::Result<_>>()?;
        *self.running() = Some(Running { jobs, threads });
        Ok(())
    }

    /// Does a job and answers what it returns. It is done even if nobody waits for it any more.
    pub(super) async fn run<T, F>(&self, job: F) -> Result<T, Lost>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let jobs = self.running().as_ref().map(|running| running.jobs.clone());
        let jobs = jobs.ok_or(Lost::Stopped)?;
        let job: Job = Box::new(move || {
            // A caller that has left wants no answer.
            let _ = answer.send(job());
        });
        jobs.send(job).await.map_err(|_| Lost::Stopped)?;
        answered.await.map_err(|_| Lost::Stopped)
    }

    /// Has a job done without waiting for it. Says whether there is room for it.
    pub(super) fn leave(&self, job: impl FnOnce() + Send + 'static) -> bool {
        let running = self.running();
        let jobs = running.as_ref().map(|running| &running.jobs);
        jobs.is_some_and(|jobs| jobs.try_send(Box::new(job)).is_ok())
    }

    /// Finishes the jobs already handed in, and ends the threads.
    pub(super) fn stop(&self) {
        let running = self.running().take();
        let Some(Running { jobs, threads }) = running else {
            return;
        };
        drop(jobs);
        let this = std::thread::current().id();
        for thread in threads {
            // The last who has the store may be a job of its own.
            if thread.thread().id() != this && thread.join().is_err() {
                tracing::error!("a thread of the store had panicked");
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn next(waiting: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    // Whoever waits for a job holds the lock: the others wait for that one.
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.blocking_recv()
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.stop();
    }
}
