//! Key-value data of apps, for their owners: single values as they are, several as Base64 in JSON.
//!
//! Owns what is held in memory for it at once, and that each change is in the audit log before it is made: who, of
//! which app and store, how many keys; no key, and no value.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use everwarm_api::messages::{self, KvEntries, KvEntry, KvKeys, KvPut, KvRemoved};
use everwarm_api::operations::{EXPIRES_HEADER, REVISION_HEADER};
use everwarm_store::Store as _;
use everwarm_store::audit::Action;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::kv::{
    BATCH_BYTES_MAX, BATCH_MAX, Bucket, BucketName, KEY_BYTES_MAX, Key, KvError, NewValue,
    VALUE_BYTES_MAX,
};
use serde::Deserialize;

use super::Admin;
use super::apps::known_app;
use super::auth::Caller;
use super::failure::Failed;
use super::held::held;
use super::history::announce;
use super::pages::{Asked, OfPrefix};
use super::sent::{Asking, Names, Sent, json, whole};

/// Values that are read or written alone at once.
pub(super) const VALUES_MAX: usize = 64;
/// Those of one tenant.
pub(super) const VALUES_OF_TENANT_MAX: usize = 16;
/// Batches that are read or written at once.
pub(super) const BATCHES_MAX: usize = 8;
/// Those of one tenant.
pub(super) const BATCHES_OF_TENANT_MAX: usize = 4;
/// Bytes of a body that is read as a value. Whoever sends one that is a little too large is told how large it is; of what
/// is larger nothing is read, and the connection ends.
const VALUE_READ_MAX: usize = 2 * VALUE_BYTES_MAX;
/// Bytes of the JSON of a batch: values are a third longer as Base64, and a byte of a key may be written as six.
const BATCH_JSON_BYTES_MAX: usize = BATCH_BYTES_MAX / 3 * 4 + BATCH_MAX * (6 * KEY_BYTES_MAX + 128);

// Clients check what they send before they do.
const _: () = assert!(
    messages::KEY_BYTES_MAX == KEY_BYTES_MAX
        && messages::VALUE_BYTES_MAX == VALUE_BYTES_MAX
        && messages::BATCH_MAX == BATCH_MAX
        && messages::BATCH_BYTES_MAX == BATCH_BYTES_MAX
);

/// Which key is meant.
#[derive(Debug, Deserialize)]
pub(super) struct OfKey {
    key: String,
}

/// For how long.
#[derive(Debug, Deserialize)]
pub(super) struct ForTime {
    ttl_s: Option<u64>,
}

/// The store that a path names, of an app that is there.
async fn bucket(
    admin: &Admin,
    caller: &Caller,
    Names(app, store): Names,
) -> Result<Bucket, Failed> {
    let name = BucketName::new(&store).map_err(|error| Failed::not_a_key(error.to_string()))?;
    Ok(Bucket {
        tenant: caller.tenant.clone(),
        app: known_app(admin, caller, &app).await?,
        name,
    })
}

fn key(text: &str) -> Result<Key, Failed> {
    Key::new(text).map_err(|error| Failed::not_a_key(error.to_string()))
}

/// Keys of a batch, as they were sent.
pub(super) fn keys(sent: &KvKeys) -> Result<Vec<Key>, Failed> {
    let keys = sent.keys.len();
    if keys > BATCH_MAX {
        return Err(KvError::BatchTooLong { keys }.into());
    }
    sent.keys.iter().map(|text| key(text)).collect()
}

/// Values of a batch, as they were sent. What is wrong is told with its place.
pub(super) fn values(sent: KvEntries) -> Result<Vec<(Key, NewValue)>, Failed> {
    let keys = sent.items.len();
    if keys > BATCH_MAX {
        return Err(KvError::BatchTooLong { keys }.into());
    }
    let mut bytes = 0;
    let mut values = Vec::with_capacity(keys);
    for (index, entry) in sent.items.into_iter().enumerate() {
        let place =
            |what: &dyn std::fmt::Display| format!("entry {} of the batch: {what}", index + 1);
        bytes += entry.bytes();
        if entry.value.0.len() > VALUE_BYTES_MAX {
            let bytes = entry.value.0.len();
            return Err(Failed::value_too_large(place(&KvError::ValueTooLarge {
                bytes,
            })));
        }
        let key = Key::new(&entry.key).map_err(|error| Failed::not_a_key(place(&error)))?;
        let value = NewValue {
            bytes: entry.value.0,
            expires: entry.expires_ms.map(UnixMillis),
        };
        values.push((key, value));
    }
    if bytes > BATCH_BYTES_MAX {
        return Err(KvError::BatchTooLarge.into());
    }
    Ok(values)
}

/// What the audit log says of a change.
fn detail(bucket: &Bucket, keys: usize) -> String {
    let plural = if keys == 1 { "" } else { "s" };
    format!("store {}: {keys} key{plural}", bucket.name)
}

pub(super) async fn get(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Asking(asked): Asking<OfKey>,
) -> Result<Response, Failed> {
    let bucket = bucket(&admin, &caller, names).await?;
    let key = key(&asked.key)?;
    // Held until the answer is read.
    let turn = admin.values.wait(&caller.tenant).await;
    let kv = admin.node.store.kv();
    let entry = kv.get(&bucket, &key, UnixMillis::now()).await?;
    let entry = entry.ok_or_else(|| Failed::no_value(key.as_str()))?;
    let mut response = entry.value.into_response();
    let headers = response.headers_mut();
    headers.insert(REVISION_HEADER, HeaderValue::from(entry.revision.0));
    if let Some(expires) = entry.expires {
        headers.insert(EXPIRES_HEADER, HeaderValue::from(expires.0));
    }
    Ok(held(response, turn))
}

/// The turn is waited for before the body is read: bodies that wait aren't in memory.
pub(super) async fn put(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Asking(asked): Asking<OfKey>,
    Asking(time): Asking<ForTime>,
    request: Request,
) -> Result<Json<KvPut>, Failed> {
    let bucket = bucket(&admin, &caller, names).await?;
    let key = key(&asked.key)?;
    if time.ttl_s == Some(0) {
        return Err(Failed::bad_request("`ttl_s` is 1 at least"));
    }
    let _turn = admin.values.wait(&caller.tenant).await;
    let bytes: Bytes = whole(request.into_body(), VALUE_READ_MAX).await?;
    if bytes.len() > VALUE_BYTES_MAX {
        let bytes = bytes.len();
        return Err(KvError::ValueTooLarge { bytes }.into());
    }
    let detail = detail(&bucket, 1);
    announce(&admin, &caller, Action::PutValues, &bucket.app, detail).await?;
    let now = UnixMillis::now();
    let expires = time
        .ttl_s
        .map(|seconds| UnixMillis(now.0.saturating_add(seconds.saturating_mul(1_000))));
    let quota = admin.node.app_quotas.quota(&caller.tenant).kv;
    let kv = admin.node.store.kv();
    let value = NewValue { bytes, expires };
    let revision = kv.set(&bucket, &key, value, quota, now).await?;
    Ok(Json(KvPut {
        revision: revision.0,
        expires_ms: expires.map(|at| at.0),
    }))
}

pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Asking(asked): Asking<OfKey>,
) -> Result<StatusCode, Failed> {
    let bucket = bucket(&admin, &caller, names).await?;
    let key = key(&asked.key)?;
    let detail = detail(&bucket, 1);
    announce(&admin, &caller, Action::RemoveValues, &bucket.app, detail).await?;
    let kv = admin.node.store.kv();
    kv.delete(&bucket, &key, UnixMillis::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn list(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Asking(of): Asking<OfPrefix>,
    Asking(asked): Asking<Asked>,
) -> Result<Json<messages::KvKeyPage>, Failed> {
    let bucket = bucket(&admin, &caller, names).await?;
    let after = asked.after.as_deref().map(key).transpose()?;
    let kv = admin.node.store.kv();
    let now = UnixMillis::now();
    let page = kv
        .list(&bucket, &of.prefix, after.as_ref(), asked.count(), now)
        .await?;
    Ok(Json(messages::KvKeyPage {
        items: page.keys.iter().map(ToString::to_string).collect(),
        next: page.next.map(|key| key.to_string()),
    }))
}

pub(super) async fn read(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Sent(sent): Sent<KvKeys>,
) -> Result<Response, Failed> {
    let bucket = bucket(&admin, &caller, names).await?;
    let keys = keys(&sent)?;
    let turn = admin.batches.wait(&caller.tenant).await;
    let kv = admin.node.store.kv();
    let found = kv.get_many(&bucket, &keys, UnixMillis::now()).await?;
    let found = keys.iter().zip(found).filter_map(|(key, entry)| {
        let entry = entry?;
        Some(KvEntry {
            key: key.to_string(),
            value: messages::Base64(entry.value),
            expires_ms: entry.expires.map(|at| at.0),
        })
    });
    let items = found.collect();
    Ok(held(Json(KvEntries { items }).into_response(), turn))
}

/// As with [`put`], the turn comes before the body.
pub(super) async fn write(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    request: Request,
) -> Result<StatusCode, Failed> {
    let bucket = bucket(&admin, &caller, names).await?;
    let _turn = admin.batches.wait(&caller.tenant).await;
    let values = values(json(request, BATCH_JSON_BYTES_MAX).await?)?;
    if !values.is_empty() {
        let detail = detail(&bucket, values.len());
        announce(&admin, &caller, Action::PutValues, &bucket.app, detail).await?;
        let quota = admin.node.app_quotas.quota(&caller.tenant).kv;
        let kv = admin.node.store.kv();
        kv.set_many(&bucket, values, quota, UnixMillis::now())
            .await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove_all(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    names: Names,
    Sent(sent): Sent<KvKeys>,
) -> Result<Json<KvRemoved>, Failed> {
    let bucket = bucket(&admin, &caller, names).await?;
    let keys = keys(&sent)?;
    if keys.is_empty() {
        return Ok(Json(KvRemoved { removed: 0 }));
    }
    let detail = detail(&bucket, keys.len());
    announce(&admin, &caller, Action::RemoveValues, &bucket.app, detail).await?;
    let kv = admin.node.store.kv();
    let removed = kv.delete_many(&bucket, keys, UnixMillis::now()).await?;
    Ok(Json(KvRemoved { removed }))
}
