//! The apps that serve, as a node has them in memory, and the table of routes that they make.
//!
//! Pure apart from asking for targets. Knows nothing of the store or of how an app came here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use everwarm_edge::assets::{Mount, Site, SiteSpec};
use everwarm_edge::dispatch::{Route, Served, Split, Target};
use everwarm_edge::meter::{Answerer, SiteName};
use everwarm_edge::router::{RouteConflict, RouteTable};
use everwarm_edge::traffic::Share;
use everwarm_engine::function::{FunctionSpec, Mounted};
use everwarm_engine::resident::FunctionKey;
use everwarm_manifest::{
    ASSETS_NAME, App, AppName, ConfigName, Function, FunctionName, HostPattern, RedisServer,
    RoutePattern, SqlDatabase, TenantId,
};
use everwarm_store::catalog::{Serving, Version};
use everwarm_store::traffic::Traffic;
use http::HeaderName;

use crate::domain::Domain;
use crate::targets::Targets;

/// Names an app across the whole node.
pub(crate) type AppKey = (TenantId, AppName);

/// All apps that serve.
#[derive(Debug, Default)]
pub(crate) struct Apps {
    all: BTreeMap<AppKey, Arc<LiveApp>>,
    /// Whose each name is: strangers ask for previews by name alone, and may not have all apps searched.
    owners: HashMap<AppName, TenantId>,
}

/// An app that serves.
#[derive(Debug)]
pub(crate) struct LiveApp {
    pub(crate) traffic: Traffic,
    pub(crate) main: LiveVersion,
    pub(crate) canary: Option<LiveVersion>,
}

/// A version with its functions ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct LiveVersion {
    /// Its functions, each with its routes as the node serves them.
    pub(crate) functions: Vec<(Arc<Target>, Vec<RoutePattern>)>,
    /// Its files, each folder with the route that the node serves it at.
    pub(crate) files: Option<(Arc<Site>, Vec<RoutePattern>)>,
}

impl LiveApp {
    pub(crate) fn new(serving: &Serving, domain: &Domain, targets: &Targets) -> Self {
        let live = |version| LiveVersion::new(&serving.tenant, version, domain, targets);
        Self {
            traffic: serving.traffic.clone(),
            main: live(&serving.main),
            canary: serving.canary.as_ref().map(live),
        }
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        let versions = std::iter::once(&self.main).chain(&self.canary);
        versions.flat_map(LiveVersion::targets)
    }

    /// The files of its versions.
    pub(crate) fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        let versions = std::iter::once(&self.main).chain(&self.canary);
        versions.filter_map(LiveVersion::site)
    }

    /// The keys of its functions.
    pub(crate) fn functions(&self) -> HashSet<FunctionKey> {
        let specs = self.targets().map(|target| target.slot.spec());
        specs.map(|spec| FunctionKey::of(spec)).collect()
    }
}

impl LiveVersion {
    pub(crate) fn new(
        tenant: &TenantId,
        version: &Version,
        domain: &Domain,
        targets: &Targets,
    ) -> Self {
        let app = &version.manifest.name;
        let functions =
            specs(tenant, version)
                .zip(&version.manifest.functions)
                .map(|(spec, function)| {
                    let routes = function.routes.iter();
                    let routes = routes.map(|route| domain.route(app, route)).collect();
                    (targets.get(spec), routes)
                });
        let files = site(tenant, version).map(|spec| {
            let routes = spec.assets.iter();
            let routes = routes.map(|assets| domain.route(app, assets.at.route()));
            let routes = routes.collect();
            (targets.site(spec), routes)
        });
        Self {
            functions: functions.collect(),
            files,
        }
    }

    /// The files of the version, if it has any.
    pub(crate) fn site(&self) -> Option<&Arc<Site>> {
        self.files.as_ref().map(|(site, _)| site)
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.functions.iter().map(|(target, _)| target)
    }

    /// All its patterns. Where a function has that of files, it is there twice.
    fn patterns(&self) -> impl Iterator<Item = &RoutePattern> {
        let functions = self.functions.iter().flat_map(|(_, routes)| routes);
        let files = self.files.iter().flat_map(|(_, routes)| routes);
        functions.chain(files)
    }

    /// What is at each pattern, `at` as the node has it. Files come before functions that have the same pattern.
    fn routes(
        &self,
        at: impl Fn(&RoutePattern) -> RoutePattern,
    ) -> Result<Vec<(RoutePattern, Served)>, String> {
        let functions = || {
            self.functions.iter().flat_map(|(target, routes)| {
                routes.iter().map(|route| (at(route), Arc::clone(target)))
            })
        };
        let Some((site, mounts)) = &self.files else {
            let functions = functions().map(|(route, target)| (route, Served::Function(target)));
            return Ok(functions.collect());
        };
        // Two hosts of a version may have the same paths at a preview: the first one's function is the preview's.
        let mut seen = HashSet::new();
        let behind = functions().filter(|(route, _)| seen.insert(route.to_string()));
        let behind = RouteTable::build(behind).map_err(|conflict| {
            let (first, second) = (conflict.first, conflict.second);
            told(
                (&first.0, &Served::Function(first.1)),
                (&second.0, &Served::Function(second.1)),
            )
        })?;
        let behind = Arc::new(behind);
        let mounts: Vec<(RoutePattern, Arc<Mount>)> = mounts
            .iter()
            .enumerate()
            .filter_map(|(folder, route)| {
                let mount = Mount::new(site, folder, &behind)?;
                Some((at(route), Arc::new(mount)))
            })
            .collect();
        let is_behind =
            |route: &RoutePattern| mounts.iter().any(|(mount, _)| mount.conflicts_with(route));
        let mut routes: Vec<(RoutePattern, Served)> = functions()
            .filter(|(route, _)| !is_behind(route))
            .map(|(route, target)| (route, Served::Function(target)))
            .collect();
        let files = mounts.into_iter();
        routes.extend(files.map(|(route, mount)| (route, Served::Files(mount))));
        Ok(routes)
    }

    /// The table of this version alone.
    pub(crate) fn table(&self) -> Result<RouteTable<Served>, String> {
        let routes = self.routes(RoutePattern::clone)?;
        RouteTable::build(routes).map_err(|conflict| {
            let (first, second) = (&conflict.first, &conflict.second);
            told((&first.0, &first.1), (&second.0, &second.1))
        })
    }

    /// The table of this version alone, at whatever host it is asked for: its preview and its health check.
    pub(crate) fn table_at_any_host(&self) -> Result<RouteTable<Route>, String> {
        let routes = self.routes(|route| route.on_host(HostPattern::Any))?;
        // Two hosts of a version may have the same paths: the first one's function is the preview's.
        let mut seen = HashSet::new();
        let routes = routes
            .into_iter()
            .filter(|(route, _)| seen.insert(route.to_string()))
            .map(|(route, served)| (route, Route::One(served)));
        RouteTable::build(routes).map_err(|conflict| conflict.second.0.to_string())
    }
}

/// The files of a version that are served, as the edge takes them.
pub(crate) fn site(tenant: &TenantId, version: &Version) -> Option<SiteSpec> {
    if version.manifest.assets.is_empty() {
        return None;
    }
    let name = FunctionName::new(ASSETS_NAME).ok()?;
    Some(SiteSpec {
        name: Arc::new(SiteName {
            tenant: tenant.clone(),
            app: version.manifest.name.clone(),
            name,
            version: version.id.to_string().into(),
        }),
        bundle: version.assets?,
        assets: version.manifest.assets.clone(),
    })
}

/// The databases of an app that a function is granted.
fn granted_databases(app: &App, function: &Function) -> Vec<SqlDatabase> {
    let is_granted = |database: &&SqlDatabase| function.grants.sql.contains(&database.name);
    app.sql.iter().filter(is_granted).cloned().collect()
}

/// The Redis servers of an app that a function is granted.
fn granted_servers(app: &App, function: &Function) -> Vec<RedisServer> {
    let is_granted = |server: &&RedisServer| function.grants.redis.contains(&server.name);
    app.redis.iter().filter(is_granted).cloned().collect()
}

/// The folders of a version's files that a function reads.
fn mounted(version: &Version, function: &Function) -> Option<Mounted> {
    let mounts = function.mounts.clone();
    (!mounts.is_empty()).then_some(Mounted {
        bundle: version.assets?,
        mounts,
    })
}

/// A version's functions as the engine takes them, in the manifest's order.
pub(crate) fn specs(
    tenant: &TenantId,
    version: &Version,
) -> impl Iterator<Item = Arc<FunctionSpec>> {
    let version_name: Arc<str> = version.id.to_string().into();
    version
        .manifest
        .functions
        .iter()
        .filter_map(move |function| {
            // A version that the store has read has a component for each function.
            let component = version.components.get(&function.name)?;
            Some(Arc::new(FunctionSpec {
                tenant: tenant.clone(),
                app: version.manifest.name.clone(),
                name: function.name.clone(),
                version: Arc::clone(&version_name),
                component: component.digest,
                world: component.world,
                isolation: function.isolation,
                compress: function.compress,
                cache: function.cache.clone(),
                server_timing: function.server_timing,
                limits: function.limits,
                env: function.env.clone(),
                config: function.config.clone(),
                databases: granted_databases(&version.manifest, function),
                redis: granted_servers(&version.manifest, function),
                files: mounted(version, function),
                grants: function.grants.clone(),
            }))
        })
}

impl Apps {
    /// Takes one more.
    pub(crate) fn add(&mut self, key: AppKey, app: LiveApp) {
        self.owners.insert(key.1.clone(), key.0.clone());
        self.all.insert(key, Arc::new(app));
    }

    pub(crate) fn remove(&mut self, key: &AppKey) {
        if self.all.remove(key).is_some() {
            self.owners.remove(&key.1);
        }
    }

    /// The keys of the functions of one app.
    pub(crate) fn functions_of(&self, key: &AppKey) -> HashSet<FunctionKey> {
        self.all
            .get(key)
            .map(|app| app.functions())
            .unwrap_or_default()
    }

    /// A function of the version that serves; of two, that which gets what the canary doesn't.
    pub(crate) fn function(&self, key: &AppKey, name: &FunctionName) -> Option<Arc<Target>> {
        let mut targets = self.all.get(key)?.main.targets();
        let target = targets.find(|target| target.slot.spec().name == *name);
        target.cloned()
    }

    /// Whose app of that name has a host of its own on this node: names are one tenant's each.
    pub(crate) fn owner_of(&self, app: &AppName) -> Option<&TenantId> {
        self.owners.get(app)
    }

    /// The secrets that functions of an app are granted, each with a function.
    pub(crate) fn granted_secrets(&self, key: &AppKey) -> Vec<(ConfigName, FunctionName)> {
        let targets = self.all.get(key).into_iter().flat_map(|app| app.targets());
        let granted = targets.flat_map(|target| {
            let spec = target.slot.spec();
            let secrets = spec.grants.secrets.iter();
            secrets.map(|secret| (secret.clone(), spec.name.clone()))
        });
        granted.collect()
    }

    /// The hosts that functions answer at by name, wildcards left out.
    pub(crate) fn hosts(&self) -> BTreeSet<String> {
        let versions = self.all.values().flat_map(|app| {
            let versions = std::iter::once(&app.main);
            versions.chain(&app.canary)
        });
        let routes = versions.flat_map(LiveVersion::patterns);
        let hosts = routes.filter_map(|route| match &route.host {
            HostPattern::Exact(host) => Some(host.as_str().to_owned()),
            _ => None,
        });
        hosts.collect()
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.all.values().flat_map(|app| app.targets())
    }

    /// The table of all apps.
    ///
    /// # Errors
    /// Two routes of different apps that match the same requests, in words.
    pub(crate) fn table(&self) -> Result<RouteTable<Route>, String> {
        let mut entries = Vec::new();
        for ((_, name), app) in &self.all {
            entries.extend(app.entries(name)?);
        }
        RouteTable::build(entries).map_err(|conflict| conflict_told(&conflict))
    }

    /// The table of all apps when one is in another state, or gone. `table` is that of now.
    ///
    /// # Errors
    /// As [`Apps::table`].
    pub(crate) fn changed(
        &self,
        table: &RouteTable<Route>,
        key: &AppKey,
        app: Option<&LiveApp>,
    ) -> Result<RouteTable<Route>, String> {
        let gone = self.all.get(key).into_iter().flat_map(|app| app.patterns());
        let new = app.map_or(Ok(Vec::new()), |app| app.entries(&key.1))?;
        table
            .changed(gone, new)
            .map_err(|conflict| conflict_told(&conflict))
    }
}

impl LiveApp {
    /// The patterns of its part of the node's table.
    fn patterns(&self) -> impl Iterator<Item = RoutePattern> {
        let versions = std::iter::once(&self.main).chain(&self.canary);
        versions.flat_map(|version| version.patterns().cloned())
    }

    /// Its part of the node's table.
    fn entries(&self, name: &AppName) -> Result<Vec<(RoutePattern, Route)>, String> {
        match &self.canary {
            None => {
                let routes = self.main.routes(RoutePattern::clone)?.into_iter();
                let entries = routes.map(|(route, served)| (route, Route::One(served)));
                Ok(entries.collect())
            }
            Some(canary) => split_routes(name, self, canary),
        }
    }
}

fn conflict_told(conflict: &RouteConflict<Route>) -> String {
    let (first, second) = (&conflict.first, &conflict.second);
    told(
        (&first.0, any_served(&first.1)),
        (&second.0, any_served(&second.1)),
    )
}

/// The routes of both versions, each once: which version it is comes before which function.
fn split_routes(
    name: &AppName,
    app: &LiveApp,
    canary: &LiveVersion,
) -> Result<Vec<(RoutePattern, Route)>, String> {
    let part = app.traffic.canary.as_ref();
    let sticky_header = part.and_then(|part| part.sticky_header.as_deref());
    let share = Share::new(
        part.map_or(0, |part| part.percent.get()),
        // It was checked when it was set; one that isn't a name is no reason not to serve.
        sticky_header.and_then(|header| HeaderName::try_from(header).ok()),
        name.as_str(),
    );
    let split = Arc::new(Split {
        main: app.main.table()?,
        canary: canary.table()?,
        share,
    });
    let mut seen = HashSet::new();
    let routes = app.main.patterns().chain(canary.patterns());
    Ok(routes
        .filter(|route| seen.insert(route.to_string()))
        .map(|route| (route.clone(), Route::Split(Arc::clone(&split))))
        .collect())
}

fn any_served(route: &Route) -> Option<&Served> {
    match route {
        Route::One(served) => Some(served),
        Route::Split(split) => split.main.routes().next().map(|(_, served)| served),
    }
}

fn told<'a>(
    (first, served_first): (&RoutePattern, impl Into<Option<&'a Served>>),
    (second, served_second): (&RoutePattern, impl Into<Option<&'a Served>>),
) -> String {
    let owner = |served: Option<&Served>| match served.map(Served::answerer) {
        None => "another app".to_owned(),
        Some(Answerer::Function(spec)) => {
            format!("function `{}` of app `{}`", spec.name, spec.app)
        }
        Some(Answerer::Assets(site)) => format!("the assets of app `{}`", site.app),
    };
    format!(
        "the route `{second}` of {} matches the same requests as `{first}` of {}",
        owner(served_second.into()),
        owner(served_first.into())
    )
}
