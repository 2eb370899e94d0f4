//! What there is: apps and their versions. And removing an app.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use everwarm_api::messages;
use everwarm_manifest::AppName;
use everwarm_store::Store as _;
use everwarm_store::catalog::{AppSummary, Version, VersionId};
use everwarm_store::traffic::Traffic;

use super::Admin;
use super::auth::Caller;
use super::failure::Failed;
use super::pages::{Asked, cut};
use super::sent::{Asking, Name};
use crate::domain::Domain;

/// An app's name as it stands in a path. A name that can't be isn't there.
pub(super) fn app_name(text: &str) -> Result<AppName, Failed> {
    AppName::new(text).map_err(|_| Failed::not_found(&format!("app `{}`", text.escape_debug())))
}

/// The name of an app that is there.
pub(super) async fn known_app(
    admin: &Admin,
    caller: &Caller,
    text: &str,
) -> Result<AppName, Failed> {
    let app = app_name(text)?;
    let known = admin.node.store.catalog().app(&caller.tenant, &app).await?;
    known.ok_or_else(|| Failed::not_found(&format!("app `{app}`")))?;
    Ok(app)
}

/// A version by its whole name or its first digits.
pub(super) async fn version_id(
    admin: &Admin,
    caller: &Caller,
    app: &AppName,
    text: &str,
) -> Result<VersionId, Failed> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let catalog = admin.node.store.catalog();
    let found = catalog
        .versions_with_digits(&caller.tenant, app, digits, 2)
        .await?;
    match found[..] {
        [version] => Ok(version),
        [] => Err(Failed::not_found(&format!(
            "version `{}` of app `{app}`",
            text.escape_debug()
        ))),
        _ => Err(Failed::bad_request(format!(
            "more than one version of app `{app}` begins with `{}`: write more of its digits",
            text.escape_debug()
        ))),
    }
}

pub(super) async fn list(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Asking(asked): Asking<Asked>,
) -> Result<Json<messages::AppPage>, Failed> {
    let after = asked.after.as_deref().map(app_name).transpose()?;
    let count = asked.count();
    let catalog = admin.node.store.catalog();
    let mut apps = catalog
        .apps(&caller.tenant, after.as_ref(), count + 1)
        .await?;
    let next = cut(&mut apps, count, |app| app.name.to_string());
    let mut items = Vec::with_capacity(apps.len());
    for app in apps {
        items.push(told(&admin, &caller, app).await?);
    }
    Ok(Json(messages::AppPage { items, next }))
}

pub(super) async fn get(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(app): Name,
) -> Result<Json<messages::App>, Failed> {
    let name = app_name(&app)?;
    let catalog = admin.node.store.catalog();
    let summary = catalog.app(&caller.tenant, &name).await?;
    let summary = summary.ok_or_else(|| Failed::not_found(&format!("app `{name}`")))?;
    Ok(Json(told(&admin, &caller, summary).await?))
}

async fn told(admin: &Admin, caller: &Caller, app: AppSummary) -> Result<messages::App, Failed> {
    let catalog = admin.node.store.catalog();
    let serving = catalog.serving(&caller.tenant, &app.name).await?;
    let urls = serving.map(|serving| admin.node.domain.urls(&serving.main.manifest));
    Ok(messages::App {
        name: app.name.to_string(),
        traffic: app.traffic.as_ref().map(traffic),
        urls: urls.unwrap_or_default(),
        versions: app.versions,
        newest_ms: app.newest.0,
    })
}

pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(app): Name,
) -> Result<StatusCode, Failed> {
    let name = app_name(&app)?;
    let removed = admin
        .node
        .remove_app(&caller.tenant, &name, &caller.actor())
        .await?;
    if removed {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Failed::not_found(&format!("app `{name}`")))
    }
}

pub(super) async fn versions(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(app): Name,
    Asking(asked): Asking<Asked>,
) -> Result<Json<messages::VersionPage>, Failed> {
    let name = app_name(&app)?;
    let before = match &asked.before {
        Some(text) => Some(version_id(&admin, &caller, &name, text).await?),
        None => None,
    };
    let count = asked.count();
    let catalog = admin.node.store.catalog();
    let versions = catalog.versions(&caller.tenant, &name, before, count + 1);
    let mut versions = versions.await?;
    if versions.is_empty() && before.is_none() {
        return Err(Failed::not_found(&format!("app `{name}`")));
    }
    let next = cut(&mut versions, count, |version| version.id.to_string());
    let serving = catalog.serving(&caller.tenant, &name).await?;
    let serving = serving.map(|serving| serving.traffic);
    let items = versions
        .iter()
        .map(|found| version(found, serving.as_ref(), &admin.node.domain))
        .collect();
    Ok(Json(messages::VersionPage { items, next }))
}

pub(super) fn traffic(traffic: &Traffic) -> messages::Traffic {
    messages::Traffic {
        main: traffic.main.to_string(),
        canary: traffic.canary.as_ref().map(|canary| messages::Canary {
            version: canary.version.to_string(),
            percent: canary.percent.get(),
            sticky_header: canary.sticky_header.clone(),
        }),
        past: traffic.past.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn version(
    version: &Version,
    traffic: Option<&Traffic>,
    domain: &Domain,
) -> messages::Version {
    let components = &version.components;
    let functions = version.manifest.functions.iter().filter_map(|function| {
        let component = components.get(&function.name)?;
        Some(messages::FunctionInfo {
            name: function.name.to_string(),
            component: component.digest.to_string(),
            world: component.world.as_str().to_owned(),
            isolation: function.isolation.as_str().to_owned(),
            routes: function.routes.iter().map(ToString::to_string).collect(),
        })
    });
    messages::Version {
        id: version.id.to_string(),
        short: version.id.short(),
        created_ms: version.created.0,
        percent: traffic.map_or(0, |traffic| traffic.percent_of(version.id)),
        preview_url: domain.preview_url(&version.manifest.name, version.id),
        functions: functions.collect(),
        assets: version.assets.map(|digest| digest.to_string()),
    }
}
