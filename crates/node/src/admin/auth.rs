//! Who asks, and whether they may.
//!
//! A token is looked up by its public id and compared by the hash of its secret, in constant time. What is refused
//! isn't told apart: an unknown token, a wrong secret and an expired one get the same answer.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::Response;
use everwarm_api::messages::Scope;
use everwarm_api::operations::{Operation, TENANT_HEADER};
use everwarm_api::token::Token;
use everwarm_manifest::TenantId;
use everwarm_store::Store as _;
use everwarm_store::accounts::{self, Quotas, Tenant, TokenId};
use everwarm_store::catalog::UnixMillis;

use super::Admin;
use super::failure::Failed;
use super::held::held;
use super::request_id;
use super::sent::one;
use crate::operate::Actor;

/// Whom the node takes the caller for.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) token: accounts::Token,
    /// For whom it acts.
    pub(super) tenant: TenantId,
    /// What that tenant may use.
    pub(super) quotas: Quotas,
}

impl Caller {
    /// Whether the token is the node's own.
    pub(super) fn is_node(&self) -> bool {
        self.token.tenant.is_none()
    }

    /// As the audit log has it.
    pub(super) fn actor(&self) -> Actor {
        Actor(format!("{} ({})", self.token.name, self.token.id))
    }

    /// The owner of tokens that an operation is about: the tenant, or with `of_node` the node.
    pub(super) fn owner(&self, of_node: bool) -> Result<Option<&TenantId>, Failed> {
        if !of_node {
            return Ok(Some(&self.tenant));
        }
        if self.is_node() {
            return Ok(None);
        }
        Err(Failed::needs_token_of_node())
    }
}

/// Lets a request through to its operation with its [`Caller`], or refuses it.
pub(super) async fn check(
    State((admin, operation)): State<(Admin, &'static Operation)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failed> {
    let caller = caller(&admin, request.headers()).await?;
    if scope(caller.token.scope) < operation.scope {
        return Err(Failed::needs_scope(operation.scope));
    }
    if operation.node_only && !caller.is_node() {
        return Err(Failed::needs_token_of_node());
    }
    // Held until the response has ended: one that isn't read is memory too.
    let turn = admin.requests.take(&caller.tenant);
    let turn = turn.ok_or_else(Failed::too_many_requests)?;
    let token = caller.token.id;
    request.extensions_mut().insert(caller);
    let response = held(next.run(request).await, turn);
    tracing::info!(
        operation = operation.id,
        request_id = request_id::current(),
        %token,
        status = response.status().as_u16(),
        "admin request"
    );
    Ok(response)
}

async fn caller(admin: &Admin, headers: &HeaderMap) -> Result<Caller, Failed> {
    let token = authenticated(admin, headers).await?;
    let asked = one(headers, &HeaderName::from_static(TENANT_HEADER));
    let asked = asked.map_err(|_| Failed::bad_request("there is one tenant to act for"))?;
    let id = match (&token.tenant, asked) {
        (Some(own), None) => own.clone(),
        (None, None) => TenantId::default_tenant(),
        (own, Some(asked)) => {
            let asked = asked
                .to_str()
                .ok()
                .and_then(|name| TenantId::new(name).ok());
            let asked = asked.ok_or_else(|| Failed::bad_request("the tenant's name is none"))?;
            if own.as_ref().is_some_and(|own| *own != asked) {
                return Err(Failed::needs_token_of_node());
            }
            asked
        }
    };
    let tenant = admin.node.store.accounts().tenant(&id).await?;
    let Tenant { quotas, .. } =
        tenant.ok_or_else(|| Failed::not_found(&format!("tenant `{id}`")))?;
    Ok(Caller {
        token,
        tenant: id,
        quotas,
    })
}

async fn authenticated(admin: &Admin, headers: &HeaderMap) -> Result<accounts::Token, Failed> {
    let sent = one(headers, &header::AUTHORIZATION)
        .ok()
        .flatten()
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .and_then(|(_, token)| Token::parse(token).ok())
        .ok_or_else(Failed::unauthorized)?;
    let kept = admin
        .node
        .store
        .accounts()
        .token(TokenId(sent.id()))
        .await?;
    let Some(kept) = kept.filter(|kept| sent.matches(&kept.secret_hash)) else {
        return Err(Failed::unauthorized());
    };
    if kept
        .expires
        .is_some_and(|expires| expires <= UnixMillis::now())
    {
        return Err(Failed::unauthorized());
    }
    Ok(kept)
}

pub(super) fn scope(scope: accounts::Scope) -> Scope {
    match scope {
        accounts::Scope::Read => Scope::Read,
        accounts::Scope::Deploy => Scope::Deploy,
        accounts::Scope::Admin => Scope::Admin,
    }
}
