//! A thread that owns a piece of state and does one job on it after another.
//!
//! Owns how blocking work is kept off the caller's runtime, and that what waits is handed to the state together.
//! Knows nothing of what the jobs do, or of what a state makes of a turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::EngineError;

/// Jobs that may wait for one worker; callers beyond that wait to hand theirs in.
const JOBS_WAITING_MAX: usize = 256;
/// Jobs of one turn.
const TURN_MAX: usize = 128;

/// A job.
pub(super) struct Job<S> {
    /// Whether it can't share a transaction with others.
    pub(super) alone: bool,
    /// Does its work, and returns what tells its caller once it is known whether the work is kept.
    pub(super) work: Box<dyn FnOnce(&mut S) -> Answer + Send>,
}

/// Tells a job's caller.
pub(super) type Answer = Box<dyn FnOnce(Result<(), Lost>)>;

/// A piece of state that a worker can own.
pub(super) trait State: Send + Sized + 'static {
    /// Does the jobs that have come meanwhile, in order, and answers each. At least one.
    fn turn(&mut self, jobs: Vec<Job<Self>>);
}

/// A thread and its state. Dropping it finishes the jobs already handed in, then drops the state.
#[derive(Debug)]
pub(super) struct Worker<S> {
    name: &'static str,
    running: Mutex<Option<Running<S>>>,
}

#[derive(Debug)]
struct Running<S> {
    jobs: mpsc::Sender<Job<S>>,
    thread: JoinHandle<()>,
}

/// Why a job's work isn't kept, or not known to be.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Lost {
    /// The worker's thread is gone: a job panicked, or the store was let go.
    #[error(
        "the store isn't there: another process has taken it over, or its thread has stopped (restart the node then)"
    )]
    Stopped,
    /// The jobs of its turn couldn't be made to last.
    #[error("it couldn't be committed: {0}")]
    NotCommitted(Arc<EngineError>),
}

impl<S: State> Worker<S> {
    pub(super) fn spawn(name: &'static str, state: S) -> std::io::Result<Self> {
        let worker = Self {
            name,
            running: Mutex::default(),
        };
        worker.start(state)?;
        Ok(worker)
    }

    /// Starts the thread of a worker that was stopped.
    pub(super) fn start(&self, mut state: S) -> std::io::Result<()> {
        let (jobs, mut waiting) = mpsc::channel::<Job<S>>(JOBS_WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name(self.name.to_owned())
            .spawn(move || {
                while let Some(job) = waiting.blocking_recv() {
                    let mut turn = vec![job];
                    while turn.len() < TURN_MAX
                        && let Ok(job) = waiting.try_recv()
                    {
                        turn.push(job);
                    }
                    state.turn(turn);
                }
            })?;
        *self.running() = Some(Running { jobs, thread });
        Ok(())
    }

    /// Runs a job on the state and answers what it returns, once that is kept.
    pub(super) async fn run<T, F>(&self, job: F) -> Result<T, Lost>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> T + Send + 'static,
    {
        self.send(false, job).await
    }

    /// As [`Worker::run`], and no other job is done together with it.
    pub(super) async fn run_alone<T, F>(&self, job: F) -> Result<T, Lost>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> T + Send + 'static,
    {
        self.send(true, job).await
    }

    async fn send<T, F>(&self, alone: bool, job: F) -> Result<T, Lost>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let jobs = self.running().as_ref().map(|running| running.jobs.clone());
        let jobs = jobs.ok_or(Lost::Stopped)?;
        let work = Box::new(move |state: &mut S| {
            let done = job(state);
            Box::new(move |kept: Result<(), Lost>| {
                // A caller that has left wants no answer; the job is done all the same.
                let _ = answer.send(kept.map(|()| done));
            }) as Answer
        });
        let job = Job { alone, work };
        jobs.send(job).await.map_err(|_| Lost::Stopped)?;
        answered.await.unwrap_or(Err(Lost::Stopped))
    }
}

impl<S> Worker<S> {
    /// Finishes the jobs already handed in, and drops the state. Blocks until it is dropped.
    pub(super) fn stop(&self) {
        let running = self.running().take();
        let Some(Running { jobs, thread }) = running else {
            return;
        };
        drop(jobs);
        if thread.join().is_err() {
            tracing::error!("a thread of the store had panicked");
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running<S>>> {
        // Nothing that can panic runs under the lock.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::{Job, State, Worker};

    impl State for u32 {
        fn turn(&mut self, jobs: Vec<Job<Self>>) {
            for job in jobs {
                (job.work)(self)(Ok(()));
            }
        }
    }

    #[tokio::test]
    async fn jobs_run_one_after_another_on_the_same_state() {
        let worker = Worker::spawn("test", 0_u32).unwrap();
        for expected in 1..=3 {
            let count = worker.run(|count| {
                *count += 1;
                *count
            });
            assert_eq!(count.await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_panic_in_a_job_is_an_error_to_its_caller_and_the_next() {
        let worker = Worker::spawn("test", 0_u32).unwrap();
        let first = worker.run(|_| panic!("a fault injected by a test")).await;
        assert!(first.is_err());
        assert!(worker.run(|_| ()).await.is_err());
    }

    #[tokio::test]
    async fn worker_that_was_stopped_refuses_until_it_is_started_again() {
        let worker = Worker::spawn("test", 1_u32).unwrap();
        worker.stop();
        assert!(worker.run(|count| *count).await.is_err());
        worker.start(2).unwrap();
        assert_eq!(worker.run(|count| *count).await.unwrap(), 2);
    }
}
