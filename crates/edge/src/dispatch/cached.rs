//! The way of a request to a function with a cache in front of it: what is kept, who asks the function, what is kept then.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use everwarm_cache::control::Asks;
use everwarm_cache::entry::{self, Entry};
use everwarm_cache::freshness::{Times, Verdict};
use everwarm_cache::status::{self, Forward, Kept};
use everwarm_cache::storable::{self, NotKept};
use everwarm_engine::invoke::GuestBody;
use everwarm_engine::lane::Lane;
use everwarm_engine::outbound::Chain;
use everwarm_engine::own::Own;
use everwarm_engine::request::Request;
use everwarm_engine::usage::Usage;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;

use super::visit::Visit;
use super::{Edge, Target, serve};
use crate::admission::{Gate, Gated, Gates, Permit};
use crate::cache::{
    Address, Cached, Head, Joined, Landing, Lead, Pass, Plan, Recording, Wanted, reply,
};
use crate::head;
use crate::meter::{AccessEvent, Start};
use crate::respond::Failure;

/// What is kept of a function, and the node that is asked.
struct AskedCache {
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

/// An answer that a function is asked for, and that may be kept.
struct Errand {
    target: Arc<Target>,
    wanted: Wanted,
    /// What is kept of it already, and may not be used without asking.
    stale: Option<Arc<Entry>>,
    /// Those that wait for it.
    lead: Option<Lead>,
    why: Forward,
    /// Whether a client waits for it, who can do with what is stale if there is an error.
    for_client: bool,
}

/// Answers from what is kept, or has the function answer.
pub(super) async fn answer(
    edge: &Own<Edge>,
    lane: &Lane,
    visit: &mut Visit,
    target: Arc<Target>,
    mut request: Request,
) -> Result<Response<GuestBody>, Failure> {
    let Some(cached) = &target.cache else {
        return serve(edge, lane, visit, target, request, Chain::default()).await;
    };
    let wanted = match cached.plan(&mut request) {
        Plan::Pass(pass) => return passed(edge, lane, visit, target, request, pass).await,
        Plan::Look(wanted) => wanted,
    };
    let mut why = Forward::Miss;
    let (url, now) = (cached.url(&wanted), visit.started);
    let kept = cached.place.find(url, cached.function, &wanted.values);
    if let Some(kept) = &kept {
        match kept.freshness.judge(&wanted.asks, now) {
            Verdict::Use => return hit(edge, visit, &target, kept, &wanted, Hit::default()),
            Verdict::UseAndRevalidate => {
                revalidate(edge, lane, &target, &wanted, kept);
                return hit(edge, visit, &target, kept, &wanted, Hit::default());
            }
            Verdict::Revalidate => {
                let is_fresh = kept.freshness.judge(&Asks::default(), now) == Verdict::Use;
                why = if is_fresh {
                    Forward::Request
                } else {
                    Forward::Stale
                };
            }
        }
    }
    if wanted.asks.only_if_cached {
        visit.reached.refused_by(&target.answerer);
        return Err(Failure::NotCached);
    }
    if wanted.method == Method::HEAD || wanted.headers.contains_key(header::RANGE) {
        // An answer to it would be none to others.
        *request.headers_mut() = wanted.headers;
        let mut response = serve(edge, lane, visit, target, request, Chain::default()).await?;
        say(&mut response, why, None, Kept::Unasked);
        return Ok(response);
    }
    let key = (url.to_owned(), wanted.values.clone());
    let lead = loop {
        // What comes of another's request may be older than one who asks for news is content with.
        if wanted.asks.no_cache {
            break None;
        }
        let wait = match cached.flights.join(key.clone()) {
            Joined::Leads(lead) => break Some(lead),
            Joined::Alone => break None,
            Joined::Follows(wait) => wait,
        };
        let permit = admitted(edge, visit, &target)?;
        match wait.landing().await {
            Some(Landing::Kept(kept)) => {
                if kept.freshness.judge(&wanted.asks, Instant::now()) == Verdict::Revalidate {
                    break None;
                }
                let collapsed = Hit {
                    permit: Some(permit),
                    collapsed: true,
                    ..Hit::default()
                };
                return hit(edge, visit, &target, &kept, &wanted, collapsed);
            }
            Some(Landing::NotKept | Landing::Flying) => break None,
            None => {}
        }
    };
    let errand = Errand {
        target: Arc::clone(&target),
        wanted,
        stale: kept,
        lead,
        why,
        for_client: true,
    };
    fetch(edge, lane, visit, errand).await
}

/// A request that the function gets as it is. One that may have changed something makes what is kept of it untrue.
async fn passed(
    edge: &Own<Edge>,
    lane: &Lane,
    visit: &mut Visit,
    target: Arc<Target>,
    request: Request,
    pass: Pass,
) -> Result<Response<GuestBody>, Failure> {
    let changes = pass == Pass::Method { is_safe: false };
    let address = changes.then(|| Address::of(&request)).flatten();
    let asked = Arc::clone(&target);
    let mut response = serve(edge, lane, visit, asked, request, Chain::default()).await?;
    let status = response.status();
    if let (Some(address), Some(cached)) = (address, &target.cache)
        && (status.is_success() || status.is_redirection())
    {
        invalidate(cached, &address, response.headers());
    }
    let why = match pass {
        Pass::Method { .. } => Forward::Method,
        Pass::Has(what) => Forward::Bypass(what),
    };
    say(&mut response, why, None, Kept::Unasked);
    Ok(response)
}

/// RFC 9111, section 4.4.
fn invalidate(cached: &Cached, address: &Address, answered: &HeaderMap) {
    let app = cached.place.app().id();
    cached.place.invalidate(address.url(app));
    let named = [header::LOCATION, header::CONTENT_LOCATION];
    let named = named.iter().filter_map(|name| answered.get(name));
    for beside in named.filter_map(|location| address.beside(location)) {
        cached.place.invalidate(beside.url(app));
    }
}

/// Asks the function, and keeps what it answers if it may be.
async fn fetch(
    edge: &Own<Edge>,
    lane: &Lane,
    visit: &mut Visit,
    errand: Errand,
) -> Result<Response<GuestBody>, Failure> {
    let target = Arc::clone(&errand.target);
    let Some(cached) = &target.cache else {
        return Err(Failure::NotCached);
    };
    let mut request = cached.request(&errand.wanted);
    let conditions = errand.stale.as_ref().map(|stale| stale.conditions());
    let asks_after = conditions.filter(|conditions| !conditions.is_empty());
    let is_asked_after = asks_after.is_some();
    request.headers_mut().extend(asks_after.unwrap_or_default());
    visit.withhold_client();
    let app = cached.place.app();
    let since = app.since(cached.url(&errand.wanted));
    app.missed();
    let asked = Instant::now();
    let asked_target = Arc::clone(&target);
    let result = serve(edge, lane, visit, asked_target, request, Chain::default()).await;
    let now = Instant::now();
    let times = Times {
        asked,
        received: now,
        received_at: SystemTime::now(),
    };
    let status = match &result {
        Ok(response) => response.status(),
        Err(failure) => failure.status(),
    };
    if storable::is_error(status)
        && errand.for_client
        && let Some(stale) = &errand.stale
        && stale
            .freshness
            .stands_in_for_an_error(&errand.wanted.asks, now)
    {
        let hit = Hit {
            instead_of: Some(status),
            ..Hit::default()
        };
        return stand_in(edge, visit, &errand, stale, hit);
    }
    let response = result?;
    match &errand.stale {
        Some(stale) if is_asked_after && status == StatusCode::NOT_MODIFIED => {
            let stale = Arc::clone(stale);
            Ok(freshened(
                errand,
                cached,
                &stale,
                response.headers(),
                times,
                since,
            ))
        }
        _ => Ok(answered(errand, cached, response, times, since)),
    }
}

type Since = everwarm_cache::store::Since;

/// What is kept hasn't changed.
fn freshened(
    errand: Errand,
    cached: &Cached,
    stale: &Arc<Entry>,
    told: &HeaderMap,
    times: Times,
    since: Since,
) -> Response<GuestBody> {
    let Errand {
        target,
        wanted,
        lead,
        why,
        ..
    } = errand;
    let mut told = told.clone();
    // An answer keeps the tags that it has, unless it gets others.
    let tags = storable::take_tags(&mut told);
    let updated = tags.and_then(|tags| {
        // It is about another answer than the one that was asked after.
        let mut headers = stale.updated(&told).ok_or(NotKept::NotWhole)?;
        // Its age begins anew.
        if !told.contains_key(header::AGE) {
            headers.remove(header::AGE);
        }
        if !told.contains_key(header::DATE) {
            headers.remove(header::DATE);
        }
        let for_authorization = wanted.headers.contains_key(header::AUTHORIZATION);
        let freshness = storable::freshness(
            &cached.rules,
            for_authorization,
            stale.status,
            &headers,
            times,
        )?;
        entry::prepare(&mut headers, times.received_at);
        Ok(Head {
            status: stale.status,
            headers,
            freshness,
            tags: if tags.is_empty() {
                stale.tags.clone()
            } else {
                tags
            },
        })
    });
    let not_modified = Some(StatusCode::NOT_MODIFIED);
    let asked = wanted.clone();
    let kept = match updated {
        Ok(head) => {
            let recording = Recording {
                target,
                wanted,
                since,
                head,
                lead,
                room: None,
                body: BytesMut::new(),
            };
            recording.keep(stale.body.clone())
        }
        Err(reason) => {
            cached.place.remove(cached.url(&wanted), &stale.variant);
            land_unkept(lead);
            Err(reason)
        }
    };
    let (kept, entry) = match kept {
        Ok(entry) => (Kept::Stored, entry),
        Err(reason) => (Kept::Not(reason), Arc::clone(stale)),
    };
    let mut response = whole(&entry, &asked, times.received);
    say(&mut response, why, not_modified, kept);
    response
}

/// There is an answer of the function's own.
fn answered(
    errand: Errand,
    cached: &Cached,
    response: Response<GuestBody>,
    times: Times,
    since: Since,
) -> Response<GuestBody> {
    let Errand {
        target,
        wanted,
        stale,
        lead,
        why,
        ..
    } = errand;
    let (mut parts, body) = response.into_parts();
    let for_authorization = wanted.headers.contains_key(header::AUTHORIZATION);
    let tags = storable::take_tags(&mut parts.headers);
    let head = tags.and_then(|tags| {
        let (status, headers) = (parts.status, &parts.headers);
        let freshness =
            storable::freshness(&cached.rules, for_authorization, status, headers, times)?;
        let mut headers = headers.clone();
        entry::prepare(&mut headers, times.received_at);
        Ok(Head {
            status,
            headers,
            freshness,
            tags,
        })
    });
    let head = match head {
        Ok(head) => head,
        Err(reason) => {
            // What was kept has been replaced, unless this is an error that passes.
            if let Some(stale) = stale.filter(|_| !storable::is_error(parts.status)) {
                cached.place.remove(cached.url(&wanted), &stale.variant);
            }
            land_unkept(lead);
            let mut response = Response::from_parts(parts, body);
            say(&mut response, why, None, Kept::Not(reason));
            return response;
        }
    };
    let asked = wanted.clone();
    let recording = Recording {
        target,
        wanted,
        since,
        head,
        lead,
        room: Some(cached.store.room()),
        body: BytesMut::new(),
    };
    match body.into_whole() {
        Ok(body) => {
            let as_it_was = Response::from_parts(parts, GuestBody::full(body.clone()));
            match recording.keep(body) {
                Ok(entry) => {
                    let mut response = whole(&entry, &asked, times.received);
                    say(&mut response, why, None, Kept::Stored);
                    response
                }
                Err(reason) => {
                    let mut response = as_it_was;
                    say(&mut response, why, None, Kept::Not(reason));
                    response
                }
            }
        }
        Err(streaming) => {
            let body = streaming.tapped(Box::new(recording));
            let mut response = Response::from_parts(parts, body);
            say(&mut response, why, None, Kept::Stored);
            response
        }
    }
}

fn land_unkept(lead: Option<Lead>) {
    if let Some(lead) = lead {
        lead.land(Landing::NotKept);
    }
}

fn say(response: &mut Response<GuestBody>, why: Forward, told: Option<StatusCode>, kept: Kept) {
    let headers = response.headers_mut();
    headers.remove(storable::TAGS);
    status::forwarded(headers, why, told, kept);
}

/// The response to whoever asked for what is kept now.
fn whole(entry: &Entry, wanted: &Wanted, now: Instant) -> Response<GuestBody> {
    let reply = reply(entry, wanted, now);
    let mut response = Response::new(GuestBody::full(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

/// How it came to be answered from what is kept.
#[derive(Default)]
struct Hit {
    permit: Option<Permit<AskedCache>>,
    /// The error that it stands in for.
    instead_of: Option<StatusCode>,
    /// It was waited for.
    collapsed: bool,
}

fn admitted(
    edge: &Own<Edge>,
    visit: &mut Visit,
    target: &Arc<Target>,
) -> Result<Permit<AskedCache>, Failure> {
    let asked = AskedCache {
        edge: edge.clone(),
        target: Arc::clone(target),
    };
    Permit::take(asked, visit.started).map_err(|(refusal, asked)| {
        visit.reached.refused_by(&asked.target.answerer);
        Failure::Refused(refusal)
    })
}

/// Answers with what is kept: a permit, no instance, and books that close at once.
fn hit(
    edge: &Own<Edge>,
    visit: &mut Visit,
    target: &Arc<Target>,
    kept: &Entry,
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
    if edge.policy.server_timing || target.slot.spec().server_timing {
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
fn stand_in(
    edge: &Own<Edge>,
    visit: &mut Visit,
    errand: &Errand,
    stale: &Entry,
    how: Hit,
) -> Result<Response<GuestBody>, Failure> {
    if visit.has_books() {
        return hit(edge, visit, &errand.target, stale, &errand.wanted, how);
    }
    let now = Instant::now();
    let mut response = whole(stale, &errand.wanted, now);
    let ttl = stale.freshness.ttl(now);
    status::hit(response.headers_mut(), ttl, how.instead_of, false);
    Ok(response)
}

/// Asks the function anew while what is stale is used. A task of the lane, which ends it; one for each answer.
fn revalidate(
    edge: &Own<Edge>,
    lane: &Lane,
    target: &Arc<Target>,
    wanted: &Wanted,
    stale: &Arc<Entry>,
) {
    let Some(cached) = &target.cache else { return };
    let key = (cached.url(wanted).to_owned(), wanted.values.clone());
    let Some(lead) = cached.flights.lead(key) else {
        return;
    };
    let mut wanted = wanted.clone();
    cached.listed.withhold(&mut wanted.headers);
    (wanted.method, wanted.asks) = (Method::GET, Asks::default());
    let errand = Errand {
        target: Arc::clone(target),
        wanted,
        stale: Some(Arc::clone(stale)),
        lead: Some(lead),
        why: Forward::Stale,
        for_client: false,
    };
    let (edge, work_lane) = (edge.clone(), lane.clone());
    lane.run_in_background(async move {
        let arrival = head::of_the_node(edge.next_request_id());
        let asked = errand.target.cache.as_ref();
        let Some(request) = asked.map(|cached| cached.request(&errand.wanted)) else {
            return;
        };
        let mut visit = Visit::begin(arrival, &request);
        match fetch(&edge, &work_lane, &mut visit, errand).await {
            Ok(response) => {
                // It is kept when all of it has gone by.
                let mut body = response.into_body();
                while let Some(Ok(_)) = body.frame().await {}
            }
            Err(failure) => visit.record_failure(&edge, failure.status(), &failure),
        }
    });
}
