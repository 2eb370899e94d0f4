//! The table `[function.cache]`. What a field's name may be is for `cache` of the crate to say.

use super::function::quantity;
use super::table::{self, Reader};
use super::{keys, too_many};
use crate::cache::{Cache, DEFAULT_TTL, FieldName, VARY_MAX};
use crate::diagnostics::{ErrorCode, Finding, quoted};

pub(super) fn read(function: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<Cache> {
    let table = function.table("cache", &keys::CACHE, findings)?;
    Some(Cache {
        default_ttl: quantity(&table, "default_ttl", &DEFAULT_TTL, findings),
        vary: vary(&table, findings),
        authorization: table.switch("authorization", findings),
        ignore_cookies: table.switch("ignore_cookies", findings),
        set_cookie: table.switch("set_cookie", findings),
    })
}

fn vary(table: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Vec<FieldName> {
    let Some(array) = table.array("vary", findings) else {
        return Vec::new();
    };
    if let Some(first_over) = array.value.get(VARY_MAX) {
        findings.push(too_many(
            first_over.span(),
            "fields in `vary` of one function",
            VARY_MAX,
        ));
    }
    let ignores_cookies = table.switch("ignore_cookies", &mut Vec::new());
    let mut names: Vec<FieldName> = Vec::new();
    for item in array.value.iter().take(VARY_MAX) {
        let Some(text) = table::text(item, "vary", findings) else {
            continue;
        };
        let wrong = match FieldName::new(text.value) {
            Err(error) => format!("`{}` can't be in `vary`: {error}", quoted(text.value)),
            Ok(name) if names.contains(&name) => format!("`vary` has `{name}` twice"),
            Ok(name) if ignores_cookies && name.as_str() == "cookie" => {
                "`cookie` is in `vary`, and `ignore_cookies` is true: a function can't see what is ignored".to_owned()
            }
            Ok(name) => {
                names.push(name);
                continue;
            }
        };
        findings.push(Finding::new(ErrorCode::InvalidValue, text.span, wrong));
    }
    names
}
