//! Secrets in SQLite: sealed bytes and which of them are current. Owns their SQL. Knows no key.

use bytes::Bytes;
use everwarm_manifest::{AppName, ConfigName, TenantId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::audit;
use crate::audit::Note;
use crate::catalog::UnixMillis;
use crate::secrets::{
    NewSecret, NoVersion, RowKey, SealedRow, SecretBounds, SecretError, SecretSummary, SecretsOf,
    VERSIONS_MAX,
};

pub(super) fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> SecretError {
    move |source| SecretError::Failed {
        doing,
        source: Box::new(source),
    }
}

/// The current version of a secret, and the newest that there was.
fn state(
    connection: &Connection,
    of: &SecretsOf,
    name: &ConfigName,
) -> rusqlite::Result<Option<(u32, u32)>> {
    connection
        .prepare_cached(
            "SELECT current, newest FROM secret WHERE tenant = ?1 AND app = ?2 AND name = ?3",
        )?
        .query_row(
            params![of.tenant.as_str(), of.app.as_str(), name.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
}

pub(super) fn next_version(
    connection: &mut Connection,
    of: &SecretsOf,
    name: &ConfigName,
) -> Result<u32, SecretError> {
    let state = state(connection, of, name).map_err(failed("read a secret"))?;
    Ok(state.map_or(1, |(_, newest)| newest.saturating_add(1)))
}

pub(super) fn put(
    connection: &mut Connection,
    of: &SecretsOf,
    name: &ConfigName,
    new: &NewSecret,
    bounds: SecretBounds,
    note: &Note,
) -> Result<(), SecretError> {
    let failed = failed("keep a secret");
    let transaction = connection.savepoint().map_err(&failed)?;
    let before = state(&transaction, of, name).map_err(&failed)?;
    let next = before.map_or(1, |(_, newest)| newest.saturating_add(1));
    if new.version != next {
        return Err(SecretError::Outpaced);
    }
    let written = || -> rusqlite::Result<()> {
        let (tenant, app, name) = (of.tenant.as_str(), of.app.as_str(), name.as_str());
        transaction.execute(
            "INSERT INTO secret (tenant, app, name, current, newest) VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT (tenant, app, name) DO UPDATE
             SET current = excluded.current, newest = excluded.newest",
            params![tenant, app, name, new.version],
        )?;
        transaction.execute(
            "INSERT INTO secret_version (tenant, app, name, version, created_ms, sealed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                tenant,
                app,
                name,
                new.version,
                new.created.as_i64(),
                &new.sealed[..]
            ],
        )?;
        transaction.execute(
            "DELETE FROM secret_version WHERE tenant = ?1 AND app = ?2 AND name = ?3 AND version IN
             (SELECT version FROM secret_version WHERE tenant = ?1 AND app = ?2 AND name = ?3
              ORDER BY version DESC LIMIT -1 OFFSET ?4)",
            params![tenant, app, name, VERSIONS_MAX],
        )?;
        audit::insert(&transaction, Some(&of.tenant), note)
    };
    written().map_err(&failed)?;
    check_count(&transaction, of, bounds)?;
    check_bytes(&transaction, of, bounds)?;
    transaction.commit().map_err(&failed)
}

fn check_count(
    connection: &Connection,
    of: &SecretsOf,
    bounds: SecretBounds,
) -> Result<(), SecretError> {
    let counted = || -> rusqlite::Result<(u32, bool, u32)> {
        let (tenant, app) = (of.tenant.as_str(), of.app.as_str());
        let secrets = connection.query_row(
            "SELECT count(*) FROM secret WHERE tenant = ?1 AND app = ?2",
            params![tenant, app],
            |row| row.get(0),
        )?;
        let is_deployed = connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM version WHERE tenant = ?1 AND app = ?2)",
            params![tenant, app],
            |row| row.get(0),
        )?;
        let apps = connection.query_row(
            "SELECT count(*) FROM (SELECT app FROM version WHERE tenant = ?1
             UNION SELECT app FROM secret WHERE tenant = ?1)",
            params![tenant],
            |row| row.get(0),
        )?;
        Ok((secrets, is_deployed, apps))
    };
    let (secrets, is_deployed, apps) = counted().map_err(failed("count secrets"))?;
    if secrets > bounds.count_max {
        let count_max = bounds.count_max;
        return Err(SecretError::TooMany { count_max });
    }
    // A quota that was lowered takes nothing from apps that are there.
    if !is_deployed && secrets == 1 && apps > bounds.apps_max {
        let apps_max = bounds.apps_max;
        return Err(SecretError::Apps { apps_max });
    }
    Ok(())
}

fn check_bytes(
    connection: &Connection,
    of: &SecretsOf,
    bounds: SecretBounds,
) -> Result<(), SecretError> {
    let bytes: i64 = connection
        .query_row(
            "SELECT coalesce(sum(length(v.sealed)), 0) FROM secret s JOIN secret_version v
             ON v.tenant = s.tenant AND v.app = s.app AND v.name = s.name AND v.version = s.current
             WHERE s.tenant = ?1 AND s.app = ?2",
            params![of.tenant.as_str(), of.app.as_str()],
            |row| row.get(0),
        )
        .map_err(failed("measure secrets"))?;
    let bytes_max = bounds.bytes_max;
    if u64::try_from(bytes).unwrap_or(u64::MAX) > bytes_max {
        return Err(SecretError::TooLarge { bytes_max });
    }
    Ok(())
}

pub(super) fn set_current(
    connection: &mut Connection,
    of: &SecretsOf,
    name: &ConfigName,
    to: Option<u32>,
    bounds: SecretBounds,
    note: &Note,
) -> Result<u32, SecretError> {
    let failed = failed("go back to another version of a secret");
    let transaction = connection.savepoint().map_err(&failed)?;
    let no_version = SecretError::NoVersion;
    let (current, _) = state(&transaction, of, name)
        .map_err(&failed)?
        .ok_or_else(|| no_version(NoVersion::OfSecret(name.clone())))?;
    let (tenant, app) = (of.tenant.as_str(), of.app.as_str());
    let found: Option<u32> = transaction
        .query_row(
            "SELECT max(version) FROM secret_version WHERE tenant = ?1 AND app = ?2 AND name = ?3
             AND CASE WHEN ?4 IS NULL THEN version < ?5 ELSE version = ?4 END",
            params![tenant, app, name.as_str(), to, current],
            |row| row.get(0),
        )
        .map_err(&failed)?;
    let version = found.ok_or_else(|| {
        let name = name.clone();
        no_version(match to {
            Some(version) => NoVersion::Number { name, version },
            None => NoVersion::Before { name, current },
        })
    })?;
    let mut note = note.clone();
    note.detail = format!("version {version}, before {current}");
    let written = || -> rusqlite::Result<()> {
        transaction.execute(
            "UPDATE secret SET current = ?4 WHERE tenant = ?1 AND app = ?2 AND name = ?3",
            params![tenant, app, name.as_str(), version],
        )?;
        audit::insert(&transaction, Some(&of.tenant), &note)
    };
    written().map_err(&failed)?;
    check_bytes(&transaction, of, bounds)?;
    transaction.commit().map_err(&failed)?;
    Ok(version)
}

pub(super) fn remove(
    connection: &mut Connection,
    of: &SecretsOf,
    name: &ConfigName,
    note: &Note,
) -> Result<bool, SecretError> {
    let mut removed = || -> rusqlite::Result<bool> {
        let transaction = connection.savepoint()?;
        let key = params![of.tenant.as_str(), of.app.as_str(), name.as_str()];
        transaction.execute(
            "DELETE FROM secret_version WHERE tenant = ?1 AND app = ?2 AND name = ?3",
            key,
        )?;
        let removed = transaction.execute(
            "DELETE FROM secret WHERE tenant = ?1 AND app = ?2 AND name = ?3",
            key,
        )?;
        if removed > 0 {
            audit::insert(&transaction, Some(&of.tenant), note)?;
        }
        transaction.commit()?;
        Ok(removed > 0)
    };
    removed().map_err(failed("remove a secret"))
}

/// Forgets the secrets of an app, in the transaction of whoever removes the app. Says how many there were.
pub(super) fn remove_all(
    transaction: &Connection,
    tenant: &TenantId,
    app: &AppName,
) -> rusqlite::Result<usize> {
    let of_app = params![tenant.as_str(), app.as_str()];
    transaction.execute(
        "DELETE FROM secret_version WHERE tenant = ?1 AND app = ?2",
        of_app,
    )?;
    transaction.execute("DELETE FROM secret WHERE tenant = ?1 AND app = ?2", of_app)
}

/// Forgets those of a tenant, in the transaction of whoever removes the tenant.
pub(super) fn remove_all_of_tenant(
    transaction: &Connection,
    tenant: &TenantId,
) -> rusqlite::Result<()> {
    let tenant = params![tenant.as_str()];
    transaction.execute("DELETE FROM secret_version WHERE tenant = ?1", tenant)?;
    transaction.execute("DELETE FROM secret WHERE tenant = ?1", tenant)?;
    Ok(())
}

pub(super) fn list(
    connection: &mut Connection,
    of: &SecretsOf,
) -> Result<Vec<SecretSummary>, SecretError> {
    let failed = failed("list secrets");
    let rows = || -> rusqlite::Result<Vec<(String, u32, u32, i64)>> {
        let mut query = connection.prepare_cached(
            "SELECT s.name, s.current, v.version, v.created_ms FROM secret s JOIN secret_version v
             ON v.tenant = s.tenant AND v.app = s.app AND v.name = s.name
             WHERE s.tenant = ?1 AND s.app = ?2 ORDER BY s.name, v.version DESC",
        )?;
        let rows = query.query_map(params![of.tenant.as_str(), of.app.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        rows.collect()
    };
    let mut secrets: Vec<SecretSummary> = Vec::new();
    for (name, current, version, created_ms) in rows().map_err(&failed)? {
        let version = (version, UnixMillis::of_i64(created_ms));
        match secrets.last_mut() {
            Some(last) if last.name.as_str() == name => last.versions.push(version),
            _ => secrets.push(SecretSummary {
                name: ConfigName::new(&name).map_err(|error| damaged(&error))?,
                current,
                versions: vec![version],
            }),
        }
    }
    Ok(secrets)
}

const ROW_COLUMNS: &str = "v.tenant, v.app, v.name, v.version, v.sealed, s.current = v.version
    FROM secret_version v JOIN secret s ON s.tenant = v.tenant AND s.app = v.app AND s.name = v.name";

pub(super) fn current(
    connection: &mut Connection,
    of: &SecretsOf,
) -> Result<Vec<SealedRow>, SecretError> {
    let rows = || -> rusqlite::Result<Vec<RawRow>> {
        let mut query = connection.prepare_cached(&format!(
            "SELECT {ROW_COLUMNS} WHERE v.tenant = ?1 AND v.app = ?2 AND v.version = s.current
             ORDER BY v.name"
        ))?;
        let of_app = params![of.tenant.as_str(), of.app.as_str()];
        query.query_map(of_app, RawRow::read)?.collect()
    };
    let rows = rows().map_err(failed("read secrets"))?;
    rows.into_iter().map(RawRow::into_row).collect()
}

pub(super) fn rows(
    connection: &mut Connection,
    after: Option<&RowKey>,
    count_max: u32,
) -> Result<Vec<SealedRow>, SecretError> {
    let rows = || -> rusqlite::Result<Vec<RawRow>> {
        let mut query = connection.prepare_cached(&format!(
            "SELECT {ROW_COLUMNS} WHERE (v.tenant, v.app, v.name, v.version) > (?1, ?2, ?3, ?4)
             ORDER BY v.tenant, v.app, v.name, v.version LIMIT ?5"
        ))?;
        let (tenant, app, name, version) = after.map_or(("", "", "", 0), |key| {
            let of = &key.of;
            let (tenant, app) = (of.tenant.as_str(), of.app.as_str());
            (tenant, app, key.name.as_str(), key.version)
        });
        let rows = query.query_map(params![tenant, app, name, version, count_max], RawRow::read)?;
        rows.collect()
    };
    let rows = rows().map_err(failed("read secrets"))?;
    rows.into_iter().map(RawRow::into_row).collect()
}

pub(super) fn reseal(
    connection: &mut Connection,
    key: &RowKey,
    before: &[u8],
    after: &[u8],
) -> Result<bool, SecretError> {
    let mut written = || -> rusqlite::Result<bool> {
        let transaction = connection.savepoint()?;
        let changed = transaction.execute(
            "UPDATE secret_version SET sealed = ?5
             WHERE tenant = ?1 AND app = ?2 AND name = ?3 AND version = ?4 AND sealed = ?6",
            params![
                key.of.tenant.as_str(),
                key.of.app.as_str(),
                key.name.as_str(),
                key.version,
                after,
                before,
            ],
        )?;
        transaction.commit()?;
        Ok(changed > 0)
    };
    written().map_err(failed("seal a secret anew"))
}

/// A version as SQLite has it: nothing in it is trusted yet.
struct RawRow {
    tenant: String,
    app: String,
    name: String,
    version: u32,
    sealed: Vec<u8>,
    is_current: bool,
}

impl RawRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            tenant: row.get(0)?,
            app: row.get(1)?,
            name: row.get(2)?,
            version: row.get(3)?,
            sealed: row.get(4)?,
            is_current: row.get(5)?,
        })
    }

    fn into_row(self) -> Result<SealedRow, SecretError> {
        let of = SecretsOf {
            tenant: TenantId::new(&self.tenant).map_err(|error| damaged(&error))?,
            app: AppName::new(&self.app).map_err(|error| damaged(&error))?,
        };
        Ok(SealedRow {
            key: RowKey {
                of,
                name: ConfigName::new(&self.name).map_err(|error| damaged(&error))?,
                version: self.version,
            },
            sealed: Bytes::from(self.sealed),
            is_current: self.is_current,
        })
    }
}

fn damaged(error: &dyn std::error::Error) -> SecretError {
    SecretError::Damaged {
        reason: error.to_string(),
    }
}
