//! What functions printed: read at once, or waited for.

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use everwarm_api::messages;
use everwarm_store::catalog::UnixMillis;
use serde::Deserialize;

use super::Admin;
use super::apps::known_app;
use super::auth::Caller;
use super::failure::Failed;
use super::sent::{Asking, Name};
use crate::telemetry::{Filter, Line, Request};

/// Lines that are told unless told otherwise, and at most.
const LINES_DEFAULT: usize = 100;
const LINES_MAX: usize = 1_000;
/// The longest that an answer waits for a line.
const WAIT_S_MAX: u64 = 30;

/// Which lines are asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    after: Option<u64>,
    limit: Option<usize>,
    version: Option<String>,
    function: Option<String>,
    /// In milliseconds since 1970.
    since: Option<u64>,
    /// Seconds to wait for a line where there is none.
    wait: Option<u64>,
}

pub(super) async fn logs(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Name(app): Name,
    Asking(asked): Asking<Asked>,
) -> Result<Json<messages::LogPage>, Failed> {
    let name = known_app(&admin, &caller, &app).await?;
    let filter = Filter {
        after: asked.after,
        limit: asked.limit.unwrap_or(LINES_DEFAULT).clamp(1, LINES_MAX),
        version: asked.version,
        function: asked.function,
        since: asked.since.map(UnixMillis),
    };
    admin.node.recall_lines(&caller.tenant, &name).await;
    let book = &admin.node.logs;
    let mut changes = book.changes();
    let find = || book.find(&caller.tenant, &name, &filter);
    let mut found = find();
    if let Some(wait) = asked.wait.filter(|_| found.lines.is_empty()) {
        let _following = admin
            .followers
            .take(&caller.tenant)
            .ok_or_else(Failed::too_many_followers)?;
        let wait = Duration::from_secs(wait.min(WAIT_S_MAX));
        let line = async {
            while found.lines.is_empty() && !admin.node.is_ending() {
                // The book lives as long as the node.
                if changes.changed().await.is_err() {
                    break;
                }
                found = find();
            }
        };
        // Nothing came: the answer is empty, and the client asks again.
        let _ = tokio::time::timeout(wait, line).await;
    }
    Ok(Json(messages::LogPage {
        items: found.lines.iter().map(told).collect(),
        next: found.next.map(|number| number.to_string()),
        missed: found.missed,
    }))
}

fn told(line: &Line) -> messages::LogLine {
    messages::LogLine {
        at_ms: line.at.0,
        source: line.source.as_str().to_owned(),
        function: line.function.to_string(),
        version: line.version.to_string(),
        request_id: line.request.as_ref().map(Request::id),
        trace_id: line.request.as_ref().map(Request::trace),
        level: line.log.as_ref().map(|log| log.level.as_str().to_owned()),
        context: line.log.as_ref().map(|log| log.context.to_string()),
        text: line.text.to_string(),
    }
}
