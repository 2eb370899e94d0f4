//! Blobs of apps, for their owners: listed, and streamed both ways, never whole in memory.
//!
//! Owns how many are streamed at once, and that each change is in the audit log before it is made: who, of which app and
//! container; no name of a blob. How a blob flows out is `outgoing`'s, what has to hold for a change
//! `condition`'s, and how a write is refused that is still sent `lingering`'s.

mod condition;
mod lingering;
mod outgoing;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;
use everwarm_api::messages::{self, BlobInfo, BlobPage, BlobRemoved};
use everwarm_api::operations::CREATED_HEADER;
use everwarm_edge::assets::{Range, range};
use everwarm_manifest::{App, ContainerName};
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

use super::Admin;
use super::apps::app_name;
use super::auth::Caller;
use super::failure::Failed;
use super::held::held;
use super::pace::Paced;
use super::pages::Asked;
use super::sent::{Asking, Names, not_whole, one};
use crate::operate::note;
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
/// How often a blob is looked at again that was replaced while a part of it was chosen.
const TRIES_MAX: usize = 3;

// Clients say how large one may be.
const _: () = assert!(messages::BLOB_BYTES_MAX == BLOB_BYTES_MAX);

/// Which blob is meant.
#[derive(Debug, Deserialize)]
pub(super) struct OfName {
    name: String,
}

/// Which blobs are listed.
#[derive(Debug, Deserialize)]
pub(super) struct OfPrefix {
    #[serde(default)]
    prefix: String,
}

/// The container that a path names, of an app that is there.
async fn container(
    admin: &Admin,
    caller: &Caller,
    Names(app, container): Names,
) -> Result<Container, Failed> {
    let app = app_name(&app)?;
    let name =
        ContainerName::new(&container).map_err(|error| Failed::bad_request(error.to_string()))?;
    let known = admin.node.store.catalog().app(&caller.tenant, &app).await?;
    known.ok_or_else(|| Failed::not_found(&format!("app `{app}`")))?;
    Ok(Container {
        tenant: caller.tenant.clone(),
        app,
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

/// Tells the audit log of a change before it is made.
async fn announce(
    admin: &Admin,
    caller: &Caller,
    action: Action,
    container: &Container,
) -> Result<(), Failed> {
    let detail = format!("container {}", container.name);
    let note = note(&caller.actor(), action, container.app.as_str(), detail);
    let audit = admin.node.store.audit();
    Ok(audit.announce(&container.tenant, note).await?)
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
    let turn = admin.blob_downloads.wait(&caller.tenant).await;
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

/// What can be refused is refused before the body is read, and the turn is waited for before it as well.
pub(super) async fn put(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Asking(asked): Asking<OfName>,
    request: Request,
) -> Response {
    let mut body = None;
    match keep(&admin, &caller, names, &asked.name, request, &mut body).await {
        Ok(info) => Json(info).into_response(),
        Err(failed) => {
            let mut response = failed.into_response();
            let body = body.filter(|body| !body.is_end_stream());
            // What isn't read of a body ends its connection.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            match body {
                Some(body) if body.is_begun() => lingering(response, body),
                _ => response,
            }
        }
    }
}

async fn keep(
    admin: &Admin,
    caller: &Caller,
    names: Names,
    name: &str,
    request: Request,
    body: &mut Option<Paced>,
) -> Result<BlobInfo, Failed> {
    let id = blob(admin, caller, names, name).await?;
    must_be_declared(admin, &id.container).await?;
    let (parts, sent) = request.into_parts();
    let condition = condition::of_write(&parts.headers)?;
    let content_type = content_type(&parts.headers)?;
    if parts.headers.contains_key(header::CONTENT_RANGE) {
        let text = "a blob is written whole: `content-range` says that this is a part";
        return Err(Failed::bad_request(text));
    }
    if sent.size_hint().lower() > BLOB_BYTES_MAX {
        return Err(BlobError::TooLarge.into());
    }
    let body = body.insert(Paced::new(sent));
    let _turn = admin.blob_uploads.wait(&caller.tenant).await;
    let blobs = admin.node.store.blobs();
    let current = blobs.head(&id).await?;
    condition.check(current.as_ref().map(|blob| &blob.etag))?;
    let quota = admin.node.app_quotas.quota(&caller.tenant).blobs;
    let mut upload = blobs.put(&id, content_type, quota).await?;
    fill(&mut *upload, body).await?;
    announce(admin, caller, Action::PutBlobs, &id.container).await?;
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
    let sent = one(headers, &header::CONTENT_TYPE);
    let sent = sent.map_err(|_| Failed::bad_request("there is one `content-type`"))?;
    let Some(value) = sent else { return Ok(None) };
    let content_type = value.to_str().ok().map(ContentType::new);
    let content_type = content_type.transpose();
    let content_type = content_type.map_err(|error| Failed::bad_request(error.to_string()))?;
    let content_type =
        content_type.ok_or_else(|| Failed::bad_request("`content-type` isn't ASCII"));
    content_type.map(Some)
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
    announce(&admin, &caller, Action::RemoveBlobs, &id.container).await?;
    let blobs = admin.node.store.blobs();
    let removed = blobs.delete(&id, condition).await?;
    Ok(Json(BlobRemoved { removed }))
}
