//! How many may come a second: the generic cell rate algorithm (ITU-T I.371, annex A) in one atomic number.
//!
//! Lets a second's worth through at once, and from then on as many as the rate. Time is an argument.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How much may come at once: what a second lets in.
const BURST_NS: u64 = 1_000_000_000;

/// See the module's documentation.
#[derive(Debug)]
pub struct Rate {
    /// Time between two at an even pace. 0: there is no bound.
    interval_ns: AtomicU64,
    epoch: Instant,
    /// When the next would come at an even pace, in nanoseconds after the epoch. In the past when fewer came.
    next_ns: AtomicU64,
}

impl Rate {
    /// No bound, until one is set.
    pub fn unbounded(now: Instant) -> Self {
        Self {
            interval_ns: AtomicU64::new(0),
            epoch: now,
            next_ns: AtomicU64::new(0),
        }
    }

    /// Sets how many may come a second, from now on. `None`: as many as come. 0 counts as 1, and more than a billion
    /// as a billion.
    pub fn set_per_second(&self, count: Option<u32>) {
        let interval_ns = count.map_or(0, |count| (1_000_000_000 / u64::from(count.max(1))).max(1));
        self.interval_ns.store(interval_ns, Ordering::Relaxed);
    }

    /// Whether one may come now; counts it if so.
    pub fn allows(&self, now: Instant) -> bool {
        let interval_ns = self.interval_ns.load(Ordering::Relaxed);
        if interval_ns == 0 {
            return true;
        }
        let now_ns = now.saturating_duration_since(self.epoch).as_nanos();
        let now_ns = u64::try_from(now_ns).unwrap_or(u64::MAX);
        let step = |next_ns: u64| {
            let next = next_ns.max(now_ns).saturating_add(interval_ns);
            (next <= now_ns.saturating_add(BURST_NS)).then_some(next)
        };
        self.next_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn second_of_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let rate = Rate::unbounded(start);
        assert!((0..1_000).all(|_| rate.allows(start)));
        rate.set_per_second(Some(10));
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!((0..20).filter(|_| rate.allows(at(0))).count(), 10);
        assert!(!rate.allows(at(99)));
        assert!(rate.allows(at(100)));
        assert!(!rate.allows(at(150)));
        // What wasn't used for long is a burst again, and no more than one.
        assert_eq!((0..50).filter(|_| rate.allows(at(60_000))).count(), 10);
    }

    proptest! {
        #[test]
        fn no_more_pass_than_the_rate_and_one_burst(
            count in 1_u32..500,
            gaps_ms in prop::collection::vec(0_u64..40, 1..300),
        ) {
            let start = Instant::now();
            let rate = Rate::unbounded(start);
            rate.set_per_second(Some(count));
            let (mut now, mut passed) = (start, 0_u64);
            for gap in gaps_ms {
                now += Duration::from_millis(gap);
                passed += u64::from(rate.allows(now));
            }
            let elapsed_ms = u64::try_from((now - start).as_millis()).unwrap();
            // An interval is a whole number of nanoseconds: the rate is a little higher than asked for.
            let bound = u64::from(count) + u64::from(count) * elapsed_ms / 1_000 + 1;
            prop_assert!(passed <= bound, "{} of {}", passed, bound);
        }
    }
}
