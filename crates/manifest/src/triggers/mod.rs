//! What calls functions besides requests: queues and schedules, as the manifest declares them, and the bounds of what it
//! may choose. Doesn't keep messages, and knows no clock: when a cron line is due is asked with a moment.

mod cron;
mod path;

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::limits::Bounds;
use crate::names::{FunctionName, QueueName, ScheduleName};
use crate::quantity::Millis;

pub use cron::{CRON_BYTES_MAX, Cron, CronError, FIXED_TIMES_MAX, Zone, ZoneError};
pub use path::{CALL_PATH_BYTES_MAX, CallPath, CallPathError};

/// The most queues of one app.
pub const QUEUES_MAX: usize = 50;
/// The most schedules of one app.
pub const SCHEDULES_MAX: usize = 50;

/// A queue: messages that wait, and the function that handles them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Its name, unique among the app's queues.
    pub name: QueueName,
    /// The function that is called.
    pub function: FunctionName,
    /// The path that is called.
    pub path: CallPath,
    /// Messages of one call. With 1 the body of the call is the message itself.
    pub batch: NonZeroU32,
    /// How long a call waits for its batch to be full.
    pub batch_wait: Millis,
    /// Calls at the same time.
    pub concurrency: NonZeroU32,
    /// How long a call may take before its messages are given to another.
    pub visibility: Millis,
    /// How often one is delivered before it is dead.
    pub attempts: NonZeroU32,
    /// How long it waits after the first attempt that failed.
    pub backoff: Millis,
    /// How long it waits at most between attempts.
    pub backoff_max: Millis,
}

/// A schedule: a cron line, and the function that is called when it is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its name, unique among the app's schedules.
    pub name: ScheduleName,
    /// The function that is called.
    pub function: FunctionName,
    /// The path that is called.
    pub path: CallPath,
    /// When.
    pub cron: Cron,
    /// By whose clock.
    pub zone: Zone,
    /// A run starts up to so much later, by chance, so that many don't start at once.
    pub jitter: Millis,
    /// What happens when it is due, and an earlier run hasn't ended.
    pub overlap: Overlap,
    /// What happens when it was due, and the node didn't run.
    pub missed: Missed,
    /// How long a call may take before it is called again.
    pub visibility: Millis,
    /// How often one is delivered before it is dead.
    pub attempts: NonZeroU32,
    /// How long it waits after the first attempt that failed.
    pub backoff: Millis,
    /// How long it waits at most between attempts.
    pub backoff_max: Millis,
}

impl Queue {
    /// The path that is called where the manifest names none.
    pub fn default_path(name: &QueueName) -> CallPath {
        CallPath::of_name("/queues/", name.as_str())
    }

    /// What happens to messages that aren't acknowledged.
    pub fn retry(&self) -> Retry {
        Retry {
            attempts: self.attempts,
            backoff: self.backoff,
            backoff_max: self.backoff_max,
        }
    }
}

impl Schedule {
    /// The path that is called where the manifest names none.
    pub fn default_path(name: &ScheduleName) -> CallPath {
        CallPath::of_name("/schedules/", name.as_str())
    }

    /// What happens to runs that fail.
    pub fn retry(&self) -> Retry {
        Retry {
            attempts: self.attempts,
            backoff: self.backoff,
            backoff_max: self.backoff_max,
        }
    }
}

/// What happens to a message whose handler failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often it is delivered before it is dead.
    pub attempts: NonZeroU32,
    /// How long it waits after the first attempt; twice as long after each later one, and up to half of it less, by
    /// chance.
    pub backoff: Millis,
    /// How long it waits at most.
    pub backoff_max: Millis,
}

/// What happens when a schedule is due, and an earlier run hasn't ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// The new run is left out.
    #[default]
    Skip,
    /// The new run waits for the earlier one.
    Wait,
    /// Both run.
    Allow,
}

impl Overlap {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Wait, Self::Allow];

    /// The word that the manifest has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Wait => "wait",
            Self::Allow => "allow",
        }
    }
}

/// What happens to runs that were due while the node didn't run, or the schedule was paused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// They are left out.
    Skip,
    /// The last one of them is made up for.
    #[default]
    Once,
    /// All are made up for, the last [`MADE_UP_MAX`] at most.
    All,
}

/// Runs that are made up for at most.
pub const MADE_UP_MAX: usize = 100;

impl Missed {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Once, Self::All];

    /// The word that the manifest has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }
}

const fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("the numbers below aren't zero")
}

/// Messages of one call: 1 by default, so that a handler is an ordinary one.
pub const BATCH: Bounds<NonZeroU32> = Bounds {
    default: NonZeroU32::MIN,
    min: NonZeroU32::MIN,
    max: count(100),
};
/// Waiting for a batch to be full.
pub const BATCH_WAIT: Bounds<Millis> = Bounds {
    default: Millis::new(0),
    min: Millis::new(0),
    max: Millis::from_secs(60),
};
/// Calls at the same time.
pub const CALLS: Bounds<NonZeroU32> = Bounds {
    default: count(4),
    min: NonZeroU32::MIN,
    max: count(100),
};
/// Visibility time-out: a minute by default, which is twice the wall time that a function has by default.
pub const VISIBILITY: Bounds<Millis> = Bounds {
    default: Millis::from_secs(60),
    min: Millis::from_secs(1),
    max: Millis::from_secs(12 * 3_600),
};
/// Attempts.
pub const ATTEMPTS: Bounds<NonZeroU32> = Bounds {
    default: count(5),
    min: NonZeroU32::MIN,
    max: count(100),
};
/// The first wait of the back-off.
pub const BACKOFF: Bounds<Millis> = Bounds {
    default: Millis::from_secs(1),
    min: Millis::new(0),
    max: Millis::from_secs(12 * 3_600),
};
/// The longest wait of the back-off.
pub const BACKOFF_MAX: Bounds<Millis> = Bounds {
    default: Millis::from_secs(300),
    min: Millis::new(0),
    max: Millis::from_secs(12 * 3_600),
};
/// Jitter of schedules.
pub const JITTER: Bounds<Millis> = Bounds {
    default: Millis::new(0),
    min: Millis::new(0),
    max: Millis::from_secs(3_600),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_bounds() {
        for counts in [BATCH, CALLS, ATTEMPTS] {
            assert!(counts.allow(counts.default));
        }
        for times in [BATCH_WAIT, VISIBILITY, BACKOFF, BACKOFF_MAX, JITTER] {
            assert!(times.allow(times.default));
        }
    }
}
