//! Who is who: the caller, tenants and tokens.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use everwarm_api::messages;
use everwarm_api::token::Token;
use everwarm_manifest::TenantId;
use everwarm_store::Store as _;
use everwarm_store::accounts::{self, Quotas, Tenant, TokenId};
use everwarm_store::audit::Action;
use everwarm_store::catalog::UnixMillis;
use serde::Deserialize;

use super::Admin;
use super::auth::{Caller, scope};
use super::failure::Failed;
use super::pages::{Asked, cut};
use super::sent::{Asking, Name, Sent};
use crate::operate::note;

/// Tokens of one owner.
pub(super) const TOKENS_MAX: u32 = 100;
/// The longest name of a token.
const TOKEN_NAME_BYTES_MAX: usize = 100;
/// A tenth of a century is for ever.
const LIFETIME_S_MAX: u64 = 10 * 365 * 24 * 3_600;

/// Whose things are meant.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Owner {
    #[serde(default)]
    pub(super) of_node: bool,
}

pub(super) async fn who_am_i(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
) -> Json<messages::Identity> {
    Json(messages::Identity {
        token: caller.token.id.to_string(),
        name: caller.token.name.clone(),
        tenant: caller.token.tenant.as_ref().map(ToString::to_string),
        scope: scope(caller.token.scope),
        expires_ms: caller.token.expires.map(|at| at.0),
        everwarm: env!("CARGO_PKG_VERSION").to_owned(),
        base_domain: admin.node.domain.base().map(ToOwned::to_owned),
    })
}

pub(super) async fn tenants(
    State(admin): State<Admin>,
    Asking(asked): Asking<Asked>,
) -> Result<Json<messages::TenantPage>, Failed> {
    let after = asked.after.as_deref().map(tenant_name).transpose()?;
    let count = asked.count();
    let accounts = admin.node.store.accounts();
    let mut tenants = accounts.tenants(after.as_ref(), count + 1).await?;
    let next = cut(&mut tenants, count, |tenant| tenant.id.to_string());
    let items = tenants.iter().map(tenant).collect();
    Ok(Json(messages::TenantPage { items, next }))
}

pub(super) async fn put_tenant(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(name): Name,
    Sent(sent): Sent<messages::Quotas>,
) -> Result<Json<messages::Tenant>, Failed> {
    let id = tenant_name(&name)?;
    let quotas = quotas(sent);
    let detail = serde_json::to_string(&sent).unwrap_or_default();
    let note = note(&caller.actor(), Action::PutTenant, id.as_str(), detail);
    let made = admin
        .node
        .store
        .accounts()
        .put_tenant(&id, quotas, note)
        .await?;
    admin.node.targets.set_quotas(&id, quotas);
    admin.node.app_quotas.set(&id, quotas);
    Ok(Json(tenant(&made)))
}

pub(super) async fn remove_tenant(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(name): Name,
) -> Result<StatusCode, Failed> {
    let id = tenant_name(&name)?;
    if id == TenantId::default_tenant() {
        return Err(Failed::bad_request(
            "the default tenant stays: a token of the node acts for it",
        ));
    }
    let note = note(
        &caller.actor(),
        Action::RemoveTenant,
        id.as_str(),
        String::new(),
    );
    let removed = admin.node.store.accounts().remove_tenant(&id, note).await?;
    if !removed {
        return Err(Failed::not_found(&format!("tenant `{id}`")));
    }
    admin.node.app_quotas.forget(&id);
    admin.node.forget_secrets_of(&id);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn tokens(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Asking(owner): Asking<Owner>,
) -> Result<Json<messages::TokenPage>, Failed> {
    let owner = caller.owner(owner.of_node)?;
    let tokens = admin.node.store.accounts().tokens(owner).await?;
    let items = tokens.iter().map(token_info).collect();
    Ok(Json(messages::TokenPage { items }))
}

pub(super) async fn make_token(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Sent(sent): Sent<messages::NewToken>,
) -> Result<Json<messages::SecretToken>, Failed> {
    check_token_name(&sent.name)?;
    let owner = caller.owner(sent.of_node)?;
    let made = Token::random().map_err(|error| Failed::bad_request(error.to_string()))?;
    let now = UnixMillis::now();
    let kept = accounts::Token {
        id: TokenId(made.id()),
        tenant: owner.cloned(),
        scope: kept_scope(sent.scope),
        name: sent.name.clone(),
        secret_hash: made.secret_hash(),
        created: now,
        expires: sent
            .lifetime_s
            .map(|seconds| UnixMillis(now.0 + 1_000 * seconds.clamp(1, LIFETIME_S_MAX))),
    };
    let info = token_info(&kept);
    let detail = format!("{} ({})", sent.name, sent.scope.as_str());
    let note = note(&caller.actor(), Action::PutToken, &info.id, detail);
    let accounts = admin.node.store.accounts();
    accounts.put_token(kept, TOKENS_MAX, note).await?;
    Ok(Json(messages::SecretToken {
        info,
        token: made.expose().to_owned(),
    }))
}

pub(super) async fn remove_token(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(id): Name,
    Asking(owner): Asking<Owner>,
) -> Result<StatusCode, Failed> {
    let unknown = || Failed::not_found(&format!("token `{}`", id.escape_debug()));
    let owner = caller.owner(owner.of_node)?;
    let mut bytes = [0; 8];
    hex::decode_to_slice(&id, &mut bytes).map_err(|_| unknown())?;
    let token = TokenId(bytes);
    if token == caller.token.id {
        return Err(Failed::bad_request(
            "this is the token that you use: remove it with another one",
        ));
    }
    let note = note(&caller.actor(), Action::RemoveToken, &id, String::new());
    let removed = admin
        .node
        .store
        .accounts()
        .remove_token(owner, token, note)
        .await?;
    removed
        .then_some(StatusCode::NO_CONTENT)
        .ok_or_else(unknown)
}

/// Whether a token may have this name.
pub(super) fn check_token_name(name: &str) -> Result<(), Failed> {
    let is_named = !name.is_empty() && name.len() <= TOKEN_NAME_BYTES_MAX;
    if is_named && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Failed::bad_request(format!(
        "a token has a name of 1 to {TOKEN_NAME_BYTES_MAX} bytes without control characters"
    )))
}

fn tenant_name(text: &str) -> Result<TenantId, Failed> {
    TenantId::new(text).map_err(|error| Failed::bad_request(error.to_string()))
}

fn tenant(tenant: &Tenant) -> messages::Tenant {
    let Quotas {
        apps,
        artifact_bytes,
        memory_bytes,
        concurrency,
        requests_per_second,
        kv_bytes,
        kv_entries,
        queue_messages,
        queue_bytes,
        blobs,
        blob_bytes,
    } = tenant.quotas;
    let unbounded = Quotas::UNBOUNDED;
    messages::Tenant {
        name: tenant.id.to_string(),
        quotas: messages::Quotas {
            apps: (apps < unbounded.apps).then_some(apps),
            artifact_bytes: (artifact_bytes < unbounded.artifact_bytes).then_some(artifact_bytes),
            memory_bytes: (memory_bytes < unbounded.memory_bytes).then_some(memory_bytes),
            concurrency: (concurrency < unbounded.concurrency).then_some(concurrency),
            requests_per_second: (requests_per_second < unbounded.requests_per_second)
                .then_some(requests_per_second),
            kv_bytes,
            kv_entries,
            queue_messages,
            queue_bytes,
            blobs,
            blob_bytes,
        },
        created_ms: tenant.created.0,
    }
}

pub(super) fn quotas(sent: messages::Quotas) -> Quotas {
    let unbounded = Quotas::UNBOUNDED;
    let bytes = |sent: Option<u64>| {
        sent.map_or(unbounded.memory_bytes, |bytes| {
            bytes.min(unbounded.memory_bytes)
        })
    };
    Quotas {
        apps: sent.apps.unwrap_or(unbounded.apps),
        artifact_bytes: bytes(sent.artifact_bytes),
        memory_bytes: bytes(sent.memory_bytes),
        concurrency: sent.concurrency.unwrap_or(unbounded.concurrency),
        requests_per_second: sent
            .requests_per_second
            .unwrap_or(unbounded.requests_per_second),
        kv_bytes: sent.kv_bytes,
        kv_entries: sent.kv_entries,
        queue_messages: sent.queue_messages,
        queue_bytes: sent.queue_bytes,
        blobs: sent.blobs,
        blob_bytes: sent.blob_bytes,
    }
}

fn token_info(token: &accounts::Token) -> messages::TokenInfo {
    messages::TokenInfo {
        id: token.id.to_string(),
        name: token.name.clone(),
        scope: scope(token.scope),
        created_ms: token.created.0,
        expires_ms: token.expires.map(|at| at.0),
    }
}

fn kept_scope(scope: messages::Scope) -> accounts::Scope {
    match scope {
        messages::Scope::Read => accounts::Scope::Read,
        messages::Scope::Deploy => accounts::Scope::Deploy,
        messages::Scope::Admin => accounts::Scope::Admin,
    }
}
