//! A thread that owns a piece of state and does one job on it after another.
//!
//! Owns how blocking work is kept off the caller's runtime. Knows nothing of what the jobs do.

use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

/// Jobs that may wait for one worker; callers beyond that wait to hand theirs in.
const JOBS_WAITING_MAX: usize = 256;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread and its state. Dropping it finishes the jobs already handed in, then drops the state.
#[derive(Debug)]
pub(super) struct Worker<S> {
    jobs: Option<mpsc::Sender<Job<S>>>,
    thread: Option<JoinHandle<()>>,
}

/// The worker's thread is gone: a job panicked.
#[derive(Debug, thiserror::Error)]
#[error("the store's thread has stopped: restart the node")]
pub(super) struct Stopped;

impl<S: Send + 'static> Worker<S> {
    pub(super) fn spawn(name: &str, mut state: S) -> std::io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Job<S>>(JOBS_WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while let Some(job) = waiting.blocking_recv() {
                    job(&mut state);
                }
            })?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs a job on the state and answers what it returns.
    pub(super) async fn run<T, F>(&self, job: F) -> Result<T, Stopped>
    where
        T: Send + 'static,
        F: FnOnce(&mut S) -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(Stopped)?;
        jobs.send(Box::new(move |state| {
            // A caller that has left wants no answer; the job is done all the same.
            let _ = answer.send(job(state));
        }))
        .await
        .map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread of the store had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Worker;

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
        let worker = Worker::spawn("test", ()).unwrap();
        let first = worker.run(|()| panic!("a fault injected by a test")).await;
        assert!(first.is_err());
        assert!(worker.run(|()| ()).await.is_err());
    }
}
