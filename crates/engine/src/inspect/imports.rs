//! Whether a node provides all that a component asks for, and the nearest thing when it doesn't.
//!
//! Owns the comparison of names. Doesn't know what is provided: that list comes from the linker.

use super::{ComponentFacts, Interface};

/// Letters that may differ between a name and the one that was probably meant.
const EDIT_DISTANCE_MAX: usize = 4;
/// Longer names aren't compared letter by letter: the work grows with the square.
const COMPARED_LEN_MAX: usize = 256;

/// An import that nothing provides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the component imports `{name}`, which nothing here provides{}",
    .nearest.as_ref().map(|nearest| format!("; the nearest is `{nearest}`")).unwrap_or_default()
)]
pub struct MissingImport {
    /// What the component asks for.
    pub name: String,
    /// The provided name that is nearest to it: another version of the same interface, a similar
    /// name, or another interface of the same package.
    pub nearest: Option<String>,
}

impl MissingImport {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        "EW2003"
    }
}

/// Checks each import of a component against what is provided (names with versions).
///
/// A compatible version counts as provided, as it does to Wasmtime's linker; whether it has every
/// single function that the component calls is for the linker to say.
///
/// # Errors
///
/// Every import that isn't provided, in the component's order.
pub fn check_imports(facts: &ComponentFacts, provided: &[&str]) -> Result<(), Vec<MissingImport>> {
    let provided: Vec<Interface<'_>> = provided.iter().map(|name| Interface::parse(name)).collect();
    let missing: Vec<MissingImport> = facts
        .imports
        .iter()
        .map(|name| Interface::parse(name))
        .filter(|import| !provided.iter().any(|p| import.is_served_by(p)))
        .map(|import| MissingImport {
            name: import.name.to_owned(),
            nearest: nearest(&import, &provided).map(|near| near.name.to_owned()),
        })
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing)
    }
}

fn nearest<'p, 'a>(
    import: &Interface<'_>,
    provided: &'p [Interface<'a>],
) -> Option<&'p Interface<'a>> {
    let other_version = provided.iter().find(|p| p.path == import.path);
    let similar = || {
        provided
            .iter()
            .map(|p| (edit_distance(import.path, p.path), p))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, _)| *distance <= EDIT_DISTANCE_MAX)
            .map(|(_, p)| p)
    };
    let same_package = || {
        provided
            .iter()
            .filter(|p| !p.package.is_empty() && p.package == import.package)
            .min_by_key(|p| edit_distance(import.path, p.path))
    };
    other_version.or_else(similar).or_else(same_package)
}

/// Levenshtein's distance in bytes, one row of the table at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    if a.len() > COMPARED_LEN_MAX || b.len() > COMPARED_LEN_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::edit_distance;

    #[test]
    fn distance_counts_inserted_removed_and_replaced_letters() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", ""), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }
}
