//! Uploads of components and of bundles of assets: bytes that are named by their digest.

use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use everwarm_bundle::BUNDLE_BYTES_MAX;
use everwarm_manifest::Digest;
use everwarm_store::Store as _;

use super::Admin;
use super::auth::Caller;
use super::failure::Failed;
use super::sent::{Name, whole};

fn digest(text: &str) -> Result<Digest, Failed> {
    text.parse()
        .map_err(|error: everwarm_manifest::DigestError| Failed::bad_request(error.to_string()))
}

pub(super) async fn has(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(text): Name,
) -> Result<StatusCode, Failed> {
    let artifacts = admin.node.store.artifacts();
    let is_there = artifacts.contains(&caller.tenant, digest(&text)?).await?;
    Ok(if is_there {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    })
}

/// The turn is waited for before the body is read: bodies that wait aren't in memory.
pub(super) async fn put(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(text): Name,
    request: Request,
) -> Result<StatusCode, Failed> {
    let bytes_max = admin.node.inspect_limits.component_bytes_max;
    let _turn = admin.uploads.wait(&caller.tenant).await;
    keep(&admin, &caller, &text, request, bytes_max).await
}

/// As [`put`]; there are fewer turns, since bundles are larger.
pub(super) async fn put_assets(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(text): Name,
    request: Request,
) -> Result<StatusCode, Failed> {
    let _turn = admin.bundles.wait(&caller.tenant).await;
    keep(&admin, &caller, &text, request, BUNDLE_BYTES_MAX).await
}

async fn keep(
    admin: &Admin,
    caller: &Caller,
    text: &str,
    request: Request,
    bytes_max: u64,
) -> Result<StatusCode, Failed> {
    let expected = digest(text)?;
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let bytes = whole(request.into_body(), bytes_max).await?;
    let found = everwarm_store::artifacts::digest_of(&bytes);
    if found != expected {
        return Err(Failed::digest_differs(&found.to_string()));
    }
    let artifacts = admin.node.store.artifacts();
    artifacts
        .put(&caller.tenant, bytes, caller.quotas.artifact_bytes)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
