//! How long a message waits before it is tried again. Pure: chance is an argument.

use std::time::Duration;

use everwarm_manifest::triggers::Retry;

/// The wait after `attempt` deliveries, 1 at least: twice as long after each, `backoff_max` at most, and up to half of it
/// less, by `chance`, so that messages that failed together don't come back together ("equal jitter", M. Brooker,
/// *Exponential Backoff And Jitter*, AWS 2015). `asked` is what the handler asked for; it counts where it is longer, and no
/// jitter makes it shorter.
pub fn wait(retry: &Retry, attempt: u32, asked: Option<Duration>, chance: u64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(63);
    let (first, most) = (retry.backoff.as_u64(), retry.backoff_max.as_u64());
    let whole = first.saturating_mul(1 << doublings).min(most);
    let less = chance % (whole / 2 + 1);
    let wait = Duration::from_millis(whole - less);
    match asked {
        Some(asked) => wait.max(asked.min(retry.backoff_max.duration())),
        None => wait,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use everwarm_manifest::Millis;
    use proptest::prelude::*;

    use super::*;

    fn retry(first: u64, most: u64) -> Retry {
        Retry {
            attempts: NonZeroU32::MIN,
            backoff: Millis::new(first),
            backoff_max: Millis::new(most),
        }
    }

    #[test]
    fn waits_double_up_to_the_most() {
        let waits = [1, 2, 3, 4, 5, 40, u32::MAX].map(|attempt| {
            let wait = wait(&retry(1_000, 10_000), attempt, None, 0);
            wait.as_secs()
        });
        assert_eq!(waits, [1, 2, 4, 8, 10, 10, 10]);
        assert_eq!(wait(&retry(0, 0), 7, None, 99), Duration::ZERO);
    }

    #[test]
    fn handler_may_ask_for_a_longer_wait_within_the_most() {
        let retry = retry(1_000, 60_000);
        let asked = |seconds| wait(&retry, 1, Some(Duration::from_secs(seconds)), 500);
        assert_eq!(asked(30), Duration::from_secs(30));
        assert_eq!(asked(0), Duration::from_millis(500));
        assert_eq!(asked(3_600), Duration::from_mins(1));
    }

    proptest! {
        #[test]
        fn wait_is_between_half_of_the_whole_one_and_that(
            first in 0_u64..1 << 40, most in 0_u64..1 << 40, attempt in 1_u32.., chance: u64,
        ) {
            let retry = retry(first, most);
            let whole = wait(&retry, attempt, None, 0);
            let wait = wait(&retry, attempt, None, chance);
            prop_assert!(wait <= whole && whole / 2 <= wait && whole.as_millis() <= u128::from(most));
        }
    }
}
