//! The way of a request through a node, in one function that calls each stop in order.

mod cached;
mod files;
mod own_books;
mod visit;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use everwarm_engine::fault::Fault;
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::invoke::GuestBody;
use everwarm_engine::lane::Lane;
use everwarm_engine::outbound::{Chain, SentFrom};
use everwarm_engine::own::Own;
use everwarm_engine::request::{Request, RequestBody};
use everwarm_engine::resident::{ResidentSet, Slot};
use everwarm_engine::stripes::{Apart, STRIPES, Striped};
use http::{HeaderMap, Method, Response};

use crate::admission::{Gate, Gated, Gates};
use crate::assets::Mount;
use crate::cache::Cached;
use crate::compress::{self, ResponseBody, Wish};
use crate::failures::FailureCounts;
use crate::forwarded::TrustedProxies;
use crate::head;
pub use crate::head::Peer;
use crate::meter::{AccessLog, Answerer, RequestId};
use crate::placement::{Place, place};
use crate::previews::Previews;
use crate::respond::{Failure, respond};
use crate::router::RouteTable;
use crate::services::NotLetIn;
use crate::tally::Tally;
use crate::traffic::Share;
use cached::Looked;
use files::Answered;
use visit::Visit;

/// What a route leads to.
#[derive(Debug, Clone)]
pub enum Route {
    /// What one version has there.
    One(Served),
    /// An app two versions of which share its requests.
    Split(Arc<Split>),
}

/// What a version has at a route.
#[derive(Debug, Clone)]
pub enum Served {
    /// A function.
    Function(Arc<Target>),
    /// Files, and the functions behind them.
    Files(Arc<Mount>),
}

impl Served {
    /// Who answers.
    pub fn answerer(&self) -> Answerer {
        match self {
            Self::Function(target) => target.answerer.clone(),
            Self::Files(mount) => mount.site.answerer().clone(),
        }
    }
}

/// A function that can be asked.
#[derive(Debug)]
pub struct Target {
    /// The function.
    pub slot: Arc<Slot>,
    /// As whom it answers.
    pub answerer: Answerer,
    /// Bounds on its requests.
    pub gates: Gates,
    /// What its requests used.
    pub tally: Tally,
    /// The cache in front of it, if there is one.
    pub cache: Option<Cached>,
}

/// Two versions of an app. Each has routes of its own: what one answers, the other may not know.
#[derive(Debug)]
pub struct Split {
    /// Gets what the canary doesn't.
    pub main: RouteTable<Served>,
    /// Gets its share.
    pub canary: RouteTable<Served>,
    /// The canary's part.
    pub share: Share,
}

/// What all lanes of a node share. Nothing in it is locked while a request is on its way, and all that the
/// requests of two lanes write to here is the node's gate, and a count where they fail.
pub struct Edge {
    routes: ArcSwap<RouteTable<Route>>,
    resident: Arc<ResidentSet>,
    node: Apart<Gate>,
    previews: Arc<dyn Previews>,
    log: Arc<dyn AccessLog>,
    failures: FailureCounts,
    policy: Policy,
    draining: AtomicBool,
    next_ids: Striped<AtomicU64>,
}

/// What holds for all requests of a node.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Requests that may be worked on at once.
    pub requests_max: u32,
    /// Whether every response says how its request started and how long it took; otherwise functions choose.
    pub server_timing: bool,
    /// Who may say whom a request is from.
    pub trusted_proxies: TrustedProxies,
    /// Of how many requests the traces are recorded, out of `u32::MAX`. `None`: of none, and what others decided is
    /// passed on.
    pub recorded: Option<u32>,
}

/// Where a request came from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The other end, if it came over a socket.
    pub peer: Option<Arc<Peer>>,
    /// Why it is refused, if its connection found that it can't be served.
    pub refused: Option<&'static str>,
    /// The routes that hold for it, if not the node's: a version is asked before it serves.
    pub routes: Option<Arc<RouteTable<Route>>>,
}

impl Edge {
    /// Makes the shared part. `id_seed` should be random.
    pub fn new(
        resident: Arc<ResidentSet>,
        previews: Arc<dyn Previews>,
        log: Arc<dyn AccessLog>,
        policy: Policy,
        id_seed: u64,
    ) -> Self {
        Self {
            routes: ArcSwap::from_pointee(RouteTable::empty()),
            resident,
            node: Apart(Gate::new(policy.requests_max)),
            previews,
            log,
            failures: FailureCounts::default(),
            policy,
            draining: AtomicBool::new(false),
            next_ids: Striped::from_fn(|place| AtomicU64::new(first_id(id_seed, place))),
        }
    }

    /// Switches to another table of routes, at once and for all requests that come after.
    pub fn switch_routes(&self, routes: RouteTable<Route>) {
        self.routes.store(Arc::new(routes));
    }

    /// The routes in force.
    pub fn routes(&self) -> Arc<RouteTable<Route>> {
        self.routes.load_full()
    }

    /// From now on new requests are refused; those that are in go on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new requests are refused.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Who may say whom a request is from.
    pub fn trusted_proxies(&self) -> &TrustedProxies {
        &self.policy.trusted_proxies
    }

    /// The name of the next request.
    pub(crate) fn next_request_id(&self) -> RequestId {
        RequestId::new(self.next_number(), None)
    }

    fn next_number(&self) -> u64 {
        self.next_ids.mine().fetch_add(1, Ordering::Relaxed)
    }

    /// How often requests failed, and why.
    pub fn failures(&self) -> &FailureCounts {
        &self.failures
    }

    /// Requests that are being worked on.
    pub fn requests_inside(&self) -> u32 {
        self.node.inside()
    }
}

/// All numbers there are, in equal parts: those of one place never reach those of another.
fn first_id(seed: u64, place: usize) -> u64 {
    let part = u64::MAX / STRIPES as u64;
    seed.wrapping_add(place as u64 * part)
}

/// What is asked for, and the node that is asked. Held until the books of the request close.
struct Asked {
    edge: Own<Edge>,
    target: Arc<Target>,
}

impl Gated for Asked {
    fn node(&self) -> &Gate {
        &self.edge.node
    }

    fn gates(&self) -> &Gates {
        &self.target.gates
    }
}

/// Answers a request: the whole way, and the one place where a failure becomes a response.
pub async fn dispatch(
    edge: &Own<Edge>,
    lane: &Lane,
    origin: Origin,
    mut request: Request,
) -> Response<ResponseBody> {
    let number = edge.next_number();
    let from = (origin.peer.as_ref(), None);
    let arrival = head::receive(&mut request, from, &edge.policy, number);
    let id_field = arrival.request_id.field();
    let mut visit = Visit::begin(arrival, &request);
    let is_head = request.method() == Method::HEAD;
    let mut response = match answer(edge, lane, &origin, &mut visit, request).await {
        Ok(response) => response,
        Err(failure) => {
            let response = respond(&failure, &visit.request_id, is_head).map(ResponseBody::from);
            visit.record_failure(edge, response.status(), &failure);
            response
        }
    };
    response.headers_mut().insert(head::REQUEST_ID, id_field);
    response
}

async fn answer(
    edge: &Own<Edge>,
    lane: &Lane,
    origin: &Origin,
    visit: &mut Visit,
    mut request: Request,
) -> Result<Response<ResponseBody>, Failure> {
    // Is it something that can be served at all?
    if edge.draining.load(Ordering::Relaxed) {
        return Err(Fault::Draining.into());
    }
    if let Some(reason) = origin.refused {
        return Err(Failure::BadRequest(reason));
    }
    if let Some(failure) = visit.refused.take() {
        return Err(failure);
    }

    // Which function? The guard of the table is given back before the first wait.
    let served = match route(edge, origin, visit.request_id.number(), &request) {
        // What few requests need is in a box, so that the futures of all others stay small: each is moved once.
        Err(Failure::NoRoute) => Box::pin(preview(edge, origin, &request)).await?,
        found => found?,
    };
    let target = match served {
        Served::Function(target) => target,
        Served::Files(mount) => {
            match Box::pin(files::answer(edge, visit, mount, &request)).await? {
                Answered::With(response) => return Ok(response),
                Answered::Behind(target) => target,
            }
        }
    };

    // A version that is asked before it serves answers itself.
    let cached = target.cache.as_ref().filter(|_| origin.routes.is_none());
    let is_head = request.method() == Method::HEAD;
    let wish = Wish::of(request.headers(), target.slot.spec().compress, is_head);
    if let Some(cached) = cached {
        let response = match cached::look(edge, lane, visit, &target, cached, &mut request)? {
            Looked::Answered(response) => response,
            Looked::Rest(rest) => {
                let target = Arc::clone(&target);
                Box::pin(cached::go_on(edge, lane, visit, target, request, rest)).await?
            }
        };
        return Ok(compress::response(response, wish).await);
    }
    let response = serve(edge, lane, visit, target, request, Chain::default()).await?;
    Ok(compress::response(response, wish).await)
}

/// The rest of the way, from a function that is known.
async fn serve(
    edge: &Own<Edge>,
    lane: &Lane,
    visit: &mut Visit,
    target: Arc<Target>,
    request: Request,
    chain: Chain,
) -> Result<Response<GuestBody>, Failure> {
    // May it come in, and is its body small enough as far as it says?
    let asked = visit.reached.enter(edge, target, &mut visit.toll)?;
    let spec = asked.target.slot.spec();
    check_declared_body(&request, spec)?;

    // Here or elsewhere?
    match place(spec) {
        Place::Here => {}
    }

    // The function's code, loaded at most once however many ask.
    let slot = &asked.target.slot;
    let (function, start_level) = edge.resident.get(slot, visit.started).await?;
    visit.start_level = Some(start_level);

    // The sandbox and the guest. The head comes as soon as the guest gives it, the body follows as
    // the guest writes it, and the books close when the last of it is over.
    let tells_timing = tells_timing(edge, &asked.target);
    let on_end = visit.hand_over_books();
    let more = visit.more.take().unwrap_or_else(|| Box::new(|_| {}));
    let chain = Chain {
        id: visit.request_id.clone(),
        ..chain
    };
    let call = lane.call(&function, request, more, visit.started, chain, on_end);
    drop(function);
    let mut response = call.answer().await?;

    if tells_timing {
        visit.add_server_timing(&mut response, start_level.into());
    }
    Ok(response)
}

/// Answers a request of another function of the same app, or of the node itself. The function is known, and the body goes
/// to whoever asked: it is not compressed. `told` is what the node says besides, in the place of what was stripped.
pub(crate) async fn dispatch_call(
    edge: &Own<Edge>,
    lane: &Lane,
    target: Arc<Target>,
    (mut request, told): (Request, HeaderMap),
    (chain, sent_from): (Chain, Option<SentFrom>),
) -> Response<GuestBody> {
    let number = edge.next_number();
    let mut arrival = head::receive(&mut request, (None, sent_from), &edge.policy, number);
    if !told.is_empty() {
        let more = arrival.more;
        arrival.more = Box::new(move |headers| {
            more(headers);
            headers.extend(told);
        });
    }
    let mut visit = Visit::begin(arrival, &request);
    let is_head = request.method() == Method::HEAD;
    // What the head can't be served for is known; a drain lets what is in go on, and this is a part of it.
    let served = match visit.refused.take() {
        Some(failure) => Err(failure),
        None => serve(edge, lane, &mut visit, target, request, chain).await,
    };
    served.unwrap_or_else(|failure| {
        let mut response = respond(&failure, &visit.request_id, is_head);
        visit.record_failure(edge, response.status(), &failure);
        if matches!(failure, Failure::Refused(_) | Failure::Load(_)) {
            response.extensions_mut().insert(NotLetIn);
        }
        response
    })
}

/// The function or the files that a request is for. Where two versions share an app's requests, the version is chosen first, and
/// its own routes decide.
fn route(edge: &Edge, origin: &Origin, draw: u64, request: &Request) -> Result<Served, Failure> {
    let (host, path) = (head::host(request), request.uri().path());
    let routes = edge.routes.load();
    let routes = origin.routes.as_ref().unwrap_or(&routes);
    let matched = routes.lookup(host, path).ok_or(Failure::NoRoute)?;
    match matched.value {
        Route::One(served) => Ok(served.clone()),
        Route::Split(split) => {
            let table = if split.share.takes(request.headers(), draw) {
                &split.canary
            } else {
                &split.main
            };
            let matched = table.lookup(host, path).ok_or(Failure::NoRoute)?;
            Ok(matched.value.clone())
        }
    }
}

/// What a version has that is asked for by a host of its own.
async fn preview(edge: &Edge, origin: &Origin, request: &Request) -> Result<Served, Failure> {
    let host = head::host(request).filter(|host| edge.previews.is_preview(host));
    let host = host.filter(|_| origin.routes.is_none());
    let table = edge.previews.find(host.ok_or(Failure::NoRoute)?).await;
    let table = table.ok_or(Failure::NoRoute)?;
    let matched = table.lookup(None, request.uri().path());
    match matched.ok_or(Failure::NoRoute)?.value {
        Route::One(served) => Ok(served.clone()),
        // A version shares nothing with itself.
        Route::Split(_) => Err(Failure::NoRoute),
    }
}

/// Whether responses say how their requests started and how long they took.
fn tells_timing(edge: &Edge, target: &Target) -> bool {
    edge.policy.server_timing || target.slot.spec().server_timing
}

fn check_declared_body(request: &Request, spec: &FunctionSpec) -> Result<(), Failure> {
    let limit = spec.limits.request_body.as_u64();
    let declared = match request.body() {
        RequestBody::Empty => 0,
        RequestBody::Stream(body) => body.size_hint().lower(),
    };
    if declared > limit {
        return Err(Fault::RequestBodyTooLarge.into());
    }
    Ok(())
}
