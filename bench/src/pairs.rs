//! Runs in pairs, A B A B: what drifts on a machine (clock speed, neighbours) hits both sides alike.

/// One side's result of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<T> {
    pub(crate) baseline: T,
    pub(crate) subject: T,
}

/// Runs both sides in turn, `rounds` times.
///
/// # Errors
/// The first run that fails.
pub(crate) fn run<T>(
    rounds: usize,
    mut baseline: impl FnMut() -> anyhow::Result<T>,
    mut subject: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<Vec<Pair<T>>> {
    (0..rounds)
        .map(|_| {
            Ok(Pair {
                baseline: baseline()?,
                subject: subject()?,
            })
        })
        .collect()
}

/// A median and how far the values lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of some values. All are NaN when there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Self {
            median,
            min: values.first().copied().unwrap_or(f64::NAN),
            max: values.last().copied().unwrap_or(f64::NAN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_alternate_and_keep_their_pair() {
        let turn = std::cell::Cell::new(0);
        let next = || {
            turn.set(turn.get() + 1);
            Ok(turn.get())
        };
        let pairs = run(2, next, next).expect("no run fails");
        let seen: Vec<_> = pairs
            .iter()
            .map(|pair| (pair.baseline, pair.subject))
            .collect();
        assert_eq!(seen, [(1, 2), (3, 4)]);
    }

    #[test]
    fn median_of_an_even_number_is_between_the_two_in_the_middle() {
        let spread = Spread::of([4.0, 1.0, 2.0, 3.0]);
        assert!((spread.median - 2.5).abs() < f64::EPSILON);
        assert!((spread.min - 1.0).abs() < f64::EPSILON && (spread.max - 4.0).abs() < f64::EPSILON);
    }
}
