//! From live versions to a table of routes. Pure apart from asking for the functions' slots.

use std::sync::Arc;

use everwarm_edge::admission::Gate;
use everwarm_edge::dispatch::Target;
use everwarm_edge::router::RouteTable;
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::inspect::WorldError;
use everwarm_engine::resident::ResidentSet;
use everwarm_manifest::{FunctionName, RoutePattern, TenantId, World};
use everwarm_store::catalog::Version;

/// A version's functions as the engine takes them. `world_of` says what each component offers.
pub(crate) fn specs(
    tenant: &TenantId,
    version: &Version,
    world_of: impl Fn(&FunctionName) -> Option<World>,
) -> Vec<(Arc<FunctionSpec>, Vec<RoutePattern>)> {
    let version_name: Arc<str> = version.id.to_string().into();
    let functions = version.manifest.functions.iter();
    functions
        .filter_map(|function| {
            let spec = FunctionSpec {
                tenant: tenant.clone(),
                app: version.manifest.name.clone(),
                name: function.name.clone(),
                version: Arc::clone(&version_name),
                component: *version.components.get(&function.name)?,
                world: world_of(&function.name).unwrap_or_else(|| function.target_world()),
                isolation: function.isolation,
                limits: function.limits,
                env: function.env.clone(),
            };
            Some((Arc::new(spec), function.routes.clone()))
        })
        .collect()
}

/// The table of all live versions. Two versions of different apps that claim the same route are a
/// conflict, which is returned in words.
pub(crate) fn table<'a>(
    live: impl Iterator<Item = &'a (Arc<FunctionSpec>, Vec<RoutePattern>)>,
    resident: &ResidentSet,
) -> Result<RouteTable<Arc<Target>>, String> {
    let targets = live.flat_map(|(spec, routes)| {
        let target = Arc::new(Target {
            slot: resident.slot(Arc::clone(spec)),
            gate: Gate::new(spec.limits.concurrency.get()),
        });
        routes
            .iter()
            .map(move |route| (route.clone(), Arc::clone(&target)))
    });
    RouteTable::build(targets).map_err(|conflict| {
        let owner = |target: &Target| {
            let spec = target.slot.spec();
            format!("function `{}` of app `{}`", spec.name, spec.app)
        };
        format!(
            "the route `{}` of {} matches the same requests as `{}` of {}",
            conflict.second.0,
            owner(&conflict.second.1),
            conflict.first.0,
            owner(&conflict.first.1)
        )
    })
}

/// The world that a component is served in, by what it exports and what the manifest asks.
pub(crate) fn world(
    facts: &everwarm_engine::inspect::ComponentFacts,
    function: &everwarm_manifest::Function,
) -> Result<World, WorldError> {
    facts.world_for(function.world, function.isolation)
}
