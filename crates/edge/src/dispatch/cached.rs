//! The way of a request to a function with a cache in front of it: what is kept, who asks the function, what is kept then.

mod fetch;
mod hit;

use std::sync::Arc;
use std::time::Instant;

use everwarm_cache::control::Asks;
use everwarm_cache::entry::Entry;
use everwarm_cache::freshness::Verdict;
use everwarm_cache::status::{Forward, Kept};
use everwarm_engine::invoke::GuestBody;
use everwarm_engine::lane::Lane;
use everwarm_engine::outbound::Chain;
use everwarm_engine::own::Own;
use everwarm_engine::request::Request;
use http::{HeaderMap, Method, Response, header};

use super::visit::Visit;
use super::{Edge, Target, serve};
use crate::admission::Permit;
use crate::cache::{Address, Cached, Joined, Landing, Lead, Pass, Patience, Wanted};
use crate::respond::Failure;
use fetch::{Errand, fetch, revalidate, say};
use hit::{AskedCache, Hit, admitted, hit};

/// How often a request waits for another: once more where who asked has left, and then it asks alone.
const JOINS_MAX: usize = 2;

/// What comes of looking for an answer.
pub(super) enum Looked {
    /// It is there.
    Answered(Response<GuestBody>),
    /// The function is asked.
    Rest(Rest),
}

/// What a request goes on with that isn't answered by what is kept.
pub(super) enum Rest {
    /// It is none of the cache's.
    Pass(Pass),
    /// What is kept may not be used, or there is nothing.
    Ask(Box<Ask>),
}

/// An answer that is wanted and can't be given at once.
pub(super) struct Ask {
    wanted: Wanted,
    kept: Option<Arc<Entry>>,
    why: Forward,
}

/// Answers from what is kept, if that can be done. No future, as nothing is waited for: most requests end here.
pub(super) fn look(
    edge: &Own<Edge>,
    lane: &Lane,
    visit: &mut Visit,
    target: &Arc<Target>,
    cached: &Cached,
    request: &mut Request,
) -> Result<Looked, Failure> {
    let wanted = match cached.plan(request) {
        Ok(wanted) => wanted,
        Err(pass) => return Ok(Looked::Rest(Rest::Pass(pass))),
    };
    let mut why = Forward::Miss;
    let (url, now) = (cached.url(&wanted), visit.started);
    let kept = cached.place.find(url, cached.function, &wanted.values);
    if let Some(kept) = &kept {
        let verdict = kept.freshness.judge(&wanted.asks, now);
        if verdict == Verdict::UseAndRevalidate {
            revalidate(edge, lane, target, &wanted, kept);
        }
        if verdict != Verdict::Revalidate {
            let response = hit(edge, visit, target, kept, &wanted, Hit::default());
            return response.map(Looked::Answered);
        }
        let is_fresh = kept.freshness.judge(&Asks::default(), now) == Verdict::Use;
        why = if is_fresh {
            Forward::Request
        } else {
            Forward::Stale
        };
    }
    if wanted.asks.only_if_cached {
        visit.reached.refused_by(&target.answerer);
        return Err(Failure::NotCached);
    }
    let ask = Box::new(Ask { wanted, kept, why });
    Ok(Looked::Rest(Rest::Ask(ask)))
}

/// Has the function answer a request that isn't answered by what is kept.
pub(super) async fn go_on(
    edge: &Own<Edge>,
    lane: &Lane,
    visit: &mut Visit,
    target: Arc<Target>,
    mut request: Request,
    rest: Rest,
) -> Result<Response<GuestBody>, Failure> {
    let Ask { wanted, kept, why } = match rest {
        Rest::Pass(pass) => return passed(edge, lane, visit, target, request, pass).await,
        Rest::Ask(ask) => *ask,
    };
    let Some(cached) = &target.cache else {
        return Err(Failure::NotCached);
    };
    if wanted.method == Method::HEAD || wanted.headers.contains_key(header::RANGE) {
        // An answer to it would be none to others.
        *request.headers_mut() = wanted.headers;
        let mut response = serve(edge, lane, visit, target, request, Chain::default()).await?;
        say(&mut response, why, None, Kept::Unasked);
        return Ok(response);
    }
    let lead = match joined(edge, visit, &target, cached, &wanted).await? {
        Others::Lead(lead) => Some(lead),
        Others::None => None,
        Others::Have(kept, permit) => {
            let collapsed = Hit {
                permit: Some(permit),
                collapsed: true,
                ..Hit::default()
            };
            return hit(edge, visit, &target, &kept, &wanted, collapsed);
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

/// What others have who ask for the same at this time.
enum Others {
    /// There are none yet: those who come wait for this one.
    Lead(Lead),
    /// Nothing that is of use.
    None,
    /// An answer.
    Have(Arc<Entry>, Permit<AskedCache>),
}

/// Asks those who ask for the same, and waits for them if need be.
async fn joined(
    edge: &Own<Edge>,
    visit: &mut Visit,
    target: &Arc<Target>,
    cached: &Cached,
    wanted: &Wanted,
) -> Result<Others, Failure> {
    // What comes of another's request may be older than one who asks for news is content with.
    if wanted.asks.no_cache {
        return Ok(Others::None);
    }
    let key = (cached.url(wanted).to_owned(), wanted.values.clone());
    let wall_time = target.slot.spec().limits.wall_time.duration();
    let patience = Patience::of(visit.started, wall_time);
    for _ in 0..JOINS_MAX {
        let wait = match cached.flights.join(key.clone()) {
            Joined::Leads(lead) => return Ok(Others::Lead(lead)),
            Joined::Alone => break,
            Joined::Follows(wait) => wait,
        };
        let permit = admitted(edge, visit, target)?;
        match wait.landing(patience).await {
            Some(Landing::Kept(kept)) => {
                let verdict = kept.freshness.judge(&wanted.asks, Instant::now());
                if verdict == Verdict::Revalidate {
                    break;
                }
                return Ok(Others::Have(kept, permit));
            }
            Some(Landing::NotKept | Landing::Flying | Landing::Coming) => break,
            // Whoever asked has left.
            None => {}
        }
    }
    Ok(Others::None)
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
