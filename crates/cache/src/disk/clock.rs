//! Times that mean the same to the next process of a node, as long as the machine runs: nanoseconds of its monotonic clock.
//!
//! Owns whether that clock is still the one that files were written by. Dates aren't gone by: people set them.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Names a run of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The machine's run, if it says which it is.
pub(super) fn run_of_the_machine() -> Option<String> {
    let id = std::fs::read_to_string(BOOT_ID).ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// What both clocks say at the same time, about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    instant: Instant,
    machine: Duration,
}

impl Clock {
    /// What they say now.
    pub(super) fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
        Self {
            instant: Instant::now(),
            machine: Duration::new(seconds, nanoseconds),
        }
    }

    /// What the machine's clock says, in nanoseconds.
    pub(super) fn nanoseconds(self) -> u64 {
        u64::try_from(self.machine.as_nanos()).unwrap_or(u64::MAX)
    }

    /// What this process' clock says.
    #[cfg(test)]
    pub(super) fn instant(self) -> Instant {
        self.instant
    }

    /// A time as it is written.
    pub(super) fn to_machine(self, time: Instant) -> Duration {
        let machine = match time.checked_duration_since(self.instant) {
            Some(later) => self.machine.checked_add(later),
            None => self.machine.checked_sub(self.instant - time),
        };
        machine.unwrap_or_default()
    }

    /// A time as it was written. `None` for one that hasn't come yet, or was before the machine's run.
    pub(super) fn time_of(self, time: Duration) -> Option<Instant> {
        self.instant.checked_sub(self.machine.checked_sub(time)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_and_those_to_come_are_none() {
        let clock = Clock::now();
        for ago in [0, 1, 5_000] {
            let ago = Duration::from_millis(ago);
            let time = clock
                .instant
                .checked_sub(ago)
                .expect("the machine runs longer");
            assert_eq!(clock.time_of(clock.to_machine(time)), Some(time));
        }
        let later = clock.to_machine(clock.instant + Duration::from_secs(1));
        assert_eq!(clock.time_of(later), None);
        assert!(run_of_the_machine().is_none_or(|id| !id.contains('\n')));
    }
}
