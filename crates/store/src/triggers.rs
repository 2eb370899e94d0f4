//! The port for what calls functions later: messages of queues, runs of schedules.
//!
//! Owns the contract, its bounds and its errors. A queue and a schedule are *triggers*: both keep messages until a
//! handler has acknowledged them, and what holds for the one holds for the other. When a schedule is due, how long to
//! wait before a message is tried again, and who is called isn't known here.
//!
//! Time is an argument: a message is due by comparing, and a lease is over by comparing. Nothing here waits for a clock.

use std::fmt;

use bytes::Bytes;
use everwarm_manifest::{AppName, QueueName, ScheduleName, TenantId};

use crate::StoreFuture;
use crate::catalog::UnixMillis;

mod error;
mod names;

pub use error::TriggerError;
pub use names::DeliveryId;

/// Bytes of a message's body. What is larger is kept elsewhere, and the message says where.
pub const BODY_BYTES_MAX: usize = 256 << 10;
/// Bytes of a message's content type, and of its trace context.
pub const FIELD_BYTES_MAX: usize = 256;
/// Messages of one call: sent, leased, settled or changed together.
pub const BATCH_MAX: usize = 100;
/// Bytes of the bodies of one batch, whether it is sent or leased.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Bytes of what is kept of why a message failed; the rest is cut off.
pub const REASON_BYTES_MAX: usize = 512;
/// Milliseconds from when a message is sent until it is due: a year.
pub const DELAY_MS_MAX: u64 = 366 * 24 * 3_600_000;
/// Messages of one page.
pub const PAGE_MAX: u32 = 100;
/// Messages that one sweep removes.
pub const SWEEP_MAX: u32 = 1_000;

/// Messages that wait for handlers. Each trigger is an app's own.
///
/// A write that was answered with `Ok` survives power loss. A write that fails changes nothing, a batch as a whole.
/// A message is leased to one caller at a time, and comes back when the lease is over, unless it was settled as
/// acknowledged or dead: then it never does. Leases don't outlive the process that took them.
pub trait Triggers: Send + Sync {
    /// Keeps messages, all or none, and answers their names in their order.
    ///
    /// # Errors
    ///
    /// [`TriggerError::BodyTooLarge`], [`TriggerError::FieldTooLong`], [`TriggerError::DelayTooLong`],
    /// [`TriggerError::BatchTooLong`] or [`TriggerError::BatchTooLarge`] beyond the bounds, [`TriggerError::TooManyMessages`] or
    /// [`TriggerError::TooManyBytes`] beyond the quota, [`TriggerError::DiskFull`], [`TriggerError::Damaged`] or
    /// [`TriggerError::Failed`].
    fn send<'a>(
        &'a self,
        to: &'a TriggerId,
        messages: Vec<NewMessage>,
        quota: TriggerQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Vec<MessageId>, TriggerError>>;

    /// Takes messages that are due, the longest due first, and counts an attempt of each: nobody else is given them
    /// before [`Lease::until`]. At least one, however large, if one is due. None while the trigger is paused.
    ///
    /// # Errors
    ///
    /// [`TriggerError::DiskFull`], [`TriggerError::Damaged`] or [`TriggerError::Failed`]; then none was taken.
    fn lease<'a>(
        &'a self,
        of: &'a TriggerId,
        lease: Lease,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Vec<Leased>, TriggerError>>;

    /// Says what came of messages that were leased. What isn't leased by this receipt any more is passed over: its
    /// lease was over, and somebody else had it. A lease that is over counts until somebody else has the message.
    /// Answers how many were settled.
    ///
    /// # Errors
    ///
    /// [`TriggerError::BatchTooLong`], [`TriggerError::DiskFull`], [`TriggerError::Damaged`] or
    /// [`TriggerError::Failed`]; then none was settled.
    fn settle<'a>(
        &'a self,
        of: &'a TriggerId,
        settlements: Vec<Settlement>,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<u32, TriggerError>>;

    /// When the next message is due, or a lease over; `None` when nothing waits or the trigger is paused. A moment that
    /// isn't after `now` means that some are due.
    ///
    /// # Errors
    ///
    /// [`TriggerError::Damaged`] or [`TriggerError::Failed`].
    fn next_due<'a>(
        &'a self,
        of: &'a TriggerId,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Option<UnixMillis>, TriggerError>>;

    /// How a trigger stands. One that never had anything stands at zero.
    ///
    /// # Errors
    ///
    /// As [`Triggers::next_due`].
    fn standing<'a>(
        &'a self,
        of: &'a TriggerId,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Standing, TriggerError>>;

    /// Pauses a trigger, or lets it go on. A paused one takes messages and gives none out; a paused schedule isn't
    /// fired. Says whether that is new.
    ///
    /// # Errors
    ///
    /// [`TriggerError::DiskFull`], [`TriggerError::Damaged`] or [`TriggerError::Failed`].
    fn set_paused<'a>(
        &'a self,
        of: &'a TriggerId,
        is_paused: bool,
    ) -> StoreFuture<'a, Result<bool, TriggerError>>;

    /// Up to which moment a schedule was fired. `None` when [`Triggers::fire`] was never called for it.
    ///
    /// # Errors
    ///
    /// As [`Triggers::next_due`].
    fn fired<'a>(
        &'a self,
        of: &'a TriggerId,
    ) -> StoreFuture<'a, Result<Option<UnixMillis>, TriggerError>>;

    /// Says that a schedule was fired up to `up_to`, and keeps a message for each of its `runs`, all or none. Nothing
    /// is done, and `false` answered, if it isn't at `from` any more, which means that somebody else fired it, or if it
    /// is paused.
    ///
    /// # Errors
    ///
    /// As [`Triggers::send`].
    fn fire<'a>(
        &'a self,
        of: &'a TriggerId,
        from: Option<UnixMillis>,
        up_to: UnixMillis,
        runs: Vec<NewMessage>,
        quota: TriggerQuota,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<bool, TriggerError>>;

    /// Messages of a trigger in the order of their names, those after `after`: the dead ones, or those that wait or are
    /// leased. A page has at most `count_max` and [`PAGE_MAX`], and about [`BATCH_BYTES_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// As [`Triggers::next_due`].
    fn list<'a>(
        &'a self,
        of: &'a TriggerId,
        which: Which,
        after: Option<MessageId>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Page, TriggerError>>;

    /// Lets dead messages be tried again at once, from the first attempt on: these, or all when there are too many to
    /// name, at most [`SWEEP_MAX`] at a time. Answers how many.
    ///
    /// # Errors
    ///
    /// [`TriggerError::BatchTooLong`], [`TriggerError::DiskFull`], [`TriggerError::Damaged`] or
    /// [`TriggerError::Failed`].
    fn revive<'a>(
        &'a self,
        of: &'a TriggerId,
        which: Option<Vec<MessageId>>,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<u32, TriggerError>>;

    /// Forgets messages: the dead ones, or those that wait; what is leased stays. At most [`SWEEP_MAX`] at a time, and
    /// fewer large ones. Answers how many; none when there are none left.
    ///
    /// # Errors
    ///
    /// As [`Triggers::set_paused`].
    fn purge<'a>(
        &'a self,
        of: &'a TriggerId,
        which: Which,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<u32, TriggerError>>;

    /// The triggers of an app that keep messages, whether those wait, are leased or are dead; queues first, each kind
    /// ordered by name: those that it declares no more too, since what they keep is kept.
    ///
    /// # Errors
    ///
    /// As [`Triggers::next_due`].
    fn of_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Vec<Trigger>, TriggerError>>;

    /// What an app keeps in all its triggers.
    ///
    /// # Errors
    ///
    /// As [`Triggers::next_due`].
    fn kept<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<KeptMessages, TriggerError>>;

    /// The apps that have triggers or had some, of all tenants, ordered by tenant and app, those after `after`, at most
    /// `count_max`.
    ///
    /// # Errors
    ///
    /// As [`Triggers::next_due`].
    fn apps<'a>(
        &'a self,
        after: Option<(&'a TenantId, &'a AppName)>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<(TenantId, AppName)>, TriggerError>>;

    /// Forgets all triggers of an app, at once for readers; sweeps give the room back. Says whether there were some.
    ///
    /// # Errors
    ///
    /// As [`Triggers::set_paused`].
    fn remove_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<bool, TriggerError>>;

    /// Removes some dead messages that died before `dead_before`, and some of removed apps, at most `count_max` and
    /// [`SWEEP_MAX`], of all tenants.
    ///
    /// # Errors
    ///
    /// As [`Triggers::set_paused`].
    fn sweep(
        &self,
        dead_before: UnixMillis,
        count_max: u32,
    ) -> StoreFuture<'_, Result<SweptMessages, TriggerError>>;
}

/// Names a trigger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerId {
    /// Whose app.
    pub tenant: TenantId,
    /// The app.
    pub app: AppName,
    /// Which of the app's.
    pub trigger: Trigger,
}

/// One of an app's triggers. A queue and a schedule of the same name are two.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// What functions and operators send.
    Queue(QueueName),
    /// What a clock says.
    Schedule(ScheduleName),
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue `{name}`"),
            Self::Schedule(name) => write!(f, "schedule `{name}`"),
        }
    }
}

/// Names a message of a trigger. The same for all its deliveries. Later messages have larger ones, and none is given
/// twice for as long as the trigger is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// A message to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// What it says.
    pub content: Content,
    /// From when on it may be delivered.
    pub due: UnixMillis,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Its body.
    pub body: Bytes,
    /// What the body is, as in HTTP's `Content-Type`.
    pub content_type: Option<String>,
    /// The trace that it is a part of, as in the header `traceparent` (W3C Trace Context).
    pub trace: Option<String>,
    /// The moment that a schedule's run is for.
    pub scheduled: Option<UnixMillis>,
}

/// Names one lease of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt(pub u64);

/// Which messages somebody wants to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// How many at most, and [`BATCH_MAX`].
    pub count_max: u32,
    /// How many bytes their bodies may have together; the first may have more.
    pub bytes_max: usize,
    /// Until when they are his.
    pub until: UnixMillis,
}

/// A message that is somebody's for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// Which one.
    pub id: MessageId,
    /// To settle it with.
    pub receipt: Receipt,
    /// What it says.
    pub content: Content,
    /// When it was sent.
    pub sent: UnixMillis,
    /// The how manieth delivery this is, from 1 on.
    pub attempt: u32,
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Which one.
    pub id: MessageId,
    /// The lease that it was had by.
    pub receipt: Receipt,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was handled, and is forgotten.
    Acknowledged,
    /// It wasn't, and is to be tried again from then on.
    Again {
        /// From when on.
        due: UnixMillis,
        /// Why.
        reason: String,
    },
    /// It wasn't, and isn't tried again before somebody says so.
    Dead {
        /// Why.
        reason: String,
    },
    /// It wasn't tried at all: the attempt doesn't count, and it is due again at once, as of when it was sent, so that
    /// it isn't behind those that came after it.
    Released,
}

/// Which messages of a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// Those that wait or are leased.
    Waiting,
    /// Those that failed too often.
    Dead,
}

/// A message in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which one.
    pub id: MessageId,
    /// What it says.
    pub content: Content,
    /// When it was sent.
    pub sent: UnixMillis,
    /// How often it was delivered.
    pub attempts: u32,
    /// Where it is.
    pub state: State,
    /// Why the last delivery failed.
    pub reason: Option<String>,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits until then.
    Waits(UnixMillis),
    /// Somebody has it until then.
    Leased(UnixMillis),
    /// Failed too often, since then.
    Dead(UnixMillis),
}

/// Messages of a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In the order of their names.
    pub messages: Vec<Kept>,
    /// What to list after for the next page; `None` after the last one.
    pub next: Option<MessageId>,
}

/// How a trigger stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Messages that are due.
    pub due: u64,
    /// Messages that aren't due yet.
    pub delayed: u64,
    /// Messages that somebody has.
    pub leased: u64,
    /// Messages that failed too often.
    pub dead: u64,
    /// Bytes of all bodies.
    pub bytes: u64,
    /// When the first of the messages was sent that wait or are leased.
    pub oldest: Option<UnixMillis>,
    /// Whether it is paused.
    pub is_paused: bool,
}

/// How much an app may keep in all its triggers, dead messages included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TriggerQuota {
    /// Messages.
    pub messages_max: u64,
    /// Bytes of their bodies.
    pub bytes_max: u64,
}

impl TriggerQuota {
    /// No bound.
    pub const NONE: Self = Self {
        messages_max: u64::MAX,
        bytes_max: u64::MAX,
    };
}

/// What an app keeps in all its triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeptMessages {
    /// Messages, dead ones included.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// What a sweep has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweptMessages {
    /// Messages.
    pub messages: u32,
    /// Whether there may be more to remove already.
    pub more: bool,
}
