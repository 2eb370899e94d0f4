//! Deploys, promotions and rollbacks, from what was sent to what `operate` takes.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName};
use everwarm_api::messages::{self, MigrationFile};
use everwarm_api::operations::IDEMPOTENCY_HEADER;
use everwarm_manifest::{App, AppName, DatabaseName, Digest, FunctionName};
use everwarm_store::once::{IdempotencyKey, KeyError, Once};
use everwarm_store::sql::{Migration, Migrations};
use everwarm_store::traffic::{Canary, Change, Percent};

use super::Admin;
use super::apps::{app_name, traffic, version, version_id};
use super::auth::Caller;
use super::failure::Failed;
use super::sent::{Name, Sent, one};
use crate::deploy::{Bundle, Components, Deploy, Rollout};

/// The longest path of a health check.
const HEALTH_PATH_BYTES_MAX: usize = 1_024;

pub(super) async fn deploy(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(app): Name,
    headers: HeaderMap,
    Sent(sent): Sent<messages::Deploy>,
) -> Result<Json<messages::Deployed>, Failed> {
    let name = app_name(&app)?;
    let once = once(&headers, &name, &sent)?;
    let deploy = understood(&name, sent, once)?;
    let deployed = admin
        .node
        .deploy(&caller.tenant, deploy, caller.quotas, &caller.actor())
        .await?;
    let stages = deployed
        .stages
        .iter()
        .map(|(stage, took)| messages::StageTime {
            stage: stage.as_str().to_owned(),
            ms: took.as_secs_f64() * 1e3,
        });
    Ok(Json(messages::Deployed {
        app: name.to_string(),
        version: version(
            &deployed.version,
            deployed.traffic.as_ref(),
            &admin.node.domain,
        ),
        traffic: deployed.traffic.as_ref().map(traffic),
        urls: admin.node.domain.urls(&deployed.version.manifest),
        stages: stages.collect(),
    }))
}

/// The key that was sent, with the digest of what is asked under it.
fn once(
    headers: &HeaderMap,
    app: &AppName,
    sent: &messages::Deploy,
) -> Result<Option<Once>, Failed> {
    let value = one(headers, &HeaderName::from_static(IDEMPOTENCY_HEADER));
    let value = value.map_err(|_| Failed::bad_request("there is one idempotency key, or none"))?;
    let Some(value) = value else {
        return Ok(None);
    };
    let key = value.to_str().map_err(|_| KeyError);
    let key = key.and_then(IdempotencyKey::new);
    let key = key.map_err(|error| Failed::bad_request(error.to_string()))?;
    let asked = serde_json::to_vec(&(app.as_str(), sent));
    let asked = asked.map_err(|error| Failed::bad_request(error.to_string()))?;
    let request = *everwarm_store::artifacts::digest_of(&asked).as_bytes();
    Ok(Some(Once { key, request }))
}

/// A deploy as `operate` takes it. Looks at nothing but what was sent.
pub(super) fn understood(
    name: &AppName,
    sent: messages::Deploy,
    once: Option<Once>,
) -> Result<Deploy, Failed> {
    let app = App::parse(&sent.manifest, "everwarm.toml")
        .map_err(|errors| Failed::bad_request(format!("the manifest has mistakes: {errors}")))?;
    if app.name != *name {
        return Err(Failed::bad_request(format!(
            "the manifest is of app `{}`, and the path of `{name}`",
            app.name
        )));
    }
    if let Some(health) = &sent.health
        && (!health.path.starts_with('/') || health.path.len() > HEALTH_PATH_BYTES_MAX)
    {
        return Err(Failed::bad_request(format!(
            "a health check has a path that begins with `/` and has at most {HEALTH_PATH_BYTES_MAX} bytes"
        )));
    }
    let rollout = match sent.percent {
        None => Rollout::All,
        Some(0) => Rollout::Nothing,
        Some(number) => Rollout::Part {
            percent: percent(number)?,
            sticky_header: header_name(sent.sticky_header)?,
        },
    };
    let assets = sent.assets.map(|digest| {
        let digest: Result<Digest, _> = digest.parse();
        digest.map_err(|error| Failed::bad_request(format!("the bundle of assets: {error}")))
    });
    let migrations = migrations(&app, sent.migrations)?;
    Ok(Deploy {
        app,
        components: Components::Stored(components(sent.components)?),
        assets: assets.transpose()?.map(Bundle::Stored),
        migrations,
        rollout,
        health: sent.health.map(|health| health.path),
        once,
    })
}

/// The migrations of the databases that the manifest says have some: of each of them, and of no other.
fn migrations(
    app: &App,
    sent: BTreeMap<String, Vec<MigrationFile>>,
) -> Result<Vec<(DatabaseName, Migrations)>, Failed> {
    let declared = app
        .sql
        .iter()
        .filter(|database| database.migrations.is_some());
    let declared: BTreeSet<&str> = declared.map(|database| database.name.as_str()).collect();
    let of_sent: BTreeSet<&str> = sent.keys().map(String::as_str).collect();
    if let Some(missing) = declared.difference(&of_sent).next() {
        return Err(Failed::bad_request(format!(
            "the manifest says that database `{missing}` has migrations, and the deploy has none of it"
        )));
    }
    if let Some(unknown) = of_sent.difference(&declared).next() {
        return Err(Failed::bad_request(format!(
            "the deploy has migrations of `{}`, which the manifest has no such database for",
            unknown.escape_debug()
        )));
    }
    sent.into_iter()
        .map(|(database, files)| {
            let bad = |reason: String| {
                let database = database.escape_debug();
                Failed::bad_request(format!("the migrations of database `{database}`: {reason}"))
            };
            let name = DatabaseName::new(&database).map_err(|error| bad(error.to_string()))?;
            let files = files.into_iter().map(|file| Migration {
                name: file.name,
                text: file.text,
            });
            let migrations = Migrations::new(files.collect());
            Ok((name, migrations.map_err(|error| bad(error.to_string()))?))
        })
        .collect()
}

fn components(sent: BTreeMap<String, String>) -> Result<BTreeMap<FunctionName, Digest>, Failed> {
    sent.into_iter()
        .map(|(function, digest)| {
            let bad = |reason: String| {
                let function = function.escape_debug();
                Failed::bad_request(format!("the component of `{function}`: {reason}"))
            };
            let name = FunctionName::new(&function).map_err(|error| bad(error.to_string()))?;
            let digest: Result<Digest, _> = digest.parse();
            Ok((name, digest.map_err(|error| bad(error.to_string()))?))
        })
        .collect()
}

pub(super) fn percent(number: u8) -> Result<Percent, Failed> {
    Percent::new(number).map_err(|error| Failed::bad_request(error.to_string()))
}

/// In lower case, as HTTP/2 has it, so that one field has one name.
pub(super) fn header_name(sent: Option<String>) -> Result<Option<String>, Failed> {
    sent.map(|text| {
        HeaderName::try_from(text.as_str())
            .map(|name| name.as_str().to_owned())
            .map_err(|_| Failed::bad_request("the sticky header is no name of a header"))
    })
    .transpose()
}

pub(super) async fn set_traffic(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(app): Name,
    Sent(sent): Sent<messages::SetTraffic>,
) -> Result<Json<messages::Traffic>, Failed> {
    let name = app_name(&app)?;
    let version = version_id(&admin, &caller, &name, &sent.version).await?;
    let change = match sent.percent {
        None => Change::Promote(version),
        Some(number) => Change::Split(Canary {
            version,
            percent: percent(number)?,
            sticky_header: header_name(sent.sticky_header)?,
        }),
    };
    let by = caller.actor();
    let changed = admin
        .node
        .promote(&caller.tenant, &name, change, &by)
        .await?;
    Ok(Json(traffic(&changed)))
}

pub(super) async fn roll_back(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(app): Name,
    Sent(sent): Sent<messages::Rollback>,
) -> Result<Json<messages::Traffic>, Failed> {
    let name = app_name(&app)?;
    let to = match &sent.version {
        Some(text) => Some(version_id(&admin, &caller, &name, text).await?),
        None => None,
    };
    let by = caller.actor();
    let changed = admin.node.roll_back(&caller.tenant, &name, to, &by).await?;
    Ok(Json(traffic(&changed)))
}
