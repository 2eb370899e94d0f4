//! The table `[function.config]`: names and strings. Owns the rule that a name is in it or a secret, not both.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::table::{self, At, Reader};
use super::too_many;
use crate::config::{CONFIG_MAX, ConfigName};
use crate::diagnostics::{ErrorCode, Finding, quoted};

const KEY: &str = "config";

pub(super) fn read(
    function: &Reader<'_, '_>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<ConfigName, String> {
    let mut config = BTreeMap::new();
    let Some(value) = function.value(KEY) else {
        return config;
    };
    let DeValue::Table(values) = value.get_ref() else {
        let finding = table::wrong_type(value.span(), KEY, "a table", value.get_ref());
        findings.push(finding.help("write `config = { NAME = \"value\" }`"));
        return config;
    };
    if values.len() > CONFIG_MAX {
        let what = "values in `config` of one function";
        findings.push(too_many(value.span(), what, CONFIG_MAX));
    }
    for (key, value) in values.iter().take(CONFIG_MAX) {
        let text: &str = key.get_ref();
        let name = ConfigName::new(text).map_err(|error| {
            let message = format!("`{}` can't name a value: {error}", quoted(text));
            Finding::new(ErrorCode::InvalidValue, key.span(), message)
                .suggest(ConfigName::nearest(text))
        });
        match (name, table::text(value, text, findings)) {
            (Ok(name), Some(value)) => {
                config.insert(name, value.value.to_owned());
            }
            (Ok(_), None) => {}
            (Err(finding), _) => findings.push(finding),
        }
    }
    config
}

/// Names each secret that is a value of `config` too: nobody could say which of them a function gets.
pub(super) fn check_secrets(
    function: &Reader<'_, '_>,
    secrets: &[At<ConfigName>],
    findings: &mut Vec<Finding>,
) {
    let Some(DeValue::Table(values)) = function.value(KEY).map(toml::Spanned::get_ref) else {
        return;
    };
    for secret in secrets {
        let name = secret.value.as_str();
        if values.contains_key(name) {
            let message = format!("`{name}` is a value in [function.config] as well");
            let finding = Finding::new(ErrorCode::BadGrant, secret.span.clone(), message);
            findings.push(finding.help("keep the secret, and remove the value from the manifest"));
        }
    }
}
