//! Answers with what is kept: no instance, and books that close at once, or with the last byte that is read from the disk.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use everwarm_cache::entry::Entry;
use everwarm_cache::status::{self, Used};
use everwarm_engine::invoke::GuestBody;
use everwarm_engine::own::Own;
use http::{HeaderMap, Method, Response, StatusCode, header};

use super::super::own_books::{OwnAnswerer, OwnBooks};
use super::super::visit::Visit;
use super::super::{Edge, Target, tells_timing};
use super::fetch::Errand;
use crate::admission::{Gate, Gated, Gates, Permit, Toll, pass};
use crate::cache::{Cached, Large, LargeContent, Reply, Wanted, reply};
use crate::compress::{self, OfKept};
use crate::meter::Start;
use crate::pieces::Pieces;
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
        gates(&self.target)
    }
}

fn gates(target: &Target) -> &Gates {
    let cached = target.cache.as_ref();
    cached.map_or(&target.gates, |cached| &cached.gates)
}

/// A request's method and fields: what it gets of an answer goes by them.
type Asked<'r> = (&'r Method, &'r HeaderMap);

/// The response to whoever asked for what is kept now.
pub(super) fn whole(entry: &Arc<Entry>, asked: Asked<'_>, now: Instant) -> Response<GuestBody> {
    let length = entry.body.len();
    let reply = reply(entry, length as u64, asked, now);
    // All of it is in memory.
    let at = |byte: u64| usize::try_from(byte).unwrap_or(length).min(length);
    let (start, end) = (at(reply.bytes.start), at(reply.bytes.end));
    let body = if start == end {
        Bytes::new()
    } else {
        entry.body.slice(start..end)
    };
    let is_coded = reply.is_whole && entry.coded.has_room();
    let mut response = responded(reply, entry, GuestBody::full(body));
    if is_coded {
        let kept = OfKept(Arc::clone(entry));
        response.extensions_mut().insert(kept);
    }
    response
}

fn responded(reply: Reply, entry: &Entry, body: GuestBody) -> Response<GuestBody> {
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    if reply.status == StatusCode::NOT_MODIFIED && entry.coded.has_room() {
        // As the answer would (RFC 9110, section 15.4.5).
        compress::vary(response.headers_mut());
    }
    response
}

/// The right to be answered with what is waited for, or is read while it goes out.
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

/// Answers with what is kept in memory.
pub(super) fn hit(
    edge: &Own<Edge>,
    visit: &mut Visit,
    target: &Arc<Target>,
    kept: &Arc<Entry>,
    asked: Asked<'_>,
    used: Used,
) -> Result<Response<GuestBody>, Failure> {
    if let Err(refusal) = pass(&edge.node, gates(target), visit.toll) {
        visit.reached.refused_by(&target.answerer);
        return Err(Failure::Refused(refusal));
    }
    visit.toll = Toll::Paid;
    let now = if used == Used::default() {
        visit.started
    } else {
        Instant::now()
    };
    let mut response = whole(kept, asked, now);
    say(
        edge,
        visit,
        target,
        &mut response,
        kept.freshness.ttl(now),
        used,
    );
    let bytes_out = response.body().whole_len().unwrap_or(0) as u64;
    let record = visit.take_record();
    let books = OwnBooks {
        record,
        request_id: &visit.request_id,
        started: visit.started,
    };
    books.close(edge, &by(target), response.status(), bytes_out, None);
    Ok(response)
}

/// Answers with what stays on the disk.
pub(super) fn hit_large(
    edge: &Own<Edge>,
    visit: &mut Visit,
    target: &Arc<Target>,
    large: Large,
    wanted: &Wanted,
) -> Result<Response<GuestBody>, Failure> {
    let permit = admitted(edge, visit, target)?;
    let (now, kept) = (Instant::now(), Arc::clone(&large.head));
    let asked = (&wanted.method, &wanted.headers);
    let mut reply = reply(&kept, large.content.length(), asked, now);
    let (status, bytes) = (reply.status, reply.bytes.clone());
    let length = bytes.end - bytes.start;
    if length > 0 {
        reply.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let (record, request_id, started) =
        (visit.take_record(), visit.request_id.clone(), visit.started);
    let on_end = move |sent: u64, failure: Option<Failure>| {
        let AskedCache { edge, target } = permit.give_back();
        let books = OwnBooks {
            record,
            request_id: &request_id,
            started,
        };
        books.close(&edge, &by(&target), status, sent, failure.as_ref());
    };
    let body = if length == 0 {
        on_end(0, None);
        GuestBody::full(Bytes::new())
    } else {
        let (damaged, address) = (Arc::clone(target), wanted.clone());
        let filed = large.filed.clone();
        let on_damage = move || {
            if let Some(cached) = &damaged.cache {
                tracing::warn!("what is kept on the disk isn't what was written");
                let url = cached.url(&address);
                cached.store.forget_damaged(&cached.place, url, &filed);
            }
        };
        let content = LargeContent::new(large, Box::new(on_damage));
        GuestBody::other(Box::pin(Pieces::new(content, bytes, Box::new(on_end))))
    };
    let mut response = responded(reply, &kept, body);
    let used = Used {
        read: true,
        ..Used::default()
    };
    say(
        edge,
        visit,
        target,
        &mut response,
        kept.freshness.ttl(now),
        used,
    );
    Ok(response)
}

/// What a response says of having been kept.
fn say(
    edge: &Own<Edge>,
    visit: &Visit,
    target: &Target,
    response: &mut Response<GuestBody>,
    ttl: i64,
    used: Used,
) {
    status::hit(response.headers_mut(), ttl, used);
    if tells_timing(edge, target) {
        visit.add_server_timing(response, Start::Cache);
    }
    if let Some(cached) = &target.cache {
        count(cached, used);
    }
}

fn count(cached: &Cached, used: Used) {
    let app = cached.place.app();
    app.was_used();
    if used.read {
        app.was_read();
    }
}

fn by(target: &Target) -> OwnAnswerer<'_> {
    OwnAnswerer {
        tally: &target.tally,
        answerer: &target.answerer,
        start: Start::Cache,
    }
}

/// What is stale stands in for an error. Where the function was asked, its books are those of the request.
pub(super) fn stand_in(
    edge: &Own<Edge>,
    visit: &mut Visit,
    errand: &Errand,
    stale: &Arc<Entry>,
    error: StatusCode,
) -> Result<Response<GuestBody>, Failure> {
    let used = Used {
        instead_of: Some(error),
        ..Used::default()
    };
    let asked = (&errand.wanted.method, &errand.wanted.headers);
    if visit.has_books() {
        return hit(edge, visit, &errand.target, stale, asked, used);
    }
    let now = Instant::now();
    let mut response = whole(stale, asked, now);
    status::hit(response.headers_mut(), stale.freshness.ttl(now), used);
    if tells_timing(edge, &errand.target) {
        let start = visit.start_level.map_or(Start::Cache, Start::from);
        visit.add_server_timing(&mut response, start);
    }
    Ok(response)
}
