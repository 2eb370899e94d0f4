//! How often requests failed, by the stable code of why. Counting takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the codes of failed requests begin with; two digits follow.
const PREFIX: &str = "EW30";
/// More than there are codes.
const CODES: usize = 100;

/// See the module's documentation.
#[derive(Debug)]
pub struct FailureCounts([AtomicU64; CODES]);

impl Default for FailureCounts {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; CODES])
    }
}

impl FailureCounts {
    /// Counts a failure. A code that isn't of a request isn't counted.
    pub fn count(&self, code: &str) {
        let number = code
            .strip_prefix(PREFIX)
            .and_then(|digits| digits.parse::<usize>().ok());
        if let Some(count) = number.and_then(|number| self.0.get(number)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The codes that occurred, and how often.
    pub fn counts(&self) -> impl Iterator<Item = (String, u64)> {
        self.0.iter().enumerate().filter_map(|(number, count)| {
            let count = count.load(Ordering::Relaxed);
            (count > 0).then(|| (format!("{PREFIX}{number:02}"), count))
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
            "EW3001", "EW3021", "EW3001", "EW2003", "", "EW30xx", "EW30999",
        ] {
            failures.count(code);
        }
        let counts: Vec<_> = failures.counts().collect();
        assert_eq!(counts, [("EW3001".to_owned(), 2), ("EW3021".to_owned(), 1)]);
    }
}
