//! Secrets of apps, and the key that seals them. Values go in and never come out.

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use everwarm_api::messages;
use everwarm_manifest::ConfigName;
use everwarm_store::secrets::SecretsOf;

use super::Admin;
use super::apps::app_name;
use super::auth::Caller;
use super::failure::Failed;
use super::sent::{JSON_BYTES_MAX, Name, Names, Sent, whole};
use crate::secrets::{Listed, value};

/// Whose secrets are meant.
fn of(caller: &Caller, app: &str) -> Result<SecretsOf, Failed> {
    Ok(SecretsOf {
        tenant: caller.tenant.clone(),
        app: app_name(app)?,
    })
}

/// A secret's name as it stands in a path. A name that can't be isn't there; to be set, it has to be one.
fn there(name: &str) -> Result<ConfigName, Failed> {
    let unknown = |_| Failed::not_found(&format!("secret `{}`", name.escape_debug()));
    ConfigName::new(name).map_err(unknown)
}

pub(super) async fn list(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(app): Name,
) -> Result<Json<messages::SecretPage>, Failed> {
    let listed = admin.node.list_secrets(&of(&caller, &app)?).await?;
    let items = listed.into_iter().map(told).collect();
    Ok(Json(messages::SecretPage { items }))
}

pub(super) async fn put(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Names(app, name): Names,
    body: Body,
) -> Result<Json<messages::Secret>, Failed> {
    let of = of(&caller, &app)?;
    let name = ConfigName::new(&name).map_err(|error| {
        let name = name.escape_debug();
        Failed::bad_request(format!("`{name}` can't name a secret: {error}"))
    })?;
    // More than a value may have is read, so that its sender hears what is wrong.
    let bytes = whole(body, JSON_BYTES_MAX).await?;
    // As long as nobody else has the bytes, they are taken and not copied.
    let value = value(Vec::from(bytes))?;
    let (by, apps_max) = (caller.actor(), caller.quotas.apps);
    let node = &admin.node;
    node.set_secret(&of, &name, &value, apps_max, &by).await?;
    one(&admin, &of, &name).await
}

pub(super) async fn roll_back(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Names(app, name): Names,
    Sent(sent): Sent<messages::SecretRollback>,
) -> Result<Json<messages::Secret>, Failed> {
    let (of, name) = (of(&caller, &app)?, there(&name)?);
    let by = caller.actor();
    let node = &admin.node;
    node.roll_back_secret(&of, &name, sent.version, &by).await?;
    one(&admin, &of, &name).await
}

pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Names(app, name): Names,
) -> Result<StatusCode, Failed> {
    let (of, name) = (of(&caller, &app)?, there(&name)?);
    let by = caller.actor();
    let removed = admin.node.remove_secret(&of, &name, &by).await?;
    let unknown = || Failed::not_found(&format!("secret `{name}`"));
    removed
        .then_some(StatusCode::NO_CONTENT)
        .ok_or_else(unknown)
}

pub(super) async fn rotate_key(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<messages::KeyRotation>, Failed> {
    let rotation = admin.node.rotate_secrets_key(&caller.actor()).await?;
    Ok(Json(messages::KeyRotation {
        key: rotation.key.to_string(),
        resealed: rotation.resealed,
        unreadable: rotation.unreadable,
        unused: rotation.unused.iter().map(ToString::to_string).collect(),
    }))
}

/// One secret, as it is in the list.
async fn one(
    admin: &Admin,
    of: &SecretsOf,
    name: &ConfigName,
) -> Result<Json<messages::Secret>, Failed> {
    let listed = admin.node.list_secrets(of).await?;
    let found = listed.into_iter().find(|secret| secret.name == *name);
    let gone = || Failed::not_found(&format!("secret `{name}`"));
    found.map(|found| Json(told(found))).ok_or_else(gone)
}

fn told(listed: Listed) -> messages::Secret {
    let Listed {
        name,
        set,
        unreadable,
        granted,
    } = listed;
    let kept = set.iter().flat_map(|set| &set.versions);
    let versions = kept.map(|(version, at)| messages::SecretVersion {
        version: *version,
        set_ms: at.0,
    });
    messages::Secret {
        name: name.to_string(),
        versions: versions.collect(),
        version: set.map(|set| set.current),
        functions: granted.iter().map(ToString::to_string).collect(),
        unreadable,
    }
}
