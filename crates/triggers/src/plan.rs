//! Which runs of a schedule are due: by what was fired before, by the clock, and by what the manifest says of those that
//! were missed. Pure.

use everwarm_manifest::triggers::{Cron, MADE_UP_MAX, Missed, Zone};

/// A run that is at most so late, in milliseconds, isn't missed: the node was busy, or has just been started again.
pub const LATE_MAX_MS: u64 = 30_000;

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The moments whose runs are due, in their order.
    pub runs: Vec<u64>,
    /// How many moments have passed whose runs are left out; as many as were counted.
    pub left_out: usize,
}

/// The runs of a schedule that was fired up to `from`, at `now`; both in milliseconds since 1970 UTC. `None` when none is
/// due yet.
pub fn due(cron: &Cron, zone: &Zone, missed: Missed, from: u64, now: u64) -> Option<Plan> {
    // Backwards, so that a node that didn't run for a year doesn't count all that it missed.
    let mut passed = Vec::new();
    let mut before = now.saturating_add(1);
    while let Some(moment) = cron.last_before(before, zone).filter(|at| *at > from) {
        passed.push(moment);
        before = moment;
        if passed.len() == MADE_UP_MAX {
            break;
        }
    }
    if passed.is_empty() {
        return None;
    }
    let on_time = passed
        .iter()
        .filter(|moment| **moment + LATE_MAX_MS >= now)
        .count();
    let kept = match missed {
        Missed::Skip => on_time,
        Missed::Once => on_time.max(1),
        Missed::All => passed.len(),
    };
    let left_out = passed.len() - kept;
    passed.truncate(kept);
    passed.reverse();
    Some(Plan {
        runs: passed,
        left_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    /// 2026-01-10T00:00:00Z.
    const MIDNIGHT: u64 = 1_768_003_200_000;

    fn plan(line: &str, missed: Missed, from: u64, now: u64) -> Option<Plan> {
        due(&Cron::parse(line).unwrap(), &Zone::utc(), missed, from, now)
    }

    fn at(minutes: u64) -> u64 {
        MIDNIGHT + minutes * MINUTE
    }

    #[test]
    fn run_is_due_at_its_moment_and_once() {
        for missed in Missed::ALL {
            let every_five = |from, now| plan("*/5 * * * *", missed, from, now);
            assert_eq!(every_five(at(0), at(5) - 1), None);
            let due = every_five(at(0), at(5)).unwrap();
            assert_eq!(due.runs, [at(5)]);
            assert_eq!(every_five(at(5), at(5) + 20), None);
            assert_eq!(every_five(at(0), at(5) + LATE_MAX_MS).unwrap(), due);
        }
    }

    #[test]
    fn missed_runs_are_left_out_or_made_up_for_once_or_all() {
        let missed = |missed| plan("*/5 * * * *", missed, at(0), at(19)).unwrap();
        assert!(missed(Missed::Skip).runs.is_empty());
        assert_eq!(missed(Missed::Skip).left_out, 3);
        assert_eq!(missed(Missed::Once).runs, [at(15)]);
        assert_eq!(missed(Missed::All).runs, [at(5), at(10), at(15)]);
        // One that is on time isn't made up for by another.
        let on_time = |missed| plan("*/5 * * * *", missed, at(0), at(20)).unwrap();
        assert_eq!(on_time(Missed::Skip).runs, [at(20)]);
        assert_eq!(on_time(Missed::Once).runs, [at(20)]);
        assert_eq!(on_time(Missed::All).runs, [at(5), at(10), at(15), at(20)]);
    }

    #[test]
    fn seconds_that_a_busy_node_let_pass_are_all_run() {
        let due = plan("* * * * * *", Missed::Skip, at(0), at(0) + 3_000).unwrap();
        assert_eq!(due.runs, [at(0) + 1_000, at(0) + 2_000, at(0) + 3_000]);
    }

    #[test]
    fn year_of_missed_runs_is_bounded() {
        let due = plan("* * * * *", Missed::All, 0, at(0)).unwrap();
        assert_eq!(due.runs.len(), MADE_UP_MAX);
        assert_eq!(due.runs.last(), Some(&at(0)));
        assert_eq!(due.runs.first(), Some(&(at(0) - 99 * MINUTE)));
    }

    #[test]
    fn clock_that_goes_back_fires_nothing_again() {
        assert_eq!(plan("* * * * *", Missed::All, at(10), at(5)), None);
    }
}
