//! Uploads of components: bytes that are named by their digest.

use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use everwarm_manifest::Digest;
use everwarm_store::Store as _;

use super::Admin;
use super::auth::Caller;
use super::failure::Failed;

fn digest(text: &str) -> Result<Digest, Failed> {
    text.parse()
        .map_err(|error: everwarm_manifest::DigestError| Failed::bad_request(error.to_string()))
}

pub(super) async fn has(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<StatusCode, Failed> {
    let artifacts = admin.node.store.artifacts();
    let is_there = artifacts.contains(&caller.tenant, digest(&text)?).await?;
    Ok(if is_there {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    })
}

/// The permit is taken before the body is read: bodies that wait aren't in memory.
pub(super) async fn put(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    request: axum::extract::Request,
) -> Result<StatusCode, Failed> {
    use axum::extract::FromRequest as _;

    let expected = digest(&text)?;
    let permit = admin.uploads.acquire().await;
    let _permit = permit.map_err(|_| Failed::busy())?;
    let bytes = Bytes::from_request(request, &admin).await;
    let bytes = bytes.map_err(|error| Failed::bad_request(error.body_text()))?;
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
