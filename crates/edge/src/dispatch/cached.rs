//! The way of a request to a function with a cache in front of it: what is kept, who asks the function, what is kept then.

mod fetch;
mod hit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use everwarm_cache::control::Asks;
use everwarm_cache::disk::Removal;
use everwarm_cache::entry::Entry;
use everwarm_cache::freshness::Verdict;
use everwarm_cache::status::{Forward, Kept, Used};
use everwarm_engine::invoke::GuestBody;
use everwarm_engine::lane::Lane;
use everwarm_engine::outbound::Chain;
use everwarm_engine::own::Own;
use everwarm_engine::request::Request;
use http::{HeaderMap, Method, Response, header};

use super::visit::Visit;
use super::{Edge, Target, serve, tells_timing};
use crate::cache::{Address, Cached, Joined, Landing, Lead, Pass, Patience, Read, Wanted, read};
use crate::respond::Failure;
use fetch::{Errand, fetch, revalidate, say};
use hit::{admitted, hit, hit_large};

/// How often a request waits for another: once more where who asked has left, and then it asks alone.
const JOINS_MAX: usize = 2;

/// How long a response waits until the files are removed of what its request made untrue.
const REMOVAL_TIME_MAX: Duration = Duration::from_secs(2);

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
    let plan = match cached.plan(request) {
        Ok(plan) => plan,
        Err(pass) => return Ok(Looked::Rest(Rest::Pass(pass))),
    };
    let url = plan.url(cached.place.app().id());
    let kept = cached.place.find(url, cached.function, &plan.values);
    if let Some(kept) = &kept {
        let verdict = kept.freshness.judge(&plan.asks, visit.started);
        if verdict == Verdict::UseAndRevalidate {
            let wanted = plan.with_fields(request.headers().clone());
            revalidate(edge, lane, target, wanted, kept);
        }
        if verdict != Verdict::Revalidate {
            let asked = plan.asked();
            let response = hit(edge, visit, target, kept, asked, Used::default());
            return response.map(Looked::Answered);
        }
    }
    let mut wanted = plan.with_fields(HeaderMap::new());
    wanted.headers = std::mem::take(request.headers_mut());
    let why = forward(kept.as_deref(), visit.started);
    let ask = Box::new(Ask { wanted, kept, why });
    Ok(Looked::Rest(Rest::Ask(ask)))
}

/// Why a function is asked although this may be kept.
fn forward(kept: Option<&Entry>, now: Instant) -> Forward {
    match kept.map(|kept| kept.freshness.judge(&Asks::default(), now)) {
        None => Forward::Miss,
        Some(Verdict::Use) => Forward::Request,
        Some(_) => Forward::Stale,
    }
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
    let mut ask = match rest {
        Rest::Pass(pass) => return passed(edge, lane, visit, target, request, pass).await,
        Rest::Ask(ask) => *ask,
    };
    let Some(cached) = &target.cache else {
        return Err(Failure::NotCached);
    };
    if ask.kept.is_none()
        && let Some(response) = read_for(edge, lane, visit, (&target, cached), &mut ask).await?
    {
        return Ok(response);
    }
    let Ask { wanted, kept, why } = ask;
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
    let lead = match joined(edge, visit, &target, cached, &wanted).await? {
        Others::Lead(lead) => Some(lead),
        Others::None => None,
        Others::Have(kept) => {
            let collapsed = Used {
                collapsed: true,
                ..Used::default()
            };
            let asked = (&wanted.method, &wanted.headers);
            return hit(edge, visit, &target, &kept, asked, collapsed);
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

/// Answers with what is on the disk, if it may be used. What may not be used without asking is kept for that.
async fn read_for(
    edge: &Own<Edge>,
    lane: &Lane,
    visit: &mut Visit,
    (target, cached): (&Arc<Target>, &Cached),
    ask: &mut Ask,
) -> Result<Option<Response<GuestBody>>, Failure> {
    let wanted = &ask.wanted;
    let judge = |kept: &Entry| kept.freshness.judge(&wanted.asks, Instant::now());
    let found = read(cached, wanted, tells_timing(edge, target)).await;
    let is_read = matches!(&found, Read::Whole(_));
    match found {
        Read::Nothing => Ok(None),
        Read::Large(large) => match judge(&large.head) {
            Verdict::Use => hit_large(edge, visit, target, large, wanted).map(Some),
            // Its content would have to be read for what comes of asking after it: it is asked for as if it weren't there.
            Verdict::UseAndRevalidate | Verdict::Revalidate => Ok(None),
        },
        Read::There(kept) | Read::Whole(kept) => {
            let verdict = judge(&kept);
            if verdict == Verdict::Revalidate {
                ask.why = forward(Some(&kept), Instant::now());
                ask.kept = Some(kept);
                return Ok(None);
            }
            if verdict == Verdict::UseAndRevalidate {
                revalidate(edge, lane, target, wanted.clone(), &kept);
            }
            let read = Used {
                read: is_read,
                ..Used::default()
            };
            let asked = (&wanted.method, &wanted.headers);
            hit(edge, visit, target, &kept, asked, read).map(Some)
        }
    }
}

/// What others have who ask for the same at this time.
enum Others {
    /// There are none yet: those who come wait for this one.
    Lead(Lead),
    /// Nothing that is of use.
    None,
    /// An answer.
    Have(Arc<Entry>),
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
        // It counts where it is let in while it waits.
        let _permit = admitted(edge, visit, target)?;
        match wait.landing(patience).await {
            Some(Landing::Kept(kept)) => {
                let verdict = kept.freshness.judge(&wanted.asks, Instant::now());
                if verdict == Verdict::Revalidate {
                    break;
                }
                return Ok(Others::Have(kept));
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
        let removals = invalidate(cached, &address, response.headers());
        if removals.iter().any(|removal| !removal.is_done()) {
            // The next process isn't to have it either.
            let wait = || {
                let mut removals = removals.into_iter();
                removals.all(|removal| removal.wait_for(REMOVAL_TIME_MAX))
            };
            let _ = tokio::task::spawn_blocking(wait).await;
        }
    }
    let why = match pass {
        Pass::Method { .. } => Forward::Method,
        Pass::Has(what) => Forward::Bypass(what),
    };
    say(&mut response, why, None, Kept::Unasked);
    Ok(response)
}

/// RFC 9111, section 4.4.
fn invalidate(cached: &Cached, address: &Address, answered: &HeaderMap) -> Vec<Removal> {
    let (store, place) = (&cached.store, &cached.place);
    let app = place.app().id();
    let named = [header::LOCATION, header::CONTENT_LOCATION];
    let named = named.iter().filter_map(|name| answered.get(name));
    let beside = named.filter_map(|location| address.beside(location));
    let all = std::iter::once(address.clone()).chain(beside);
    all.map(|address| store.invalidate(place, address.url(app)))
        .collect()
}
