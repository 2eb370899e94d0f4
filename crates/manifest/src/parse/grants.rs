//! The table `[function.grants]`: reads each entry and tells what is wrong with it. What a grant is and what
//! it allows is for `grants` of the crate to say.

use std::fmt::Display;

use super::table::{self, At, Reader};
use super::{config, keys, too_many};
use crate::config::ConfigName;
use crate::diagnostics::{ErrorCode, Finding, quoted};
use crate::grants::{
    ADDRESSES_MAX, BUCKETS_GRANTED_MAX, BucketName, CONTAINERS_GRANTED_MAX, DATABASES_GRANTED_MAX,
    FUNCTIONS_GRANTED_MAX, GrantError, Grants, HTTP_GRANTS_MAX, HttpGrant, QUEUES_GRANTED_MAX,
    REDIS_GRANTED_MAX, SECRETS_GRANTED_MAX, parse_network,
};
use crate::names::{ContainerName, DatabaseName, FunctionName, QueueName, RedisName, nearest_name};

/// One array of the table.
struct List {
    key: &'static str,
    /// What its entries are, in words.
    what: &'static str,
    max: usize,
}

const HTTP: List = List {
    key: "http",
    what: "grants in `http` of one function",
    max: HTTP_GRANTS_MAX,
};
const FUNCTIONS: List = List {
    key: "functions",
    what: "entries in `functions` of one function",
    max: FUNCTIONS_GRANTED_MAX,
};
const SECRETS: List = List {
    key: "secrets",
    what: "entries in `secrets` of one function",
    max: SECRETS_GRANTED_MAX,
};
const ADDRESSES: List = List {
    key: "addresses",
    what: "entries in `addresses` of one function",
    max: ADDRESSES_MAX,
};
const KV: List = List {
    key: "kv",
    what: "entries in `kv` of one function",
    max: BUCKETS_GRANTED_MAX,
};

const SQL: List = List {
    key: "sql",
    what: "entries in `sql` of one function",
    max: DATABASES_GRANTED_MAX,
};

const QUEUES: List = List {
    key: "queues",
    what: "entries in `queues` of one function",
    max: QUEUES_GRANTED_MAX,
};

const BLOBS: List = List {
    key: "blobs",
    what: "entries in `blobs` of one function",
    max: CONTAINERS_GRANTED_MAX,
};

const REDIS: List = List {
    key: "redis",
    what: "entries in `redis` of one function",
    max: REDIS_GRANTED_MAX,
};

/// What stands elsewhere in the manifest, and isn't known yet where it is granted.
#[derive(Default)]
pub(super) struct Granted {
    pub(super) functions: Vec<At<FunctionName>>,
    pub(super) databases: Vec<At<DatabaseName>>,
    pub(super) queues: Vec<At<QueueName>>,
    pub(super) containers: Vec<At<ContainerName>>,
    pub(super) redis: Vec<At<RedisName>>,
}

/// The grants, and where all that is declared elsewhere stands that is granted.
pub(super) fn read(function: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> (Grants, Granted) {
    let Some(table) = function.table("grants", &keys::GRANTS, findings) else {
        return Default::default();
    };
    let http = list(&table, &HTTP, findings, |text| {
        HttpGrant::parse(text.value).map_err(|error| bad_grant(text, &error))
    });
    let addresses = list(&table, &ADDRESSES, findings, |text| {
        parse_network(text.value).map_err(|error| {
            bad_entry(text, &error).suggest(error.suggestion().map(|network| network.to_string()))
        })
    });
    let functions = list(&table, &FUNCTIONS, findings, |text| {
        FunctionName::new(text.value)
            .map_err(|error| bad_entry(text, &error).suggest(nearest_name(text.value)))
    });
    let kv = list(&table, &KV, findings, |text| {
        BucketName::new(text.value).map_err(|error| bad_entry(text, &error))
    });
    let secrets = list(&table, &SECRETS, findings, |text| {
        ConfigName::new(text.value)
            .map_err(|error| bad_entry(text, &error).suggest(ConfigName::nearest(text.value)))
    });
    config::check_secrets(function, &secrets, findings);
    let databases = list(&table, &SQL, findings, |text| {
        DatabaseName::new(text.value)
            .map_err(|error| bad_entry(text, &error).suggest(nearest_name(text.value)))
    });
    let queues = list(&table, &QUEUES, findings, |text| {
        QueueName::new(text.value)
            .map_err(|error| bad_entry(text, &error).suggest(nearest_name(text.value)))
    });
    let containers = list(&table, &BLOBS, findings, |text| {
        ContainerName::new(text.value)
            .map_err(|error| bad_entry(text, &error).suggest(nearest_name(text.value)))
    });
    let redis = list(&table, &REDIS, findings, |text| {
        RedisName::new(text.value)
            .map_err(|error| bad_entry(text, &error).suggest(nearest_name(text.value)))
    });
    let grants = Grants {
        http: values(http),
        addresses: values(addresses),
        functions: values(functions.clone()),
        kv: values(kv),
        secrets: values(secrets),
        sql: values(databases.clone()),
        blobs: values(containers.clone()),
        redis: values(redis.clone()),
        queues: values(queues.clone()),
        cache: table.switch("cache", findings),
    };
    let granted = Granted {
        functions,
        databases,
        queues,
        containers,
        redis,
    };
    (grants, granted)
}

fn values<T>(entries: Vec<At<T>>) -> Vec<T> {
    entries.into_iter().map(|entry| entry.value).collect()
}

/// Names each function that is granted and isn't there.
pub(super) fn check_functions<'d>(
    names: &[&FunctionName],
    granted: impl Iterator<Item = &'d At<FunctionName>>,
    findings: &mut Vec<Finding>,
) {
    for entry in granted.filter(|entry| !names.contains(&&entry.value)) {
        let message = format!("the app has no function `{}`", entry.value);
        let finding = Finding::new(ErrorCode::BadGrant, entry.span.clone(), message);
        let names = names.iter().map(|name| name.as_str());
        let near = table::nearest(entry.value.as_str(), names.clone());
        findings.push(match near {
            Some(near) => finding.suggest(Some(near)),
            None => finding.help(format!(
                "its functions are {}",
                names.collect::<Vec<_>>().join(", ")
            )),
        });
    }
}

/// Names each database, queue or container that is granted and isn't declared.
pub(super) fn check_declared<'d, N: AsRef<str> + Display + PartialEq + 'd>(
    kind: &Declared,
    names: &[&N],
    granted: impl Iterator<Item = &'d At<N>>,
    findings: &mut Vec<Finding>,
) {
    for entry in granted.filter(|entry| !names.contains(&&entry.value)) {
        let message = format!("the app has no {} `{}`", kind.what, entry.value);
        let finding = Finding::new(ErrorCode::BadGrant, entry.span.clone(), message);
        let names = names.iter().map(|name| (*name).as_ref());
        let near = table::nearest(entry.value.as_ref(), names);
        findings.push(match near {
            Some(near) => finding.suggest(Some(near)),
            None => finding.help(format!(
                "declare it: a line `{}` after the app's name, and `name = \"{}\"` below it",
                kind.header, entry.value
            )),
        });
    }
}

/// What has to be declared.
pub(super) struct Declared {
    what: &'static str,
    header: &'static str,
}

pub(super) const DATABASES: Declared = Declared {
    what: "database",
    header: "[[sql]]",
};
pub(super) const CONTAINERS: Declared = Declared {
    what: "container of blobs",
    header: "[[blobs]]",
};
pub(super) const SERVERS: Declared = Declared {
    what: "Redis server",
    header: "[[redis]]",
};
pub(super) const DECLARED_QUEUES: Declared = Declared {
    what: "queue",
    header: "[[queue]]",
};

fn list<T: PartialEq + Display>(
    table: &Reader<'_, '_>,
    list: &List,
    findings: &mut Vec<Finding>,
    read: impl Fn(&At<&str>) -> Result<T, Finding>,
) -> Vec<At<T>> {
    let Some(array) = table.array(list.key, findings) else {
        return Vec::new();
    };
    if let Some(first_over) = array.value.get(list.max) {
        findings.push(too_many(first_over.span(), list.what, list.max));
    }
    let mut entries: Vec<At<T>> = Vec::new();
    for item in array.value.iter().take(list.max) {
        let Some(text) = table::text(item, list.key, findings) else {
            continue;
        };
        match read(&text) {
            Ok(value) if entries.iter().any(|entry| entry.value == value) => {
                findings.push(twice(&text, list, &value));
            }
            Ok(value) => entries.push(At {
                value,
                span: text.span,
            }),
            Err(finding) => findings.push(finding),
        }
    }
    entries
}

fn bad_grant(text: &At<&str>, error: &GrantError) -> Finding {
    // What is proposed must be right as a whole, not only where it was wrong.
    let suggestion = error
        .suggestion()
        .filter(|text| HttpGrant::parse(text).is_ok());
    let finding = bad_entry(text, error).suggest(suggestion);
    match error {
        GrantError::Internal => finding.help("`*.internal` is never looked up outside the node"),
        _ => finding,
    }
}

fn bad_entry(text: &At<&str>, error: &impl Display) -> Finding {
    let message = format!("bad grant `{}`: {error}", quoted(text.value));
    Finding::new(ErrorCode::BadGrant, text.span.clone(), message)
}

fn twice(text: &At<&str>, list: &List, entry: &impl Display) -> Finding {
    let message = format!("`{}` has `{entry}` twice", list.key);
    Finding::new(ErrorCode::BadGrant, text.span.clone(), message).help("remove one of them")
}
