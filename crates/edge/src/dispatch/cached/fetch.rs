//! A function is asked for an answer that may be kept: what is kept of it, what becomes of what was kept before, and who
//! is told.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use everwarm_cache::control::Asks;
use everwarm_cache::entry::{self, Entry};
use everwarm_cache::freshness::Times;
use everwarm_cache::status::{self, Forward, Kept};
use everwarm_cache::storable::{self, NotKept};
use everwarm_cache::store::Since;
use everwarm_engine::invoke::GuestBody;
use everwarm_engine::lane::Lane;
use everwarm_engine::outbound::Chain;
use everwarm_engine::own::Own;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;

use super::super::visit::Visit;
use super::super::{Edge, Target, serve, tells_timing};
use super::hit::{stand_in, whole};
use crate::cache::{Cached, Head, Landing, Lead, Recording, Wanted};
use crate::head;
use crate::respond::Failure;

/// An answer that a function is asked for, and that may be kept.
pub(super) struct Errand {
    pub(super) target: Arc<Target>,
    pub(super) wanted: Wanted,
    /// What is kept of it already, and may not be used without asking.
    pub(super) stale: Option<Arc<Entry>>,
    /// Those that wait for it.
    pub(super) lead: Option<Lead>,
    pub(super) why: Forward,
    /// Whether a client waits for it, who can do with what is stale if there is an error.
    pub(super) for_client: bool,
}

/// Asks the function, and keeps what it answers if it may be.
pub(super) async fn fetch(
    edge: &Own<Edge>,
    lane: &Lane,
    visit: &mut Visit,
    mut errand: Errand,
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
        && let Some(lead) = errand.lead.take()
    {
        // Those who wait ask at once then, and not one after the other.
        lead.land(Landing::NotKept);
    }
    if storable::is_error(status)
        && errand.for_client
        && let Some(stale) = &errand.stale
        && stale
            .freshness
            .stands_in_for_an_error(&errand.wanted.asks, now)
    {
        return stand_in(edge, visit, &errand, stale, status);
    }
    let response = match result {
        Ok(response) => response,
        Err(failure) => {
            land_unkept(errand.lead);
            return Err(failure);
        }
    };
    let tells_timing = tells_timing(edge, &target);
    match &errand.stale {
        Some(stale) if is_asked_after && status == StatusCode::NOT_MODIFIED => {
            let stale = Arc::clone(stale);
            Ok(freshened(
                errand,
                cached,
                &stale,
                response.headers(),
                (times, tells_timing),
                since,
            ))
        }
        _ => Ok(answered(
            errand,
            cached,
            response,
            (times, tells_timing),
            since,
        )),
    }
}

/// What is kept hasn't changed.
fn freshened(
    errand: Errand,
    cached: &Cached,
    stale: &Arc<Entry>,
    told: &HeaderMap,
    (times, tells_timing): (Times, bool),
    since: Since,
) -> Response<GuestBody> {
    let Errand {
        target,
        wanted,
        lead,
        why,
        ..
    } = errand;
    let timing = timing(told);
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
        Ok(Head {
            status: stale.status,
            headers: entry::prepare(&headers, times.received_at, tells_timing),
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
                body: Vec::new(),
                filing: None,
                stalled: None,
            };
            recording.keep(stale.body.clone())
        }
        Err(reason) => {
            cached
                .store
                .remove(&cached.place, cached.url(&wanted), &stale.variant);
            land_unkept(lead);
            Err(reason)
        }
    };
    let (kept, entry) = match kept {
        Ok(entry) => (Kept::Stored, entry),
        Err(reason) => (Kept::Not(reason), Arc::clone(stale)),
    };
    let mut response = whole(&entry, (&asked.method, &asked.headers), times.received);
    say_of_now(&mut response, timing);
    say(&mut response, why, not_modified, kept);
    response
}

/// There is an answer of the function's own.
fn answered(
    errand: Errand,
    cached: &Cached,
    response: Response<GuestBody>,
    (times, tells_timing): (Times, bool),
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
        // One that comes in pieces is told here that it isn't kept, and not when all of it has gone by.
        if cached.place.app().since(cached.url(&wanted)) != since {
            return Err(NotKept::Purged);
        }
        let (status, headers) = (parts.status, &parts.headers);
        let freshness =
            storable::freshness(&cached.rules, for_authorization, status, headers, times)?;
        Ok(Head {
            status,
            headers: entry::prepare(headers, times.received_at, tells_timing),
            freshness,
            tags,
        })
    });
    let head = match head {
        Ok(head) => head,
        Err(reason) => {
            // What was kept has been replaced, unless this is an error that passes.
            if let Some(stale) = stale.filter(|_| !storable::is_error(parts.status)) {
                cached
                    .store
                    .remove(&cached.place, cached.url(&wanted), &stale.variant);
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
        body: Vec::new(),
        filing: None,
        stalled: None,
    };
    match body.into_whole() {
        Ok(body) => {
            let timing = timing(&parts.headers);
            // A copy is kept: the body may be a part of more.
            let own = Bytes::copy_from_slice(&body);
            let as_it_was = Response::from_parts(parts, GuestBody::full(body));
            match recording.keep(own) {
                Ok(entry) => {
                    let mut response =
                        whole(&entry, (&asked.method, &asked.headers), times.received);
                    say_of_now(&mut response, timing);
                    if entry.freshness.age(times.received).as_secs() == 0 {
                        // It comes from the function.
                        response.headers_mut().remove(header::AGE);
                    }
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
            if let Some(lead) = &recording.lead {
                lead.comes_in_pieces();
            }
            let body = streaming.tapped(Box::new(recording));
            let mut response = Response::from_parts(parts, body);
            say(&mut response, why, None, Kept::Stored);
            response
        }
    }
}

/// What the response of a function says of its time, which isn't kept.
fn timing(headers: &HeaderMap) -> Vec<HeaderValue> {
    let values = headers.get_all(entry::SERVER_TIMING).iter();
    values.cloned().collect()
}

/// Has a response that is made of what is kept say what the function's own said of its time, and nothing of a hit.
fn say_of_now(response: &mut Response<GuestBody>, timing: Vec<HeaderValue>) {
    let headers = response.headers_mut();
    headers.remove(status::CACHE_STATUS);
    headers.remove(entry::SERVER_TIMING);
    for value in timing {
        headers.append(entry::SERVER_TIMING, value);
    }
}

fn land_unkept(lead: Option<Lead>) {
    if let Some(lead) = lead {
        lead.land(Landing::NotKept);
    }
}

pub(super) fn say(
    response: &mut Response<GuestBody>,
    why: Forward,
    told: Option<StatusCode>,
    kept: Kept,
) {
    let headers = response.headers_mut();
    headers.remove(storable::TAGS);
    status::forwarded(headers, why, told, kept);
}

/// Asks the function anew while what is stale is used. A task of the lane, which ends it; one for each answer.
pub(super) fn revalidate(
    edge: &Own<Edge>,
    lane: &Lane,
    target: &Arc<Target>,
    mut wanted: Wanted,
    stale: &Arc<Entry>,
) {
    let Some(cached) = &target.cache else { return };
    let key = (cached.url(&wanted).to_owned(), wanted.values.clone());
    let Some(lead) = cached.flights.lead(key) else {
        return;
    };
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
