//! The task that fires one schedule: sleeps until its cron line is due, and keeps a message for the run. From there on a run
//! is a message as any other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use everwarm_manifest::triggers::{Overlap, Schedule};
use everwarm_store::catalog::UnixMillis;
use everwarm_store::triggers::{Content, NewMessage, TriggerError, TriggerId};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::{Occasion, Shared};
use crate::plan;

/// The longest sleep: the wall clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// The pause after the store failed.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A schedule that was fired so far in the future was fired by a clock that was wrong, and begins anew.
const AHEAD_MAX_MS: u64 = 3_600_000;

pub(super) struct Clock {
    pub(super) of: TriggerId,
    pub(super) shared: Arc<Shared>,
    /// The schedule was paused, or goes on.
    pub(super) wake: Arc<Notify>,
    /// Delivers what is fired.
    pub(super) worker: Arc<Notify>,
    /// When to fire; the trigger is gone when its sender is.
    pub(super) orders: watch::Receiver<Schedule>,
}

impl Clock {
    pub(super) async fn run(mut self, occasion: Occasion) {
        let mut takes = self.shared.takes.subscribe();
        let mut schedule = self.orders.borrow_and_update().clone();
        // Whether what is due is counted from now on, whatever was fired before.
        let mut begins_now = occasion == Occasion::Deploy;
        loop {
            let next = match self.look(&schedule, &mut begins_now).await {
                Ok(next) => next,
                Err(error) => {
                    let TriggerId {
                        tenant,
                        app,
                        trigger,
                    } = &self.of;
                    tracing::error!(%tenant, %app, %trigger, %error, "the schedule can't be fired");
                    Some(LOOK_AGAIN)
                }
            };
            let next = next.map(|next| next.min(SLEEP_MAX));
            tokio::select! {
                () = self.wake.notified() => {}
                changed = takes.changed() => if changed.is_err() { return },
                changed = self.orders.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let new = self.orders.borrow_and_update().clone();
                    begins_now |= (&new.cron, &new.zone) != (&schedule.cron, &schedule.zone);
                    schedule = new;
                }
                () = sleep(next.unwrap_or_default()), if next.is_some() => {}
            }
        }
    }

    /// Fires what is due. Says how long to sleep; `None` when something else will wake us.
    async fn look(
        &self,
        schedule: &Schedule,
        begins_now: &mut bool,
    ) -> Result<Option<Duration>, TriggerError> {
        let Some(_busy) = self.shared.take() else {
            return Ok(None);
        };
        let (triggers, now) = (self.shared.store.triggers(), UnixMillis::now());
        let fired = triggers.fired(&self.of).await?;
        let fire = |from, runs| {
            triggers.fire(
                &self.of,
                from,
                now,
                runs,
                (self.shared.quota)(&self.of.tenant),
                now,
            )
        };
        let from = match fired {
            Some(from) if !*begins_now && from.0 <= now.0 + AHEAD_MAX_MS => from,
            _ => {
                // While it is paused it can't begin.
                *begins_now = !fire(fired, Vec::new()).await?;
                now
            }
        };
        let standing = triggers.standing(&self.of, now).await?;
        if standing.is_paused {
            return Ok(None);
        }
        let (cron, zone) = (&schedule.cron, &schedule.zone);
        let Some(mut plan) = plan::due(cron, zone, schedule.missed, from.0, now.0) else {
            let next = cron.next_after(from.0.max(now.0), zone);
            return Ok(next.map(|next| Duration::from_millis(next - now.0)));
        };
        let is_under_way = standing.due + standing.delayed + standing.leased > 0;
        if schedule.overlap == Overlap::Skip && is_under_way {
            plan.left_out += plan.runs.len();
            plan.runs.clear();
        }
        if plan.left_out > 0 {
            let TriggerId {
                tenant,
                app,
                trigger,
            } = &self.of;
            tracing::warn!(%tenant, %app, %trigger, left_out = plan.left_out, "runs of a schedule are left out");
            let left_out = &self.shared.counts.left_out;
            left_out.fetch_add(plan.left_out as u64, Ordering::Relaxed);
        }
        let runs = plan.runs.iter().map(|moment| run(schedule, *moment, now));
        if fire(Some(from), runs.collect()).await? {
            self.worker.notify_one();
        }
        let next = cron.next_after(now.0, zone);
        Ok(next.map(|next| Duration::from_millis(next.saturating_sub(UnixMillis::now().0))))
    }
}

/// The message that stands for a run.
fn run(schedule: &Schedule, moment: u64, now: UnixMillis) -> NewMessage {
    let jitter = match schedule.jitter.as_u64() {
        0 => 0,
        most => getrandom::u64().unwrap_or_default() % (most + 1),
    };
    NewMessage {
        content: Content {
            scheduled: Some(UnixMillis(moment)),
            ..Content::default()
        },
        due: UnixMillis(now.0 + jitter),
    }
}
