//! Load: `wrk` for throughput, a generator of our own for latency at a fixed rate, and one plain GET.

pub(crate) mod generator;
pub(crate) mod http;
pub(crate) mod paced;
pub(crate) mod wrk;

/// Sorted latencies, from which percentiles are read exactly.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    sorted_ns: Vec<u64>,
}

impl Latencies {
    pub(crate) fn of(mut samples_ns: Vec<u64>) -> Self {
        samples_ns.sort_unstable();
        Self {
            sorted_ns: samples_ns,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.sorted_ns.len()
    }

    /// The latency in microseconds that `per_mille` of 1000 requests don't exceed. NaN without samples.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a latency of 52 bits of nanoseconds is 52 days"
    )]
    pub(crate) fn percentile_us(&self, per_mille: usize) -> f64 {
        let rank = (self.sorted_ns.len() * per_mille).div_ceil(1_000);
        let sample = self.sorted_ns.get(rank.saturating_sub(1));
        sample.map_or(f64::NAN, |ns| *ns as f64 / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_is_the_smallest_sample_that_enough_requests_do_not_exceed() {
        let latencies = Latencies::of((1..=100).rev().map(|us| us * 1_000).collect());
        assert!((latencies.percentile_us(500) - 50.0).abs() < f64::EPSILON);
        assert!((latencies.percentile_us(990) - 99.0).abs() < f64::EPSILON);
        assert!((latencies.percentile_us(1_000) - 100.0).abs() < f64::EPSILON);
    }

    #[test]
    fn percentile_of_nothing_is_not_a_number() {
        assert!(Latencies::default().percentile_us(500).is_nan());
    }
}
