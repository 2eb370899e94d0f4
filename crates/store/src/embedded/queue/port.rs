//! The port: each method is one read on the caller's thread, or one job of the writer's. Owns what is refused before
//! that.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use everwarm_manifest::{AppName, TenantId};

use super::write::{self, Batch};
use super::{Queue, lease, read, sweep};
use crate::StoreFuture;
use crate::catalog::UnixMillis;
use crate::triggers::{
    BATCH_BYTES_MAX, BATCH_MAX, BODY_BYTES_MAX, DELAY_MS_MAX, FIELD_BYTES_MAX, KeptMessages, Lease,
    Leased, MessageId, NewMessage, Outcome, PAGE_MAX, Page, REASON_BYTES_MAX, Settlement, Standing,
    SweptMessages, Trigger, TriggerError, TriggerId, TriggerQuota, Triggers, Which,
};

/// [`BATCH_MAX`], as leases count.
const COUNT_MAX: u32 = 100;
const _: () = assert!(COUNT_MAX as usize == BATCH_MAX);

/// Bytes of messages that may be kept together.
fn checked(messages: &[NewMessage], now: UnixMillis) -> Result<usize, TriggerError> {
    bounded(messages.len())?;
    let mut sum = 0;
    for NewMessage { content, due } in messages {
        let bytes = content.body.len();
        if bytes > BODY_BYTES_MAX {
            return Err(TriggerError::BodyTooLarge { bytes });
        }
        let fields = [&content.content_type, &content.trace];
        if (fields.into_iter().flatten()).any(|field| field.len() > FIELD_BYTES_MAX) {
            return Err(TriggerError::FieldTooLong);
        }
        if due.0.saturating_sub(now.0) > DELAY_MS_MAX {
            return Err(TriggerError::DelayTooLong);
        }
        sum += bytes;
    }
    if sum > BATCH_BYTES_MAX {
        return Err(TriggerError::BatchTooLarge);
    }
    Ok(sum)
}

fn bounded(messages: usize) -> Result<(), TriggerError> {
    if messages > BATCH_MAX {
        return Err(TriggerError::BatchTooLong { messages });
    }
    Ok(())
}

/// What is kept of a reason is all that waits.
fn cut(reason: &mut String) {
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
}

impl Triggers for Queue {
    fn send<'a>(
        &'a self,
        to: &'a TriggerId,
        messages: Vec<NewMessage>,
        quota: TriggerQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Vec<MessageId>, TriggerError>> {
        let to = to.clone();
        Box::pin(async move {
            let bytes = checked(&messages, now)?;
            if messages.is_empty() {
                return Ok(Vec::new());
            }
            let batch = Batch {
                to,
                messages,
                quota,
                now,
            };
            let sent = self
                .file
                .write(bytes, move |connection| write::send(connection, &batch));
            sent.await
        })
    }

    fn lease<'a>(
        &'a self,
        of: &'a TriggerId,
        lease: Lease,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Vec<Leased>, TriggerError>> {
        let of = of.clone();
        let lease = Lease {
            count_max: lease.count_max.min(COUNT_MAX),
            bytes_max: lease.bytes_max.min(BATCH_BYTES_MAX),
            ..lease
        };
        let count = u64::from(lease.count_max);
        let first = self.receipts.fetch_add(count, Ordering::Relaxed);
        let answers = Arc::clone(&self.answers);
        Box::pin(async move {
            let leased = self.file.write(0, move |connection| {
                lease::lease(connection, &of, lease, first, now, &answers)
            });
            Ok(leased.await?.messages)
        })
    }

    fn settle<'a>(
        &'a self,
        of: &'a TriggerId,
        mut settlements: Vec<Settlement>,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<u32, TriggerError>> {
        let of = of.clone();
        Box::pin(async move {
            bounded(settlements.len())?;
            let mut bytes = 0;
            for settlement in &mut settlements {
                if let Outcome::Again { reason, .. } | Outcome::Dead { reason } =
                    &mut settlement.outcome
                {
                    cut(reason);
                    bytes += reason.len();
                }
            }
            let settled = self.file.write(bytes, move |connection| {
                lease::settle(connection, &of, &settlements, now)
            });
            settled.await
        })
    }

    fn next_due<'a>(
        &'a self,
        of: &'a TriggerId,
        _now: UnixMillis,
    ) -> StoreFuture<'a, Result<Option<UnixMillis>, TriggerError>> {
        Box::pin(async move { self.file.read(|connection| read::next_due(connection, of)) })
    }

    fn standing<'a>(
        &'a self,
        of: &'a TriggerId,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Standing, TriggerError>> {
        Box::pin(async move {
            self.file
                .read(|connection| read::standing(connection, of, now))
        })
    }

    fn set_paused<'a>(
        &'a self,
        of: &'a TriggerId,
        is_paused: bool,
    ) -> StoreFuture<'a, Result<bool, TriggerError>> {
        let of = of.clone();
        Box::pin(self.file.write(0, move |connection| {
            write::set_paused(connection, &of, is_paused)
        }))
    }

    fn fired<'a>(
        &'a self,
        of: &'a TriggerId,
    ) -> StoreFuture<'a, Result<Option<UnixMillis>, TriggerError>> {
        Box::pin(async move { self.file.read(|connection| read::fired(connection, of)) })
    }

    fn fire<'a>(
        &'a self,
        of: &'a TriggerId,
        from: Option<UnixMillis>,
        up_to: UnixMillis,
        runs: Vec<NewMessage>,
        quota: TriggerQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<bool, TriggerError>> {
        let to = of.clone();
        Box::pin(async move {
            let bytes = checked(&runs, now)?;
            let batch = Batch {
                to,
                messages: runs,
                quota,
                now,
            };
            let fired = self.file.write(bytes, move |connection| {
                write::fire(connection, &batch, from, up_to)
            });
            fired.await
        })
    }

    fn list<'a>(
        &'a self,
        of: &'a TriggerId,
        which: Which,
        after: Option<MessageId>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Page, TriggerError>> {
        let count_max = count_max.clamp(1, PAGE_MAX);
        Box::pin(async move {
            self.file
                .read(|connection| read::list(connection, of, which, after, count_max))
        })
    }

    fn revive<'a>(
        &'a self,
        of: &'a TriggerId,
        which: Option<Vec<MessageId>>,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<u32, TriggerError>> {
        let of = of.clone();
        Box::pin(async move {
            bounded(which.as_ref().map_or(0, Vec::len))?;
            let revived = self.file.write(0, move |connection| {
                write::revive(connection, &of, which.as_deref(), now)
            });
            revived.await
        })
    }

    fn purge<'a>(
        &'a self,
        of: &'a TriggerId,
        which: Which,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<u32, TriggerError>> {
        let of = of.clone();
        Box::pin(self.file.write(0, move |connection| {
            write::purge(connection, &of, which, now)
        }))
    }

    fn of_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Vec<Trigger>, TriggerError>> {
        Box::pin(async move {
            self.file
                .read(|connection| read::triggers(connection, tenant, app))
        })
    }

    fn kept<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<KeptMessages, TriggerError>> {
        Box::pin(async move {
            self.file
                .read(|connection| read::kept(connection, tenant, app))
        })
    }

    fn apps<'a>(
        &'a self,
        after: Option<(&'a TenantId, &'a AppName)>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<(TenantId, AppName)>, TriggerError>> {
        let count_max = count_max.min(PAGE_MAX);
        Box::pin(async move { self.file.apps(after, count_max) })
    }

    fn remove_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<bool, TriggerError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(self.file.write(0, move |connection| {
            write::remove_app(connection, &tenant, &app)
        }))
    }

    fn sweep(
        &self,
        dead_before: UnixMillis,
        count_max: u32,
    ) -> StoreFuture<'_, Result<SweptMessages, TriggerError>> {
        Box::pin(self.file.write(0, move |connection| {
            sweep::sweep(connection, dead_before, count_max)
        }))
    }
}
