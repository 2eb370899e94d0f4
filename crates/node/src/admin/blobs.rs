//! Blobs of apps, for their owners: listed, and streamed both ways, never whole in memory.
//!
//! Owns how many are streamed at once, and that each change is in the audit log before it is made: who, of which app and
//! container; no name of a blob. How a blob flows out is `outgoing`'s, what has to hold for a change
//! `condition`'s, and how a write is refused that is still sent `lingering`'s.

mod condition;
mod lingering;
mod outgoing;

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;
use everwarm_api::messages::{self, BlobInfo, BlobPage, BlobRemoved};
use everwarm_api::operations::CREATED_HEADER;
use everwarm_edge::assets::{Range, range};
use everwarm_manifest::{App, ContainerName, TenantId};
use everwarm_store::Store as _;
use everwarm_store::audit::Action;
use everwarm_store::blobs::{
    BLOB_BYTES_MAX, Blob, BlobError, BlobId, BlobName, Container, ContentType, Download, Etag,
    PIECE_BYTES, Part, Upload,
};
use everwarm_store::catalog::UnixMillis;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tokio::time::timeout;

use super::Admin;
use super::apps::known_app;
use super::auth::Caller;
use super::failure::Failed;
use super::held::held;
use super::history::announce;
use super::pace::{BODY_TIME_MIN, Paced};
use super::pages::{Asked, OfPrefix};
use super::sent::{Asking, Names, not_whole, text};
use crate::turns::{Turn, Turns};
use lingering::lingering;
use outgoing::Outgoing;

/// Blobs that are written at once. Each holds two pieces.
pub(super) const UPLOADS_MAX: usize = 16;
/// Those of one tenant.
pub(super) const UPLOADS_OF_TENANT_MAX: usize = 4;
/// Blobs that are read at once. Each holds a few pieces.
pub(super) const DOWNLOADS_MAX: usize = 32;
/// Those of one tenant.
pub(super) const DOWNLOADS_OF_TENANT_MAX: usize = 8;
/// How long a turn is waited for: longer than a body may stall, so that one that does makes room for others.
const TURN_WAIT_MAX: Duration = BODY_TIME_MIN.saturating_add(Duration::from_secs(5));
/// How often a blob is looked at again that was replaced while a part of it was chosen.
const TRIES_MAX: usize = 3;

// Clients say how large one may be.
const _: () = assert!(messages::BLOB_BYTES_MAX == BLOB_BYTES_MAX);

/// Which blob is meant.
#[derive(Debug, Deserialize)]
pub(super) struct OfName {
    name: String,
}

/// The container that a path names, of an app that is there.
async fn container(
    admin: &Admin,
    caller: &Caller,
    Names(app, container): Names,
) -> Result<Container, Failed> {
    let name =
        ContainerName::new(&container).map_err(|error| Failed::bad_request(error.to_string()))?;
    Ok(Container {
        tenant: caller.tenant.clone(),
        app: known_app(admin, caller, &app).await?,
        name,
    })
}

async fn blob(admin: &Admin, caller: &Caller, names: Names, name: &str) -> Result<BlobId, Failed> {
    let name = blob_name(name)?;
    Ok(BlobId {
        container: container(admin, caller, names).await?,
        name,
    })
}

fn blob_name(text: &str) -> Result<BlobName, Failed> {
    BlobName::new(text).map_err(|error| Failed::bad_request(error.to_string()))
}

/// Checks that what serves of an app declares a container: what is written into another one, no function reads.
async fn must_be_declared(admin: &Admin, container: &Container) -> Result<(), Failed> {
    let Container { tenant, app, name } = container;
    let serving = admin.node.store.catalog().serving(tenant, app).await?;
    let declares = |manifest: &App| manifest.blobs.iter().any(|declared| declared.name == *name);
    let versions = serving.iter().flat_map(|serving| {
        let main = std::iter::once(&serving.main);
        main.chain(&serving.canary)
    });
    let mut versions = versions.map(|version| &version.manifest);
    if versions.any(declares) {
        return Ok(());
    }
    Err(Failed::not_found(&format!(
        "container `{name}` in what serves of {app}: declare it in [[blobs]] of the manifest, and deploy that"
    )))
}

/// What the audit log says of a change.
fn detail(container: &Container) -> String {
    format!("container {}", container.name)
}

/// Waits for a turn, but not for as long as the streams of others may go on.
async fn turn(turns: &Turns, tenant: &TenantId) -> Result<Turn, Failed> {
    let turn = timeout(TURN_WAIT_MAX, turns.wait(tenant)).await;
    turn.map_err(|_| Failed::too_many_blobs())
}

fn info(blob: &Blob) -> BlobInfo {
    BlobInfo {
        name: blob.name.to_string(),
        size: blob.size,
        etag: blob.etag.to_string(),
        content_type: blob.content_type.as_ref().map(ToString::to_string),
        created_ms: blob.created.0,
    }
}

pub(super) async fn list(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Asking(of): Asking<OfPrefix>,
    Asking(asked): Asking<Asked>,
) -> Result<Response, Failed> {
    let container = container(&admin, &caller, names).await?;
    let after = asked.after.as_deref().map(blob_name).transpose()?;
    let turn = admin.batches.wait(&caller.tenant).await;
    let blobs = admin.node.store.blobs();
    let page = blobs
        .list(&container, &of.prefix, after.as_ref(), asked.count())
        .await?;
    let page = BlobPage {
        items: page.blobs.iter().map(info).collect(),
        next: page.next.map(|name| name.to_string()),
    };
    Ok(held(Json(page).into_response(), turn))
}

pub(super) async fn head(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Asking(asked): Asking<OfName>,
) -> Result<Response, Failed> {
    let id = blob(&admin, &caller, names, &asked.name).await?;
    let blob = admin.node.store.blobs().head(&id).await?;
    let blob = blob.ok_or_else(Failed::no_blob)?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    describe(headers, &blob);
    headers.insert(header::CONTENT_LENGTH, blob.size.into());
    Ok(response)
}

/// The etag as HTTP has it, if it can be said there.
fn tag(etag: &Etag) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{etag}\"")).ok()
}

fn describe(headers: &mut HeaderMap, blob: &Blob) {
    let content_type = blob.content_type.as_ref();
    let content_type = content_type.and_then(|text| HeaderValue::from_str(text.as_str()).ok());
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::ETAG, tag(&blob.etag)),
        (
            header::ACCEPT_RANGES,
            Some(HeaderValue::from_static("bytes")),
        ),
    ] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    headers.insert(CREATED_HEADER, HeaderValue::from(blob.created.0));
}

pub(super) async fn get(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Asking(asked): Asking<OfName>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = blob(&admin, &caller, names, &asked.name).await?;
    let turn = turn(&admin.blob_downloads, &caller.tenant).await?;
    let (download, is_part) = match open(&admin, &id, &headers).await? {
        Chosen::Open(download, is_part) => (download, is_part),
        Chosen::NoSuchPart(size) => return Ok(no_such_part(size)),
    };
    let mut response = Response::new(Body::empty());
    let (blob, range) = (download.blob(), download.range());
    describe(response.headers_mut(), blob);
    if is_part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = range.end.saturating_sub(1);
        let told = format!("bytes {}-{last}/{}", range.start, blob.size);
        if let Ok(told) = HeaderValue::try_from(told) {
            response.headers_mut().insert(header::CONTENT_RANGE, told);
        }
    }
    *response.body_mut() = Body::new(Outgoing::start(download, turn));
    Ok(response)
}

/// What is answered to somebody who wants a blob, or a part of one.
enum Chosen {
    /// This, and whether it is a part.
    Open(Box<dyn Download>, bool),
    /// The blob has so many bytes, and none of those.
    NoSuchPart(u64),
}

async fn open(admin: &Admin, id: &BlobId, headers: &HeaderMap) -> Result<Chosen, Failed> {
    let blobs = admin.node.store.blobs();
    if headers.contains_key(header::RANGE) {
        // Which bytes are meant depends on how many there are, and somebody may replace it meanwhile.
        for _ in 0..TRIES_MAX {
            let blob = blobs.head(id).await?.ok_or_else(Failed::no_blob)?;
            let part = match range(headers, tag(&blob.etag).as_ref(), blob.size) {
                Range::Whole => break,
                Range::None => return Ok(Chosen::NoSuchPart(blob.size)),
                Range::Part(first, last) => Part {
                    start: first,
                    len_max: (last - first).saturating_add(1),
                },
            };
            match blobs.get(id, part).await {
                Ok(Some(download)) if download.blob().etag == blob.etag => {
                    return Ok(Chosen::Open(download, true));
                }
                Ok(_) | Err(BlobError::BadRange { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let download = blobs.get(id, Part::WHOLE).await?;
    let download = download.ok_or_else(Failed::no_blob)?;
    Ok(Chosen::Open(download, false))
}

fn no_such_part(size: u64) -> Response {
    let mut response = Failed::no_such_part(size).into_response();
    if let Ok(told) = HeaderValue::try_from(format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, told);
    }
    response
}

/// What can be refused is refused before the body is read, and the turn is waited for before it as well. A client that
/// sends all the same, since it doesn't wait to be asked, learns why it is refused.
pub(super) async fn put(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Asking(asked): Asking<OfName>,
    request: Request,
) -> Response {
    let (Parts { headers, .. }, body) = request.into_parts();
    let mut body = Paced::new(body);
    let kept = keep(&admin, &caller, names, &asked.name, &headers, &mut body).await;
    let mut response = match kept {
        Ok(info) => return Json(info).into_response(),
        Err(failed) => failed.into_response(),
    };
    if body.is_end_stream() {
        return response;
    }
    // What isn't read of a body ends its connection.
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    if body.is_begun() || !headers.contains_key(header::EXPECT) {
        return lingering(response, body);
    }
    response
}

async fn keep(
    admin: &Admin,
    caller: &Caller,
    names: Names,
    name: &str,
    headers: &HeaderMap,
    body: &mut Paced,
) -> Result<BlobInfo, Failed> {
    let id = blob(admin, caller, names, name).await?;
    must_be_declared(admin, &id.container).await?;
    let condition = condition::of_write(headers)?;
    let content_type = content_type(headers)?;
    if headers.contains_key(header::CONTENT_RANGE) {
        let text = "a blob is written whole: `content-range` says that this is a part";
        return Err(Failed::bad_request(text));
    }
    if body.size_hint().lower() > BLOB_BYTES_MAX {
        return Err(BlobError::TooLarge.into());
    }
    let _turn = turn(&admin.blob_uploads, &caller.tenant).await?;
    let blobs = admin.node.store.blobs();
    let current = blobs.head(&id).await?;
    condition.check(current.as_ref().map(|blob| &blob.etag))?;
    let quota = admin.node.app_quotas.quota(&caller.tenant).blobs;
    let mut upload = blobs.put(&id, content_type, quota).await?;
    fill(&mut *upload, body).await?;
    let Container { app, .. } = &id.container;
    let detail = detail(&id.container);
    announce(admin, caller, Action::PutBlobs, app, detail).await?;
    let blob = upload.finish(condition, UnixMillis::now()).await?;
    Ok(info(&blob))
}

/// Writes a body as it comes: no more of it is read before what came is with the store.
async fn fill(upload: &mut dyn Upload, body: &mut Paced) -> Result<(), Failed> {
    let mut piece = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| not_whole(&error))?.into_data() else {
            continue;
        };
        piece.extend_from_slice(&data);
        while piece.len() >= PIECE_BYTES {
            upload.write(piece.split_to(PIECE_BYTES).freeze()).await?;
        }
    }
    Ok(upload.write(piece.freeze()).await?)
}

fn content_type(headers: &HeaderMap) -> Result<Option<ContentType>, Failed> {
    let content_type = text(headers, &header::CONTENT_TYPE)?.map(ContentType::new);
    let content_type = content_type.transpose();
    content_type.map_err(|error| Failed::bad_request(error.to_string()))
}

pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Asking(asked): Asking<OfName>,
    headers: HeaderMap,
) -> Result<Json<BlobRemoved>, Failed> {
    let id = blob(&admin, &caller, names, &asked.name).await?;
    let condition = condition::of_removal(&headers)?;
    let Container { app, .. } = &id.container;
    let detail = detail(&id.container);
    announce(&admin, &caller, Action::RemoveBlobs, app, detail).await?;
    let blobs = admin.node.store.blobs();
    let removed = blobs.delete(&id, condition).await?;
    Ok(Json(BlobRemoved { removed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turn_that_does_not_come_is_refused() {
        let turns = Turns::new(2, 1);
        let (ann, bob) = (TenantId::new("ann").unwrap(), TenantId::new("bob").unwrap());
        let first = turn(&turns, &ann).await.unwrap();
        let refused = turn(&turns, &ann).await.unwrap_err();
        assert_eq!(refused.into_problem().code, "EW5022");
        turn(&turns, &bob).await.unwrap();
        drop(first);
        turn(&turns, &ann).await.unwrap();
    }
}
