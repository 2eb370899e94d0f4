//! Tenants and tokens in SQLite. Owns their SQL.

use everwarm_manifest::TenantId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{audit, secrets};
use crate::accounts::{AccountError, Quotas, Scope, Tenant, Token, TokenId};
use crate::audit::Note;
use crate::catalog::UnixMillis;

pub(super) fn put_tenant(
    connection: &mut Connection,
    id: &TenantId,
    quotas: Quotas,
    note: &Note,
) -> Result<Tenant, AccountError> {
    let doing = "keep a tenant";
    let text = serde_json::to_string(&quotas).map_err(|error| AccountError::Failed {
        doing,
        source: Box::new(error),
    })?;
    || -> rusqlite::Result<()> {
        let transaction = connection.savepoint()?;
        transaction.execute(
            "INSERT INTO tenant (id, quotas, created_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET quotas = excluded.quotas",
            params![id.as_str(), text, note.at.as_i64()],
        )?;
        audit::insert(&transaction, Some(id), note)?;
        transaction.commit()
    }()
    .map_err(failed(doing))?;
    tenant(connection, id)?.ok_or_else(|| AccountError::NoTenant(id.clone()))
}

pub(super) fn tenant(
    connection: &mut Connection,
    id: &TenantId,
) -> Result<Option<Tenant>, AccountError> {
    let row = connection
        .query_row(
            "SELECT id, quotas, created_ms FROM tenant WHERE id = ?1",
            params![id.as_str()],
            tenant_row,
        )
        .optional()
        .map_err(failed("read a tenant"))?;
    row.map(into_tenant).transpose()
}

pub(super) fn tenants(
    connection: &mut Connection,
    after: Option<&TenantId>,
    count_max: u32,
) -> Result<Vec<Tenant>, AccountError> {
    let rows = || -> rusqlite::Result<Vec<TenantRow>> {
        let mut query = connection.prepare_cached(
            "SELECT id, quotas, created_ms FROM tenant WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let after = after.map_or("", TenantId::as_str);
        let rows = query.query_map(params![after, count_max], tenant_row)?;
        rows.collect()
    }();
    let rows = rows.map_err(failed("list the tenants"))?;
    rows.into_iter().map(into_tenant).collect()
}

pub(super) fn remove_tenant(
    connection: &mut Connection,
    id: &TenantId,
    note: &Note,
) -> Result<bool, AccountError> {
    let failed = failed("remove a tenant");
    let transaction = connection.savepoint().map_err(&failed)?;
    let apps: u32 = transaction
        .query_row(
            "SELECT count(DISTINCT app) FROM version WHERE tenant = ?1",
            params![id.as_str()],
            |row| row.get(0),
        )
        .map_err(&failed)?;
    if apps > 0 {
        return Err(AccountError::HasApps {
            tenant: id.clone(),
            apps,
        });
    }
    let removed = || -> rusqlite::Result<bool> {
        transaction.execute("DELETE FROM token WHERE tenant = ?1", params![id.as_str()])?;
        transaction.execute("DELETE FROM once WHERE tenant = ?1", params![id.as_str()])?;
        secrets::remove_all_of_tenant(&transaction, id)?;
        let removed =
            transaction.execute("DELETE FROM tenant WHERE id = ?1", params![id.as_str()])?;
        if removed > 0 {
            audit::insert(&transaction, Some(id), note)?;
        }
        transaction.commit()?;
        Ok(removed > 0)
    };
    removed().map_err(&failed)
}

pub(super) fn put_token(
    connection: &mut Connection,
    token: &Token,
    count_max: u32,
    note: &Note,
) -> Result<(), AccountError> {
    let failed = failed("keep a token");
    let transaction = connection.savepoint().map_err(&failed)?;
    if let Some(tenant) = &token.tenant {
        let exists: bool = transaction
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM tenant WHERE id = ?1)",
                params![tenant.as_str()],
                |row| row.get(0),
            )
            .map_err(&failed)?;
        if !exists {
            return Err(AccountError::NoTenant(tenant.clone()));
        }
    }
    let owner = token.tenant.as_ref().map(TenantId::as_str);
    let count: u32 = transaction
        .query_row(
            "SELECT count(*) FROM token WHERE tenant IS ?1",
            params![owner],
            |row| row.get(0),
        )
        .map_err(&failed)?;
    if count >= count_max {
        return Err(AccountError::TooManyTokens { count_max });
    }
    let written = || -> rusqlite::Result<()> {
        transaction.execute(
            "INSERT INTO token (id, tenant, scope, name, secret_hash, created_ms, expires_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                token.id.0,
                owner,
                token.scope.as_str(),
                token.name,
                token.secret_hash,
                token.created.as_i64(),
                token.expires.map(UnixMillis::as_i64),
            ],
        )?;
        audit::insert(&transaction, token.tenant.as_ref(), note)?;
        transaction.commit()
    };
    written().map_err(&failed)
}

const TOKEN_COLUMNS: &str = "id, tenant, scope, name, secret_hash, created_ms, expires_ms";

pub(super) fn token(
    connection: &mut Connection,
    id: TokenId,
) -> Result<Option<Token>, AccountError> {
    let row = connection
        .prepare_cached(&format!("SELECT {TOKEN_COLUMNS} FROM token WHERE id = ?1"))
        .and_then(|mut query| query.query_row(params![id.0], token_row).optional())
        .map_err(failed("read a token"))?;
    row.map(into_token).transpose()
}

pub(super) fn tokens(
    connection: &mut Connection,
    owner: Option<&TenantId>,
) -> Result<Vec<Token>, AccountError> {
    let rows = || -> rusqlite::Result<Vec<TokenRow>> {
        let mut query = connection.prepare_cached(&format!(
            "SELECT {TOKEN_COLUMNS} FROM token WHERE tenant IS ?1 ORDER BY created_ms, id"
        ))?;
        let rows = query.query_map(params![owner.map(TenantId::as_str)], token_row)?;
        rows.collect()
    }();
    let rows = rows.map_err(failed("list the tokens"))?;
    rows.into_iter().map(into_token).collect()
}

pub(super) fn remove_token(
    connection: &mut Connection,
    owner: Option<&TenantId>,
    id: TokenId,
    note: &Note,
) -> Result<bool, AccountError> {
    || -> rusqlite::Result<bool> {
        let transaction = connection.savepoint()?;
        let removed = transaction.execute(
            "DELETE FROM token WHERE id = ?1 AND tenant IS ?2",
            params![id.0, owner.map(TenantId::as_str)],
        )?;
        if removed > 0 {
            audit::insert(&transaction, owner, note)?;
        }
        transaction.commit()?;
        Ok(removed > 0)
    }()
    .map_err(failed("remove a token"))
}

type TenantRow = (String, String, i64);

fn tenant_row(row: &Row<'_>) -> rusqlite::Result<TenantRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn into_tenant((id, quotas, created_ms): TenantRow) -> Result<Tenant, AccountError> {
    let damaged = |reason: String| AccountError::Damaged {
        what: format!("tenant `{id}`"),
        reason,
    };
    Ok(Tenant {
        quotas: serde_json::from_str(&quotas).map_err(|error| damaged(error.to_string()))?,
        created: UnixMillis::of_i64(created_ms),
        id: TenantId::new(&id).map_err(|error| damaged(error.to_string()))?,
    })
}

struct TokenRow {
    id: [u8; 8],
    tenant: Option<String>,
    scope: String,
    name: String,
    secret_hash: [u8; 32],
    created_ms: i64,
    expires_ms: Option<i64>,
}

fn token_row(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: row.get(0)?,
        tenant: row.get(1)?,
        scope: row.get(2)?,
        name: row.get(3)?,
        secret_hash: row.get(4)?,
        created_ms: row.get(5)?,
        expires_ms: row.get(6)?,
    })
}

fn into_token(row: TokenRow) -> Result<Token, AccountError> {
    let id = TokenId(row.id);
    let damaged = |reason: &dyn std::fmt::Display| AccountError::Damaged {
        what: format!("token {id}"),
        reason: reason.to_string(),
    };
    let tenant = row.tenant.map(|name| TenantId::new(&name)).transpose();
    Ok(Token {
        id,
        tenant: tenant.map_err(|error| damaged(&error))?,
        scope: Scope::of(&row.scope).ok_or_else(|| damaged(&"its scope is unknown"))?,
        name: row.name,
        secret_hash: row.secret_hash,
        created: UnixMillis::of_i64(row.created_ms),
        expires: row.expires_ms.map(UnixMillis::of_i64),
    })
}

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> AccountError {
    move |source| AccountError::Failed {
        doing,
        source: Box::new(source),
    }
}
