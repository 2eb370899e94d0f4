//! The functions and files that requests can be sent to, with their gates and tallies.
//!
//! Owns that each keeps its gate and its sums for as long as anything serves it, however often routes are
//! made anew. Knows nothing of routes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use everwarm_bundle::Library;
use everwarm_cache::store::Store;
use everwarm_edge::admission::{Gate, Gates, TenantGate};
use everwarm_edge::assets::{Site, SiteSpec};
use everwarm_edge::cache::Cached;
use everwarm_edge::dispatch::Target;
use everwarm_edge::meter::Answerer;
use everwarm_edge::services::Siblings;
use everwarm_edge::tally::Tally;
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::resident::{FunctionKey, ResidentSet};
use everwarm_manifest::{AppName, FunctionName, Isolation, TenantId};
use everwarm_store::accounts::Quotas;
use parking_lot::Mutex;

use crate::kept_answers::KeptAnswers;

/// See the module's documentation.
pub(crate) struct Targets {
    resident: Arc<ResidentSet>,
    library: Arc<Library>,
    kept: Arc<KeptAnswers>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tenants: HashMap<TenantId, Arc<TenantGate>>,
    functions: HashMap<FunctionKey, Arc<Target>>,
    /// The same, by version and name: functions call each other by name.
    by_name: HashMap<Named, Arc<Target>>,
    /// Files of versions. Those that nothing serves any more are forgotten once their last sums are taken.
    sites: HashMap<SiteKey, Arc<Site>>,
    /// No longer served, but requests may still be in them, and their last sums aren't taken.
    retired: Vec<Arc<Target>>,
}

/// Names the files of a version across the whole node.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SiteKey {
    tenant: TenantId,
    app: AppName,
    version: Arc<str>,
}

impl Targets {
    pub(crate) fn new(
        resident: Arc<ResidentSet>,
        library: Arc<Library>,
        kept: &Arc<KeptAnswers>,
    ) -> Self {
        Self {
            resident,
            library,
            kept: Arc::clone(kept),
            state: Mutex::default(),
        }
    }

    /// Sets what a tenant may use, from the next request on.
    pub(crate) fn set_quotas(&self, tenant: &TenantId, quotas: Quotas) {
        self.state.lock().gate(tenant).set(
            quotas.concurrency,
            quotas.memory_bytes,
            (quotas.requests_per_second < u32::MAX).then_some(quotas.requests_per_second),
        );
    }

    /// The target of a function; the same for the same function.
    pub(crate) fn get(&self, spec: Arc<FunctionSpec>) -> Arc<Target> {
        let mut state = self.state.lock();
        let tenant = state.gate(&spec.tenant);
        let named = Named::of(&spec, spec.name.clone());
        let target = state
            .functions
            .entry(FunctionKey::of(&spec))
            .or_insert_with(|| {
                let cache = spec.cache.as_ref().map(|rules| {
                    let gates = Gates {
                        // What is kept needs no instance.
                        function: Gate::new(u32::MAX),
                        tenant: Arc::clone(&tenant),
                        memory_bytes: 0,
                    };
                    Cached::new(&spec, rules, (&self.kept.store, &self.kept.reads), gates)
                });
                Arc::new(Target {
                    cache,
                    gates: Gates {
                        function: Gate::new(spec.limits.concurrency.get()),
                        tenant,
                        memory_bytes: memory_of_a_request(&spec),
                    },
                    tally: Tally::default(),
                    answerer: Answerer::Function(Arc::clone(&spec)),
                    slot: self.resident.slot(spec),
                })
            });
        let target = Arc::clone(target);
        state.by_name.insert(named, Arc::clone(&target));
        target
    }

    /// The files of a version; the same for the same version.
    pub(crate) fn site(&self, spec: SiteSpec) -> Arc<Site> {
        let mut state = self.state.lock();
        let tenant = state.gate(&spec.name.tenant);
        let key = SiteKey {
            tenant: spec.name.tenant.clone(),
            app: spec.name.app.clone(),
            version: Arc::clone(&spec.name.version),
        };
        let site = state.sites.entry(key).or_insert_with(|| {
            let gates = Gates {
                // A file needs no instance: the tenant's bounds and the node's are enough.
                function: Gate::new(u32::MAX),
                tenant,
                memory_bytes: 0,
            };
            Site::new(spec, gates, &self.library)
        });
        Arc::clone(site)
    }

    /// The files of all versions that are or were served.
    pub(crate) fn sites(&self) -> Vec<Arc<Site>> {
        self.state.lock().sites.values().cloned().collect()
    }

    /// What is kept of answers.
    pub(crate) fn kept(&self) -> &Arc<Store> {
        &self.kept.store
    }

    /// What is kept of files in memory.
    pub(crate) fn library(&self) -> &Library {
        &self.library
    }

    /// Retires functions; requests that are in go on.
    pub(crate) fn retire(&self, gone: &HashSet<FunctionKey>) {
        let mut state = self.state.lock();
        let State {
            functions,
            by_name,
            retired,
            ..
        } = &mut *state;
        for target in gone.iter().filter_map(|key| functions.remove(key)) {
            let spec = target.slot.spec();
            by_name.remove(&Named::of(spec, spec.name.clone()));
            retired.push(target);
        }
        self.resident.forget(gone);
    }

    /// All targets, the retired ones too.
    pub(crate) fn all(&self) -> Vec<Arc<Target>> {
        let state = self.state.lock();
        let all = state.functions.values().chain(&state.retired);
        all.cloned().collect()
    }

    /// Forgets the retired targets that nobody has any more. Their sums have to be taken before, and what the caller
    /// has of them dropped.
    pub(crate) fn bury(&self) {
        let mut state = self.state.lock();
        state
            .retired
            .retain(|target| Arc::strong_count(target) > 1 || !target.tally.is_taken());
        state
            .sites
            .retain(|_, site| Arc::strong_count(site) > 1 || !site.tally.is_taken());
    }
}

/// A function by the name that its siblings know.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Named {
    tenant: TenantId,
    app: AppName,
    version: Arc<str>,
    name: FunctionName,
}

impl Named {
    fn of(spec: &FunctionSpec, name: FunctionName) -> Self {
        Self {
            tenant: spec.tenant.clone(),
            app: spec.app.clone(),
            version: Arc::clone(&spec.version),
            name,
        }
    }
}

impl Siblings for Targets {
    fn find(&self, caller: &FunctionSpec, name: &FunctionName) -> Option<Arc<Target>> {
        let named = Named::of(caller, name.clone());
        self.state.lock().by_name.get(&named).cloned()
    }
}

impl State {
    fn gate(&mut self, tenant: &TenantId) -> Arc<TenantGate> {
        let gate = self
            .tenants
            .entry(tenant.clone())
            .or_insert_with(TenantGate::open);
        Arc::clone(gate)
    }
}

/// What a request counts for at its tenant's gate. Requests that share an instance share its memory; how many do is
/// known only afterwards, so each counts for its part of a full one.
fn memory_of_a_request(spec: &FunctionSpec) -> u64 {
    let instance = spec.limits.memory.as_u64();
    match spec.isolation {
        Isolation::Request | Isolation::Serial => instance,
        Isolation::Concurrent => instance.div_ceil(u64::from(spec.limits.concurrency.get())),
    }
}
