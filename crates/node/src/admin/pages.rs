//! Lists in pages: how many at most, and where the next one begins.

use serde::Deserialize;

/// How many are listed unless told otherwise.
const COUNT_DEFAULT: u32 = 100;
/// How many are listed at most.
const COUNT_MAX: u32 = 1_000;

/// Which page is asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    /// What the page before said is next, of lists that go up.
    pub(super) after: Option<String>,
    /// The same, of lists that go down.
    pub(super) before: Option<String>,
    limit: Option<u32>,
}

/// Of which names a page is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct OfPrefix {
    /// Those that begin so.
    #[serde(default)]
    pub(super) prefix: String,
}

impl Asked {
    pub(super) fn count(&self) -> u32 {
        self.limit.unwrap_or(COUNT_DEFAULT).clamp(1, COUNT_MAX)
    }
}

/// Takes the one too many away that a list was asked for to know whether there are more, and says where they begin:
/// at what the last of this page is called.
pub(super) fn cut<T>(
    items: &mut Vec<T>,
    count: u32,
    name: impl Fn(&T) -> String,
) -> Option<String> {
    let count = count as usize;
    if items.len() <= count {
        return None;
    }
    items.truncate(count);
    items.last().map(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_page_begins_after_the_last_of_this_one() {
        let mut items = vec![1, 2, 3];
        assert_eq!(
            cut(&mut items, 2, ToString::to_string),
            Some("2".to_owned())
        );
        assert_eq!(items, [1, 2]);
        assert_eq!(cut(&mut items, 2, ToString::to_string), None);
    }

    #[test]
    fn nobody_gets_more_than_there_may_be_or_nothing_at_all() {
        let asked = |limit| {
            Asked {
                limit,
                ..Asked::default()
            }
            .count()
        };
        assert_eq!(
            [None, Some(0), Some(7), Some(u32::MAX)].map(asked),
            [100, 1, 7, 1_000]
        );
    }
}
