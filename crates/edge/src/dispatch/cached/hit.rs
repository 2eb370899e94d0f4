//! Answers with what is kept: a permit, no instance, and books that close at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use everwarm_cache::entry::Entry;
use everwarm_cache::status;
use everwarm_engine::invoke::GuestBody;
use everwarm_engine::own::Own;
use everwarm_engine::usage::Usage;
use http::{Response, StatusCode};

use super::super::visit::Visit;
use super::super::{Edge, Target, tells_timing};
use super::fetch::Errand;
use crate::admission::{Gate, Gated, Gates, Permit, Toll};
use crate::cache::{Wanted, reply};
use crate::compress::{self, OfKept};
use crate::meter::{AccessEvent, Start};
use crate::respond::Failure;

/// What is kept of a function, and the node that is asked.
pub(super) struct AskedCache {
    edge: Own<Edge>,
    target: Arc<Target>,
}

impl Gated for AskedCache {
    fn node(&self) -> &Gate {
        &self.edge.node
    }

    fn gates(&self) -> &Gates {
        let cached = self.target.cache.as_ref();
        cached.map_or(&self.target.gates, |cached| &cached.gates)
    }
}

/// The response to whoever asked for what is kept now.
pub(super) fn whole(entry: &Arc<Entry>, wanted: &Wanted, now: Instant) -> Response<GuestBody> {
    let reply = reply(entry, wanted, now);
    let is_all = compress::is_whole_and_worth_it(reply.status, &reply.headers, reply.body.len());
    let mut response = Response::new(GuestBody::full(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    if reply.status == StatusCode::NOT_MODIFIED && entry.coded.has_room() {
        // As the answer would (RFC 9110, section 15.4.5).
        compress::vary(response.headers_mut());
    }
    if is_all {
        let kept = OfKept(Arc::clone(entry));
        response.extensions_mut().insert(kept);
    }
    response
}

/// How it came to be answered from what is kept.
#[derive(Default)]
pub(super) struct Hit {
    pub(super) permit: Option<Permit<AskedCache>>,
    /// The error that it stands in for.
    pub(super) instead_of: Option<StatusCode>,
    /// It was waited for.
    pub(super) collapsed: bool,
}

pub(super) fn admitted(
    edge: &Own<Edge>,
    visit: &mut Visit,
    target: &Arc<Target>,
) -> Result<Permit<AskedCache>, Failure> {
    let asked = AskedCache {
        edge: edge.clone(),
        target: Arc::clone(target),
    };
    match Permit::take(asked, visit.toll) {
        Ok(permit) => {
            visit.toll = Toll::Paid;
            Ok(permit)
        }
        Err((refusal, asked)) => {
            visit.reached.refused_by(&asked.target.answerer);
            Err(Failure::Refused(refusal))
        }
    }
}

/// Answers with what is kept: a permit, no instance, and books that close at once.
pub(super) fn hit(
    edge: &Own<Edge>,
    visit: &mut Visit,
    target: &Arc<Target>,
    kept: &Arc<Entry>,
    wanted: &Wanted,
    how: Hit,
) -> Result<Response<GuestBody>, Failure> {
    let now = if how.collapsed {
        Instant::now()
    } else {
        visit.started
    };
    let permit = match how.permit {
        Some(permit) => permit,
        None => admitted(edge, visit, target)?,
    };
    let mut response = whole(kept, wanted, now);
    let ttl = kept.freshness.ttl(now);
    status::hit(response.headers_mut(), ttl, how.instead_of, how.collapsed);
    if tells_timing(edge, target) {
        visit.add_server_timing(&mut response, Start::Cache);
    }
    let bytes_out = response.body().whole_len().unwrap_or(0) as u64;
    close(visit, permit, response.status(), bytes_out);
    Ok(response)
}

fn close(visit: &mut Visit, permit: Permit<AskedCache>, status: StatusCode, bytes_out: u64) {
    let AskedCache { edge, target } = permit.give_back();
    if let Some(cached) = &target.cache {
        cached.place.app().was_used();
    }
    let usage = Usage {
        cpu: Duration::ZERO,
        wall: visit.started.elapsed(),
        memory_peak_bytes: 0,
        bytes_in: 0,
        bytes_out,
        status: Some(status),
        fault: None,
    };
    target.tally.add(Start::Cache, status, &usage);
    let Some(record) = visit.take_record() else {
        return;
    };
    edge.log.record(&AccessEvent {
        request_id: visit.request_id.clone(),
        client: record.client,
        method: record.method,
        uri: record.uri,
        status,
        function: Some(&target.answerer),
        start: Some(Start::Cache),
        took: usage.wall,
        code: None,
        detail: None,
        usage: Some(usage),
    });
}

/// What is stale stands in for an error. Where the function was asked, its books are those of the request.
pub(super) fn stand_in(
    edge: &Own<Edge>,
    visit: &mut Visit,
    errand: &Errand,
    stale: &Arc<Entry>,
    how: Hit,
) -> Result<Response<GuestBody>, Failure> {
    if visit.has_books() {
        return hit(edge, visit, &errand.target, stale, &errand.wanted, how);
    }
    let now = Instant::now();
    let mut response = whole(stale, &errand.wanted, now);
    let ttl = stale.freshness.ttl(now);
    status::hit(response.headers_mut(), ttl, how.instead_of, false);
    if tells_timing(edge, &errand.target) {
        let start = visit.start_level.map_or(Start::Cache, Start::from);
        visit.add_server_timing(&mut response, start);
    }
    Ok(response)
}
