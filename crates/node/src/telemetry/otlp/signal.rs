//! The task that sends one signal: batch by batch, one at a time, again where the collector asks for patience.
//!
//! Owns how often something is tried and when it is given up. While a batch waits for its next try, the queue behind it
//! fills and then drops: nothing else does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::send::{Outcome, Sender};
use super::waiting::{BATCH_MAX, Waiting};

/// How long something waits at most before it is sent, where the collector keeps up.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Tries of one batch.
const TRIES_MAX: u32 = 5;
/// Pause before the second try; twice as long before each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause, whatever the collector asks for.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Time between two warnings of one signal.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// When a signal's last warning was.
#[derive(Default)]
pub(super) struct Warned(Option<Instant>);

impl Warned {
    /// Whether it is time for another one, which is then the last.
    pub(super) fn again(&mut self) -> bool {
        let is_time = self.0.is_none_or(|at| at.elapsed() >= WARN_EVERY);
        if is_time {
            self.0 = Some(Instant::now());
        }
        is_time
    }
}

/// Sends what waits, until the node ends and nothing does.
pub(super) async fn run<T>(
    path: &'static str,
    sender: Sender,
    waiting: Arc<Waiting<T>>,
    encode: impl Fn(&[T]) -> Vec<u8>,
    mut ending: watch::Receiver<bool>,
) {
    let mut warned = Warned::default();
    loop {
        let ends = *ending.borrow_and_update();
        if !ends {
            tokio::select! {
                () = tokio::time::sleep(FLUSH_EVERY) => {}
                () = waiting.full() => {}
                // Whoever would say when the node ends is gone, and with it what would wait.
                changed = ending.changed() => if changed.is_err() {
                    return;
                }
            }
        }
        loop {
            let batch = waiting.take();
            if batch.is_empty() {
                break;
            }
            let body = encode(&batch);
            match deliver(path, &sender, body, &mut ending).await {
                Ok(rejected) => {
                    waiting.counts().sent(batch.len().saturating_sub(rejected));
                    waiting.counts().dropped(rejected);
                }
                Err(reason) => {
                    waiting.counts().dropped(batch.len());
                    if warned.again() {
                        tracing::warn!(
                            path,
                            reason,
                            items = batch.len(),
                            "telemetry was dropped: the collector doesn't take it"
                        );
                    }
                }
            }
            // What has come meanwhile waits for more of it.
            if !ends && batch.len() < BATCH_MAX {
                break;
            }
        }
        if ends {
            return;
        }
    }
}

/// Sends a batch, again if that may help. How many of it the collector rejected, or why it took none.
async fn deliver(
    path: &'static str,
    sender: &Sender,
    body: Vec<u8>,
    ending: &mut watch::Receiver<bool>,
) -> Result<usize, String> {
    let body = bytes::Bytes::from(body);
    let mut pause = PAUSE_FIRST;
    let mut tries = 0;
    loop {
        tries += 1;
        let (reason, after) = match sender.send(path, body.clone()).await {
            Outcome::Taken { rejected } => return Ok(rejected),
            Outcome::Refused(reason) => return Err(reason),
            Outcome::Later { reason, after } => (reason, after),
        };
        if tries >= TRIES_MAX {
            return Err(reason);
        }
        let asked = after.unwrap_or(pause).min(PAUSE_MAX);
        pause = (pause * 2).min(PAUSE_MAX);
        if *ending.borrow() {
            // Nothing is gained by waiting: what comes after it has little time as well.
            return Err(reason);
        }
        tokio::select! {
            () = tokio::time::sleep(asked) => {}
            // One more try, at once.
            _ = ending.changed() => {}
        }
    }
}
