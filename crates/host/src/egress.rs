//! Requests to the outside: `wasi:http` outgoing, to the hosts that the manifest lists and to no other.
//!
//! Owns who may send what where, in which bounds, and what is said of it in the function's log. The guest's side, in
//! both versions of WASI, is the engine's. Addresses are judged where a connection is made (`network`), so that a
//! name that changes its address gains nothing.

mod carry;
mod failure;
mod notice;
mod open;
mod pool;
mod service;
mod trace;

use std::sync::{Arc, Weak};

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::outbound::{SendError, SendFuture, Sender, Services, Subrequest};
use everwarm_engine::request::Request;
use everwarm_manifest::{AppName, FunctionName, HttpScheme, HttpTarget, TenantId, World};
use http::uri::Scheme;
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;

use crate::GuestOutput;
use crate::network::{Network, Unopened};
use crate::notice::Notices;
use crate::shares::{Shares, shared};
use carry::{Way, carry};
use open::Opener;
use pool::Pool;

/// Requests of one app that may be on their way at once.
const REQUESTS_OF_APP_MAX: usize = 1_024;

/// See the module's documentation.
pub struct Egress {
    network: Arc<Network>,
    output: Option<Arc<dyn GuestOutput>>,
    services: Option<Arc<dyn Services>>,
    ways: Arc<Ways>,
    apps: Mutex<Shares<(TenantId, AppName), Semaphore>>,
}

/// All pools of the node.
#[derive(Default)]
struct Ways(Mutex<Shares<WayKey, Way>>);

impl Ways {
    /// Closes one connection that waits, whoever's it is. Says whether there was one.
    fn close_one(&self) -> bool {
        let ways: Vec<_> = self.0.lock().values().filter_map(Weak::upgrade).collect();
        ways.iter().any(|way| way.pool.close_one())
    }
}

/// Whose connections may be shared: one tenant's, made under one list of addresses.
type WayKey = (TenantId, Vec<IpNet>);

impl Egress {
    /// Sets egress up on the node's network.
    pub(crate) fn new(
        network: Arc<Network>,
        output: Option<Arc<dyn GuestOutput>>,
        services: Option<Arc<dyn Services>>,
    ) -> Self {
        Self {
            network,
            output,
            services,
            ways: Arc::default(),
            apps: Mutex::default(),
        }
    }

    fn granted(&self, function: &FunctionSpec) -> Granted {
        let app = (function.tenant.clone(), function.app.clone());
        Granted {
            way: self.way(function),
            at_once: shared(&self.apps, app, || Semaphore::new(REQUESTS_OF_APP_MAX)),
        }
    }

    fn way(&self, function: &FunctionSpec) -> Arc<Way> {
        let listed = function.grants.addresses.clone();
        let key = (function.tenant.clone(), listed.clone());
        shared(&self.ways.0, key, || {
            let tenant = self.network.tenant(&function.tenant);
            Way {
                opener: Opener {
                    network: Arc::clone(&self.network),
                    tls: self.network.tls(&[b"h2", b"http/1.1"]),
                    listed,
                    tenant,
                    pools: Arc::downgrade(&self.ways),
                },
                pool: Pool::new(),
            }
        })
    }
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").finish_non_exhaustive()
    }
}

impl Capability for Egress {
    fn name(&self) -> &'static str {
        "egress"
    }

    fn interfaces(&self, _world: World) -> &'static [&'static str] {
        // The engine provides `wasi:http` as a whole.
        &[]
    }

    fn link(&self, _linker: &mut Linker<Sandbox>, _world: World) -> wasmtime::Result<()> {
        Ok(())
    }

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        // Most functions send nothing: they become resident without.
        let granted = !function.grants.http.is_empty();
        let sender: Arc<dyn Sender> = Arc::new(OfFunction {
            granted: granted.then(|| self.granted(function)),
            services: self.services.clone(),
            notices: Arc::new(Notices::new(function, self.output.clone())),
        });
        Ok(Arc::new(sender))
    }

    fn sender(&self, state: &State) -> Option<Arc<dyn Sender>> {
        state.downcast_ref::<Arc<dyn Sender>>().cloned()
    }

    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}

/// The requests of one function.
struct OfFunction {
    /// `None` when the manifest grants nothing.
    granted: Option<Granted>,
    services: Option<Arc<dyn Services>>,
    notices: Arc<Notices>,
}

struct Granted {
    way: Arc<Way>,
    /// Places for the app's requests that are on their way.
    at_once: Arc<Semaphore>,
}

impl Sender for OfFunction {
    fn send(&self, mut subrequest: Subrequest) -> Result<SendFuture, SendError> {
        let target = target(&subrequest.request)?;
        if let Some(span) = &mut subrequest.span {
            trace::sent(span, &subrequest.request, &target);
        }
        if target.is_internal() {
            return self.call(&target, subrequest);
        }
        let grants = &self.notices.function().grants;
        let granted = self.granted.as_ref();
        let Some(Granted { way, at_once }) =
            granted.filter(|_| grants.http.iter().any(|grant| grant.allows(&target)))
        else {
            self.notices.denied(&target);
            return Err(SendError::Denied);
        };
        let place = Arc::clone(at_once).try_acquire_owned();
        let place = place.map_err(|_| SendError::ConnectionLimit)?;
        let way = Arc::clone(way);
        let notices = Arc::clone(&self.notices);
        subrequest.say_trace();
        Ok(Box::pin(async move {
            let to = target.clone();
            let Subrequest {
                request,
                timeouts,
                span,
                ..
            } = subrequest;
            let carried = carry(&way, target, request, timeouts, place).await;
            trace::answered(span, carried.as_ref().ok().map(http::Response::status));
            match carried {
                Ok(response) => Ok(response),
                Err(Unopened::Failed(error)) => {
                    notices.failed(&to, &error);
                    Err(error)
                }
                Err(Unopened::Prohibited(addresses)) => {
                    notices.prohibited(&to, &addresses);
                    Err(SendError::IpProhibited)
                }
            }
        }))
    }
}

impl OfFunction {
    /// A request to a name below `internal`: another function of the same app, or nobody.
    fn call(&self, target: &HttpTarget, subrequest: Subrequest) -> Result<SendFuture, SendError> {
        let Some(name) = service::name(target) else {
            self.notices.internal(target);
            return Err(SendError::Denied);
        };
        let function = self.notices.function();
        let is_meant = |granted: &&FunctionName| granted.as_str() == name;
        let granted = function.grants.functions.iter().find(is_meant);
        let (Some(services), Some(granted)) = (&self.services, granted) else {
            self.notices.call_denied(name);
            return Err(SendError::Denied);
        };
        let mut subrequest = service::one_deeper(subrequest)?;
        let (patience, span) = (subrequest.timeouts, subrequest.span.take());
        let call = services.call(function, granted, subrequest);
        let call = call.ok_or(SendError::DestinationNotFound)?;
        let call = service::patiently(call, patience);
        if span.is_none() {
            return Ok(call);
        }
        Ok(Box::pin(async move {
            let answered = call.await;
            trace::answered(span, answered.as_ref().ok().map(http::Response::status));
            answered
        }))
    }
}

/// Where a request goes, in the form that grants are compared with.
fn target(request: &Request) -> Result<HttpTarget, SendError> {
    let uri = request.uri();
    let scheme = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => HttpScheme::Http,
        Some(scheme) if *scheme == Scheme::HTTPS => HttpScheme::Https,
        _ => return Err(SendError::UriInvalid),
    };
    let authority = uri.authority().ok_or(SendError::UriInvalid)?;
    HttpTarget::parse(scheme, authority.as_str()).map_err(|_| SendError::UriInvalid)
}
