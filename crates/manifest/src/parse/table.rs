//! Reading typed values out of one TOML table, noting each that has the wrong type and each key that
//! doesn't exist. Doesn't know what the values mean.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{TABLES, Table};
use super::too_many;
use crate::diagnostics::{ErrorCode, Finding, quoted};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// One table of the manifest, its unknown keys already noted.
pub(super) struct Reader<'t, 'i> {
    table: &'t DeTable<'i>,
    pub(super) span: Range<usize>,
}

impl<'t, 'i> Reader<'t, 'i> {
    pub(super) fn new(
        table: &'t DeTable<'i>,
        span: Range<usize>,
        kind: &'static Table,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let unknown = table
            .keys()
            .filter(|name| kind.get(name.get_ref()).is_none());
        findings.extend(unknown.map(|name| unknown_key(name, kind)));
        Self { table, span }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.table.get(key)
    }

    pub(super) fn text(&self, key: &str, findings: &mut Vec<Finding>) -> Option<At<&'t str>> {
        text(self.value(key)?, key, findings)
    }

    /// A string that isn't empty and has no NUL, as paths and commands must be.
    pub(super) fn filled_text(
        &self,
        key: &str,
        findings: &mut Vec<Finding>,
    ) -> Option<At<&'t str>> {
        filled(self.text(key, findings)?, key, findings)
    }

    /// `true` or `false`; false where the key is missing or something else.
    pub(super) fn switch(&self, key: &str, findings: &mut Vec<Finding>) -> bool {
        let Some(value) = self.value(key) else {
            return false;
        };
        if let DeValue::Boolean(on) = value.get_ref() {
            return *on;
        }
        let finding = wrong_type(value.span(), key, "`true` or `false`", value.get_ref());
        findings.push(finding);
        false
    }

    pub(super) fn array(
        &self,
        key: &str,
        findings: &mut Vec<Finding>,
    ) -> Option<At<&'t [Spanned<DeValue<'i>>]>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Array(items) => Some(At {
                value: items,
                span: value.span(),
            }),
            other => {
                let finding = wrong_type(value.span(), key, "an array of strings", other);
                findings.push(match other.as_str() {
                    Some(text) => finding.suggest(Some(format!("[\"{text}\"]"))),
                    None => finding,
                });
                None
            }
        }
    }

    pub(super) fn table(
        &self,
        key: &str,
        kind: &'static Table,
        findings: &mut Vec<Finding>,
    ) -> Option<Reader<'t, 'i>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Reader::new(table, value.span(), kind, findings)),
            other => {
                let help = format!("write `{}` above its keys", kind.header);
                findings.push(wrong_type(value.span(), key, "a table", other).help(help));
                None
            }
        }
    }
}

/// What an array of tables is, for [`Reader::tables`].
pub(super) struct Tables {
    pub(super) kind: &'static Table,
    pub(super) key: &'static str,
    /// What its tables are, in words.
    pub(super) what: &'static str,
    pub(super) max: usize,
}

impl<'t, 'i> Reader<'t, 'i> {
    /// The tables of an array of tables; none where the key is missing or something else.
    pub(super) fn tables(
        &self,
        tables: &Tables,
        findings: &mut Vec<Finding>,
    ) -> Vec<Reader<'t, 'i>> {
        let Some(value) = self.value(tables.key) else {
            return Vec::new();
        };
        let expected = "an array of tables";
        let DeValue::Array(items) = value.get_ref() else {
            let finding = wrong_type(value.span(), tables.key, expected, value.get_ref());
            let help = format!("write `{}` with two brackets", tables.kind.header);
            findings.push(finding.help(help));
            return Vec::new();
        };
        if let Some(first_over) = items.get(tables.max) {
            findings.push(too_many(first_over.span(), tables.what, tables.max));
        }
        let mut readers = Vec::new();
        for item in items.iter().take(tables.max) {
            match item.get_ref() {
                DeValue::Table(table) => {
                    readers.push(Reader::new(table, item.span(), tables.kind, findings));
                }
                other => findings.push(wrong_type(item.span(), tables.key, expected, other)),
            }
        }
        readers
    }
}

pub(super) fn text<'t>(
    value: &'t Spanned<DeValue<'_>>,
    key: &str,
    findings: &mut Vec<Finding>,
) -> Option<At<&'t str>> {
    match value.get_ref() {
        DeValue::String(text) => Some(At {
            value: text,
            span: value.span(),
        }),
        other => {
            findings.push(wrong_type(value.span(), key, "a string", other));
            None
        }
    }
}

pub(super) fn filled<'t>(
    text: At<&'t str>,
    key: &str,
    findings: &mut Vec<Finding>,
) -> Option<At<&'t str>> {
    if text.value.trim().is_empty() || text.value.contains('\0') {
        let message = format!("`{key}` can't be empty or have a NUL character");
        findings.push(Finding::new(ErrorCode::InvalidValue, text.span, message));
        return None;
    }
    Some(text)
}

pub(super) fn wrong_type(
    span: Range<usize>,
    key: &str,
    expected: &str,
    found: &DeValue<'_>,
) -> Finding {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    let message = format!("`{}` must be {expected}, but is {found}", quoted(key));
    Finding::new(ErrorCode::InvalidValue, span, message)
}

fn unknown_key(name: &Spanned<toml::de::DeString<'_>>, kind: &Table) -> Finding {
    let key: &str = name.get_ref();
    let finding = Finding::new(
        ErrorCode::UnknownKey,
        name.span(),
        format!("unknown key `{}`", quoted(key)),
    );
    if let Some(near) = nearest(key, kind.keys.iter().map(|key| key.name)) {
        return finding.suggest(Some(near));
    }
    if let Some(home) = TABLES.iter().find(|table| table.get(key).is_some()) {
        let place = if home.header.is_empty() {
            "at the top, above all tables"
        } else {
            home.header
        };
        return finding.help(format!("`{key}` belongs in {place}"));
    }
    let names: Vec<&str> = kind.keys.iter().map(|key| key.name).collect();
    let place = if kind.header.is_empty() {
        "at the top"
    } else {
        kind.header
    };
    finding.help(format!("the keys {place} are {}", names.join(", ")))
}

/// The candidate that `word` is most likely a misspelling of.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    // Longer words than any candidate are no misspellings, and the distance costs time in their product.
    if word.len() > 40 {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let distance = |name: &str| strsim::osa_distance(&word, &name.replace('-', "_"));
    let (distance, name) = candidates.map(|name| (distance(name), name)).min()?;
    (distance <= (name.len() / 3).max(1)).then_some(name)
}
