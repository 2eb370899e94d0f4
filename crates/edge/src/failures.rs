//! How often requests failed, by the stable code of why. Counting takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the codes of failed requests begin with; two digits follow.
const PREFIXES: [&str; 2] = ["EW30", "EW40"];
/// More than there are codes of each.
const CODES: usize = 100;

/// See the module's documentation.
#[derive(Debug)]
pub struct FailureCounts([[AtomicU64; CODES]; PREFIXES.len()]);

impl Default for FailureCounts {
    fn default() -> Self {
        Self([const { [const { AtomicU64::new(0) }; CODES] }; PREFIXES.len()])
    }
}

impl FailureCounts {
    /// Counts a failure. A code that isn't of a request isn't counted.
    pub fn count(&self, code: &str) {
        for (prefix, counts) in PREFIXES.iter().zip(&self.0) {
            let number = code
                .strip_prefix(prefix)
                .and_then(|digits| digits.parse::<usize>().ok());
            if let Some(count) = number.and_then(|number| counts.get(number)) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The codes that occurred, and how often.
    pub fn counts(&self) -> impl Iterator<Item = (String, u64)> {
        let all = PREFIXES.iter().zip(&self.0);
        all.flat_map(|(prefix, counts)| {
            counts
                .iter()
                .enumerate()
                .filter_map(move |(number, count)| {
                    let count = count.load(Ordering::Relaxed);
                    (count > 0).then(|| (format!("{prefix}{number:02}"), count))
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_requests_are_counted_and_no_others() {
        let failures = FailureCounts::default();
        for code in [
            "EW3001", "EW3021", "EW3001", "EW4040", "EW2003", "", "EW30xx", "EW30999",
        ] {
            failures.count(code);
        }
        let counts: Vec<_> = failures.counts().collect();
        let expected = [("EW3001", 2), ("EW3021", 1), ("EW4040", 1)];
        assert_eq!(
            counts,
            expected.map(|(code, count)| (code.to_owned(), count))
        );
    }
}
