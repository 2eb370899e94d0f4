//! The task that delivers the messages of one trigger: takes those that are due, calls the handler, and stores what came
//! of it. The calls are tasks of its own.

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use everwarm_store::catalog::UnixMillis;
use everwarm_store::triggers::{
    BATCH_BYTES_MAX, BATCH_MAX, Lease, Leased, TriggerError, TriggerId,
};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Busy, Consumer, Shared};
use crate::call::{self, Call, CallError};
use crate::verdict::{self, Said};

/// How much longer than a call may take its messages are kept from others: what came of it is stored meanwhile.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(30);
/// The pause between two tries to store what came of a call.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);
/// The pause after the store failed.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The longest sleep: the wall clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// The pauses after the node had too much to do for a call: the first, and the longest.
const NOT_NOW_PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

pub(super) struct Worker {
    pub(super) of: TriggerId,
    pub(super) shared: Arc<Shared>,
    /// There may be something new.
    pub(super) wake: Arc<Notify>,
    /// Who handles messages; the trigger is gone when its sender is.
    pub(super) orders: watch::Receiver<Consumer>,
}

/// How a call went, as far as the worker has to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Went {
    /// There was an answer, or there won't be one.
    Through,
    /// The node had too much to do.
    NotNow,
}

/// The pause while the node has too much to do: longer each time that a call tells so after it, until one gets through.
struct Pause {
    until: Option<Instant>,
    next: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            until: None,
            next: NOT_NOW_PAUSES.0,
        }
    }
}

impl Pause {
    /// How much of it is left; `None` when it is over. What wakes the worker meanwhile doesn't begin it anew.
    fn left(&mut self, now: Instant) -> Option<Duration> {
        let left = self.until?.checked_duration_since(now);
        let left = left.filter(|left| !left.is_zero());
        if left.is_none() {
            self.until = None;
        }
        left
    }

    /// A call went so. Those that were under way together are one reason to pause.
    fn heard(&mut self, went: Went, now: Instant) {
        match went {
            Went::Through => *self = Self::default(),
            Went::NotNow if self.until.is_some() => {}
            Went::NotNow => {
                self.until = Some(now + self.next);
                self.next = (self.next * 2).min(NOT_NOW_PAUSES.1);
            }
        }
    }
}

/// Since when a batch waits for others.
#[derive(Default)]
struct Filling(Option<Instant>);

impl Worker {
    pub(super) async fn run(mut self) {
        let mut calls: JoinSet<Went> = JoinSet::new();
        let mut takes = self.shared.takes.subscribe();
        let mut filling = Filling::default();
        let mut pause = Pause::default();
        loop {
            let next = match pause.left(Instant::now()) {
                Some(left) => Some(left),
                None => self.take(&mut calls, &mut filling).await,
            };
            let may_sleep = next.map(|next| next.min(SLEEP_MAX));
            tokio::select! {
                () = self.wake.notified() => {}
                changed = self.orders.changed() => if changed.is_err() { break },
                changed = takes.changed() => if changed.is_err() { break },
                Some(ended) = calls.join_next(), if !calls.is_empty() => {
                    // A call that panicked is as one that was lost: its messages come back when their lease is over.
                    pause.heard(ended.unwrap_or(Went::Through), Instant::now());
                }
                () = sleep(may_sleep.unwrap_or_default()), if may_sleep.is_some() => {}
            }
        }
        while calls.join_next().await.is_some() {}
    }

    /// Starts calls as long as messages are due and there is room for calls. Says when to look again; `None` when something
    /// else will say so.
    async fn take(&self, calls: &mut JoinSet<Went>, filling: &mut Filling) -> Option<Duration> {
        loop {
            let consumer = self.orders.borrow().clone();
            let room = (consumer.concurrency.get() as usize).saturating_sub(calls.len());
            if room == 0 {
                return None;
            }
            let busy = self.shared.take()?;
            match self.take_batches(&consumer, room, filling).await {
                Ok(ControlFlow::Continue(messages)) => {
                    let mut messages = messages.into_iter();
                    let batch = consumer.batch.get() as usize;
                    while messages.len() > 0 {
                        let messages = messages.by_ref().take(batch).collect();
                        let call =
                            deliver(busy.also(), self.of.clone(), consumer.clone(), messages);
                        calls.spawn(call);
                    }
                }
                Ok(ControlFlow::Break(next)) => return next,
                Err(error) => {
                    let TriggerId {
                        tenant,
                        app,
                        trigger,
                    } = &self.of;
                    tracing::error!(%tenant, %app, %trigger, %error, "messages can't be taken from the store");
                    return Some(LOOK_AGAIN);
                }
            }
        }
    }

    /// Messages for up to `calls` calls, or when to look again. All are taken at once: each time is a wait for the disk.
    async fn take_batches(
        &self,
        consumer: &Consumer,
        calls: usize,
        filling: &mut Filling,
    ) -> Result<ControlFlow<Option<Duration>, Vec<Leased>>, TriggerError> {
        let (triggers, now) = (self.shared.store.triggers(), UnixMillis::now());
        let Some(due) = triggers.next_due(&self.of, now).await? else {
            filling.0 = None;
            return Ok(ControlFlow::Break(None));
        };
        if let Some(wait) = due.0.checked_sub(now.0).filter(|wait| *wait > 0) {
            filling.0 = None;
            return Ok(ControlFlow::Break(Some(Duration::from_millis(wait))));
        }
        let batches = match self.batches(consumer, filling, now).await? {
            ControlFlow::Continue(batches) => batches.min(calls),
            ControlFlow::Break(wait) => return Ok(ControlFlow::Break(Some(wait))),
        };
        if self.orders.has_changed().is_err() {
            // The trigger went while its messages were looked for: they are nobody's now, and none is taken.
            return Ok(ControlFlow::Break(None));
        }
        let mine = consumer.visibility.duration() + SETTLE_TIME_MAX;
        let lease = Lease {
            count_max: at_once(consumer.batch, batches),
            bytes_max: BATCH_BYTES_MAX,
            until: UnixMillis(now.0 + u64::try_from(mine.as_millis()).unwrap_or(u64::MAX >> 1)),
        };
        let messages = triggers.lease(&self.of, lease, now).await?;
        if messages.is_empty() {
            // Somebody else has taken or removed them, or the trigger has been paused since.
            return Ok(ControlFlow::Break(Some(LOOK_AGAIN)));
        }
        Ok(ControlFlow::Continue(messages))
    }

    /// How many batches there are to take: only full ones as long as the rest may wait for more. Or how long to wait for
    /// the first.
    async fn batches(
        &self,
        consumer: &Consumer,
        filling: &mut Filling,
        now: UnixMillis,
    ) -> Result<ControlFlow<Duration, usize>, TriggerError> {
        if consumer.batch_wait.as_u64() == 0 || consumer.batch.get() == 1 {
            return Ok(ControlFlow::Continue(usize::MAX));
        }
        let since = *filling.0.get_or_insert_with(Instant::now);
        let left = consumer
            .batch_wait
            .duration()
            .saturating_sub(since.elapsed());
        if left.is_zero() {
            filling.0 = None;
            return Ok(ControlFlow::Continue(usize::MAX));
        }
        let standing = self.shared.store.triggers().standing(&self.of, now).await?;
        match standing.due / u64::from(consumer.batch.get()) {
            0 => Ok(ControlFlow::Break(left)),
            full => {
                filling.0 = None;
                Ok(ControlFlow::Continue(
                    usize::try_from(full).unwrap_or(usize::MAX),
                ))
            }
        }
    }
}

/// Messages of one lease: for so many batches, but for at least one and within what a lease may have.
fn at_once(batch: NonZeroU32, batches: usize) -> u32 {
    let batches_max = (BATCH_MAX / batch.get() as usize).max(1);
    let batches = u32::try_from(batches.min(batches_max)).unwrap_or(1);
    batch.get().saturating_mul(batches)
}

/// Calls the handler with messages, and stores what came of it.
async fn deliver(busy: Busy, of: TriggerId, consumer: Consumer, messages: Vec<Leased>) -> Went {
    let shared = Arc::clone(&busy.0);
    let (headers, body) = match &messages[..] {
        [message] if consumer.batch.get() == 1 => call::single(&of, message),
        _ => call::batch(&of, &messages),
    };
    let patience = consumer.visibility.duration();
    let call = shared.caller.call(Call {
        tenant: of.tenant.clone(),
        app: of.app.clone(),
        function: consumer.function,
        path: consumer.path,
        headers,
        body,
        deadline: Instant::now() + patience,
    });
    let said = match tokio::time::timeout(patience, call).await {
        Ok(answered) => Said::Answered(answered),
        Err(_) => Said::TookTooLong,
    };
    let chance = || getrandom::u64().unwrap_or_default();
    let now = UnixMillis::now();
    let settlements =
        verdict::settlements(&of.trigger, &consumer.retry, &messages, &said, now, chance);
    let deadline = Instant::now() + SETTLE_TIME_MAX;
    loop {
        let settled = shared
            .store
            .triggers()
            .settle(&of, settlements.clone(), now)
            .await;
        let TriggerId {
            tenant,
            app,
            trigger,
        } = &of;
        match settled {
            Ok(_) => break,
            Err(error) if Instant::now() + SETTLE_AGAIN < deadline => {
                tracing::warn!(%tenant, %app, %trigger, %error, "what came of messages can't be stored yet");
                sleep(SETTLE_AGAIN).await;
            }
            Err(error) => {
                tracing::error!(%tenant, %app, %trigger, %error, "what came of messages can't be stored: they will be delivered again");
                break;
            }
        }
    }
    for settlement in &settlements {
        shared.counts.add(&settlement.outcome);
    }
    drop(busy);
    match said {
        Said::Answered(Err(CallError::NotNow)) => Went::NotNow,
        Said::Answered(_) | Said::TookTooLong => Went::Through,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_is_not_begun_anew_and_grows_with_each_try() {
        let (first, longest) = NOT_NOW_PAUSES;
        let mut pause = Pause::default();
        let begin = Instant::now();
        assert_eq!(pause.left(begin), None);
        for _ in 0..16 {
            pause.heard(Went::NotNow, begin);
        }
        assert_eq!(pause.left(begin), Some(first), "16 calls, one reason");
        let half = begin + first / 2;
        assert_eq!(pause.left(half), Some(first / 2), "it goes on");
        let mut now = begin + first;
        for nth in 1..10 {
            assert_eq!(pause.left(now), None);
            pause.heard(Went::NotNow, now);
            let all = pause.left(now).unwrap();
            assert_eq!(all, (first * (1 << nth)).min(longest));
            now += all;
        }
        pause.heard(Went::Through, now);
        pause.heard(Went::NotNow, now);
        assert_eq!(pause.left(now), Some(first));
    }
}
