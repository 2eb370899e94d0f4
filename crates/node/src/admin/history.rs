//! What was: who changed what, and what functions used. And telling the audit log what an operation is about to
//! change.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use everwarm_api::messages;
use everwarm_manifest::AppName;
use everwarm_store::Store as _;
use everwarm_store::audit::{Action, Entry};
use everwarm_store::catalog::UnixMillis;
use everwarm_store::usage::{Row, UnixHour};
use serde::Deserialize;

use super::Admin;
use super::accounts::Owner;
use super::auth::Caller;
use super::failure::Failed;
use super::held::held;
use super::pages::{Asked, cut};
use super::sent::Asking;
use crate::operate::note;
use crate::telemetry::metrics::MEDIA_TYPE;

const HOUR_S: u64 = 3_600;
/// Hours that are told of unless told otherwise.
const HOURS_DEFAULT: u32 = 24;
/// Rows of one answer.
const ROWS_MAX: u32 = 100_000;

/// Tells the audit log of a change of what an app keeps, before it is made.
pub(super) async fn announce(
    admin: &Admin,
    caller: &Caller,
    action: Action,
    app: &AppName,
    detail: String,
) -> Result<(), Failed> {
    let note = note(&caller.actor(), action, app.as_str(), detail);
    let audit = admin.node.store.audit();
    Ok(audit.announce(&caller.tenant, note).await?)
}

pub(super) async fn audit(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Asking(owner): Asking<Owner>,
    Asking(asked): Asking<Asked>,
) -> Result<Json<messages::AuditPage>, Failed> {
    let before = asked.before.as_deref().map(str::parse).transpose();
    let before = before.map_err(|_| Failed::bad_request("`before` is a number of an entry"))?;
    let count = asked.count();
    let log = admin.node.store.audit();
    let mut entries = log
        .entries(caller.owner(owner.of_node)?, before, count + 1)
        .await?;
    let next = cut(&mut entries, count, |entry| entry.number.to_string());
    let items = entries.into_iter().map(entry).collect();
    Ok(Json(messages::AuditPage { items, next }))
}

fn entry(entry: Entry) -> messages::AuditEntry {
    messages::AuditEntry {
        number: entry.number,
        at_ms: entry.note.at.0,
        tenant: entry.tenant.map(|tenant| tenant.to_string()),
        actor: entry.note.actor,
        action: entry.note.action.as_str().to_owned(),
        subject: entry.note.subject,
        detail: entry.note.detail,
    }
}

/// Which hours are asked for, in seconds since 1970.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Hours {
    from: Option<u64>,
    until: Option<u64>,
}

pub(super) async fn usage(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Asking(owner): Asking<Owner>,
    Asking(hours): Asking<Hours>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let hour = |seconds: u64| UnixHour(u32::try_from(seconds / HOUR_S).unwrap_or(u32::MAX));
    let now = hour(UnixMillis::now().0 / 1_000);
    let from = hours
        .from
        .map_or(UnixHour(now.0.saturating_sub(HOURS_DEFAULT - 1)), hour);
    let until = hours.until.map_or(UnixHour(now.0.saturating_add(1)), hour);
    // Held until the answer is read: it may be long.
    let turn = admin.reports.wait(&caller.tenant).await;
    // What was used a moment ago is in the answer too.
    admin.node.flush_usage().await?;
    let log = admin.node.store.usage();
    let rows = log
        .rows(caller.owner(owner.of_node)?, from, until, ROWS_MAX)
        .await?;
    let items = rows.iter().map(row).collect();
    let page = messages::UsagePage { items };
    let wants_csv = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/csv"));
    if !wants_csv {
        return Ok(held(Json(page).into_response(), turn));
    }
    let csv = [(
        header::CONTENT_TYPE,
        "text/csv; charset=utf-8; header=present",
    )];
    Ok(held((csv, page.to_csv()).into_response(), turn))
}

pub(super) async fn metrics(State(admin): State<Admin>) -> Response {
    let media_type = [(header::CONTENT_TYPE, MEDIA_TYPE)];
    (media_type, admin.node.metrics().await).into_response()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "gigabyte-seconds have few digits that matter"
)]
fn row(row: &Row) -> messages::UsageRow {
    messages::UsageRow {
        hour_s: u64::from(row.hour.0) * HOUR_S,
        tenant: row.tenant.to_string(),
        app: row.app.to_string(),
        version: row.version.to_string(),
        function: row.function.to_string(),
        start_level: row.start_level.clone(),
        status: format!("{}xx", row.status_class),
        requests: row.sums.requests,
        cpu_us: row.sums.cpu_us,
        wall_us: row.sums.wall_us,
        gb_s: row.sums.byte_ms as f64 / 1e12,
        memory_peak_bytes: row.sums.memory_peak_bytes,
        bytes_in: row.sums.bytes_in,
        bytes_out: row.sums.bytes_out,
    }
}
