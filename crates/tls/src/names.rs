//! From the name that a client asks for to what was put there. Pure.
//!
//! A wildcard stands for one label, the first (RFC 9525, section 6.3). A name of its own comes before a wildcard.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// What a wildcard's name begins with.
const WILDCARD: &str = "*.";

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct NameTable<T> {
    exact: HashMap<Box<str>, T>,
    /// By what follows the wildcard's label.
    wildcards: HashMap<Box<str>, T>,
}

impl<T> Default for NameTable<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            wildcards: HashMap::new(),
        }
    }
}

impl<T> NameTable<T> {
    /// Puts something under a name, which may be a wildcard, unless something is there.
    pub(crate) fn insert(&mut self, name: &str, value: T) {
        let name = normal(name);
        let entry = match name.strip_prefix(WILDCARD) {
            Some(parent) => self.wildcards.entry(parent.into()),
            None => self.exact.entry(name.as_ref().into()),
        };
        if let Entry::Vacant(entry) = entry {
            entry.insert(value);
        }
    }

    /// What a name gets.
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        let name = normal(name);
        if let Some(found) = self.exact.get(name.as_ref()) {
            return Some(found);
        }
        let (label, parent) = name.split_once('.')?;
        if label.is_empty() || label == "*" {
            return None;
        }
        self.wildcards.get(parent)
    }
}

/// Names are compared without case, and without the dot that closes an absolute one.
fn normal(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(names: &[&'static str]) -> NameTable<&'static str> {
        let mut table = NameTable::default();
        for name in names {
            table.insert(name, *name);
        }
        table
    }

    #[test]
    fn own_name_comes_before_a_wildcard_and_a_wildcard_is_one_label() {
        let table = table(&["*.example.com", "shop.example.com", "example.com"]);
        for (asked, found) in [
            ("shop.example.com", Some("shop.example.com")),
            ("SHOP.Example.COM", Some("shop.example.com")),
            ("shop.example.com.", Some("shop.example.com")),
            ("other.example.com", Some("*.example.com")),
            ("example.com", Some("example.com")),
            ("a.b.example.com", None),
            (".example.com", None),
            ("*.example.com", None),
            ("com", None),
            ("", None),
            (".", None),
            ("xexample.com", None),
        ] {
            assert_eq!(table.get(asked).copied(), found, "{asked}");
        }
    }

    #[test]
    fn what_came_first_stays() {
        let mut table = NameTable::default();
        table.insert("a.example.com", 1);
        table.insert("A.example.com.", 2);
        assert_eq!(table.get("a.example.com"), Some(&1));
    }

    proptest! {
        /// The rule, written as a search through all names, finds the same.
        #[test]
        fn table_finds_what_a_search_by_the_rule_finds(
            names in prop::collection::vec("(\\*\\.)?[ab](\\.[ab]){0,3}", 0..8),
            asked in "[abAB](\\.[ab]){0,4}\\.?",
        ) {
            let mut table = NameTable::default();
            for name in &names {
                table.insert(name, name.clone());
            }
            let plain = asked.to_ascii_lowercase();
            let plain = plain.strip_suffix('.').unwrap_or(&plain);
            let own = names.iter().find(|name| *name == plain);
            let wildcard = names.iter().find(|name| {
                name.strip_prefix("*.").is_some_and(|parent| {
                    plain.split_once('.').is_some_and(|(_, rest)| rest == parent)
                })
            });
            prop_assert_eq!(table.get(&asked), own.or(wildcard));
        }

        /// Whatever a client sends is no more than a name that isn't there.
        #[test]
        fn any_text_can_be_asked_for(asked in ".*") {
            let empty = NameTable::<()>::default();
            prop_assert_eq!(empty.get(&asked), None);
        }
    }
}
