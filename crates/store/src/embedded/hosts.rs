//! Which hosts are whose: claimed with an app's traffic, first come, first served between tenants.
//!
//! Two tenants' hosts must not overlap: whoever has `*.example.com` has all below it. Within a tenant, apps may
//! share a host, since their paths can differ.

use std::collections::BTreeSet;

use everwarm_manifest::{AppName, HostPattern, TenantId};
use rusqlite::{Connection, params};

/// Stands for any label in the key of a wildcard. No label has it.
const WILDCARD: &str = "*";

/// Replaces what an app claims. Returns the first host that overlaps with another tenant's; nothing may be
/// committed then. [`HostPattern::Any`] claims nothing: it is a route within hosts, not a host.
pub(super) fn claim(
    transaction: &Connection,
    tenant: &TenantId,
    app: &AppName,
    hosts: &BTreeSet<HostPattern>,
) -> rusqlite::Result<Option<HostPattern>> {
    transaction.execute(
        "DELETE FROM host WHERE tenant = ?1 AND app = ?2",
        params![tenant.as_str(), app.as_str()],
    )?;
    for host in hosts {
        let Some(key) = Key::of(host) else { continue };
        if is_taken(transaction, tenant, &key)? {
            return Ok(Some(host.clone()));
        }
        transaction.execute(
            "INSERT INTO host (labels, tenant, app, host) VALUES (?1, ?2, ?3, ?4)",
            params![key.labels, tenant.as_str(), app.as_str(), host.to_string()],
        )?;
    }
    Ok(None)
}

/// The first host that overlaps with another tenant's.
pub(super) fn taken(
    connection: &Connection,
    tenant: &TenantId,
    hosts: &BTreeSet<HostPattern>,
) -> rusqlite::Result<Option<HostPattern>> {
    for host in hosts {
        if let Some(key) = Key::of(host)
            && is_taken(connection, tenant, &key)?
        {
            return Ok(Some(host.clone()));
        }
    }
    Ok(None)
}

fn is_taken(connection: &Connection, tenant: &TenantId, key: &Key) -> rusqlite::Result<bool> {
    let mut same = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM host WHERE labels = ?1 AND tenant <> ?2)")?;
    for labels in std::iter::once(&key.labels).chain(&key.wildcards_above) {
        if same.query_row(params![labels, tenant.as_str()], |row| row.get(0))? {
            return Ok(true);
        }
    }
    let Some(below) = &key.below else {
        return Ok(false);
    };
    // All keys that begin so: the next character after the dot that ends them is the slash.
    let end = format!("{}/", below.trim_end_matches('.'));
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM host WHERE labels > ?1 AND labels < ?2 AND tenant <> ?3)",
        )?
        .query_row(params![below, end, tenant.as_str()], |row| row.get(0))
}

/// A host as it is looked for.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    /// Its labels, the last first: `com.example.www`, or `com.example.*`.
    labels: String,
    /// Keys of the wildcards that it falls under.
    wildcards_above: Vec<String>,
    /// What the keys of all hosts under it begin with, if it is a wildcard.
    below: Option<String>,
}

impl Key {
    fn of(host: &HostPattern) -> Option<Self> {
        let (name, is_wildcard) = match host {
            HostPattern::Any => return None,
            HostPattern::Exact(name) => (name.as_str(), false),
            HostPattern::Suffix(name) => (name.as_str(), true),
        };
        let mut labels: Vec<&str> = name.rsplit('.').collect();
        let domain = labels.join(".");
        // A host falls under the wildcards of all domains above it; a wildcard under those above its own domain.
        let wildcards_above = (1..labels.len())
            .map(|length| format!("{}.{WILDCARD}", labels[..length].join(".")))
            .collect();
        if is_wildcard {
            labels.push(WILDCARD);
        }
        Some(Self {
            labels: labels.join("."),
            wildcards_above,
            below: is_wildcard.then(|| format!("{domain}.")),
        })
    }
}

#[cfg(test)]
mod tests {
    use everwarm_manifest::RoutePattern;

    use super::*;

    fn key(host: &str) -> Key {
        let route: RoutePattern = format!("{host}/*").parse().unwrap();
        Key::of(&route.host).unwrap()
    }

    #[test]
    fn host_is_looked_for_by_its_labels_from_the_last() {
        assert_eq!(
            key("www.example.com"),
            Key {
                labels: "com.example.www".to_owned(),
                wildcards_above: vec!["com.*".to_owned(), "com.example.*".to_owned()],
                below: None,
            }
        );
    }

    #[test]
    fn wildcard_falls_under_those_of_longer_domains_only() {
        assert_eq!(
            key("*.example.com"),
            Key {
                labels: "com.example.*".to_owned(),
                wildcards_above: vec!["com.*".to_owned()],
                below: Some("com.example.".to_owned()),
            }
        );
    }

    #[test]
    fn host_without_a_name_claims_nothing() {
        assert_eq!(Key::of(&HostPattern::Any), None);
    }
}
