//! What a running node is asked to do with apps: deploy, promote, go back, remove.
//!
//! Owns the order of the steps, and that what is acknowledged is stored first and served then. Who may ask is the
//! admin API's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use everwarm_engine::inspect::{ComponentFacts, InspectError, check_imports, inspect};
use everwarm_engine::request::{Request, RequestBody};
use everwarm_manifest::{App, AppName, FunctionName, HostPattern, TenantId};
use everwarm_store::Store as _;
use everwarm_store::accounts::Quotas;
use everwarm_store::audit::{Action, DETAIL_BYTES_MAX, Note};
use everwarm_store::catalog::{
    CatalogError, Component, NewVersion, Serving, UnixMillis, Version, VersionId,
};
use everwarm_store::once::Once;
use everwarm_store::traffic::{Canary, Change, Traffic};
use everwarm_triggers::Occasion;
use futures_util::future::try_join_all;
use http::{HeaderValue, Uri, header};

use crate::apps::{AppKey, LiveApp, LiveVersion, specs};
use crate::deploy::{
    Components, Deploy, DeployError, DeployFailure, Deployed, Rollout, Stage, Stopwatch,
};
use crate::kept_answers::are_removed;
use crate::node::Node;

/// Who asks, as the audit log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(pub String);

impl Actor {
    /// What the node does by itself, or for whoever started it.
    pub fn node() -> Self {
        Self("the node".to_owned())
    }
}

impl Node {
    /// Deploys a version. Deploys of one app go one after another.
    ///
    /// # Errors
    ///
    /// [`DeployFailure`] says at which stage and why; what serves goes on serving.
    pub async fn deploy(
        &self,
        tenant: &TenantId,
        deploy: Deploy,
        quotas: Quotas,
        by: &Actor,
    ) -> Result<Deployed, DeployFailure> {
        let key = (tenant.clone(), deploy.app.name.clone());
        let _one_at_a_time = self.locks.lock(&key).await;
        let mut watch = Stopwatch::start(Stage::Verify);
        let before = self.done_before(&key, deploy.once.as_ref()).await;
        if let Some(done) = before.map_err(|source| watch.failure(source))? {
            return Ok(done);
        }
        let done = self
            .deploy_staged(&key, deploy, quotas, by, &mut watch)
            .await;
        let (version, traffic) = done.map_err(|source| watch.failure(source))?;
        tracing::info!(app = %key.1, version = %version.id, "version is deployed");
        self.prune(&key).await;
        Ok(Deployed {
            version,
            traffic,
            stages: watch.end(),
        })
    }

    /// What came of a deploy that is sent again.
    async fn done_before(
        &self,
        key: &AppKey,
        once: Option<&Once>,
    ) -> Result<Option<Deployed>, DeployError> {
        let Some(once) = once else { return Ok(None) };
        let (tenant, app) = key;
        let catalog = self.store.catalog();
        let done = catalog.done(tenant, &once.key, UnixMillis::now()).await?;
        let Some(done) = done else { return Ok(None) };
        if done.request != once.request {
            return Err(DeployError::KeyReused);
        }
        let version = catalog.version(tenant, app, done.version).await?;
        let serving = catalog.serving(tenant, app).await?;
        Ok(Some(Deployed {
            version: version.ok_or(DeployError::Forgotten)?,
            traffic: serving.map(|serving| serving.traffic),
            stages: Vec::new(),
        }))
    }

    async fn deploy_staged(
        &self,
        key: &AppKey,
        deploy: Deploy,
        quotas: Quotas,
        by: &Actor,
        watch: &mut Stopwatch,
    ) -> Result<(Version, Option<Traffic>), DeployError> {
        let tenant = &key.0;
        // Before anything slow: a host that can't be had won't be later either.
        let hosts = self.claims(&deploy.app)?;
        self.check_free(tenant, hosts).await?;
        let components = self
            .verified(tenant, &deploy.app, deploy.components)
            .await?;

        let assets = self
            .verified_bundle(tenant, &deploy.app, deploy.assets)
            .await?;

        watch.next(Stage::Store);
        let components = self.stored(tenant, components, quotas).await?;
        let assets = match assets {
            Some(bundle) => Some(self.stored_bundle(tenant, bundle, quotas).await?),
            None => None,
        };
        let now = UnixMillis::now();
        let version = NewVersion::with_assets(deploy.app, components, assets, now)?;
        let catalog = self.store.catalog();
        self.forget_leftovers(key).await?;
        let version = catalog.put_version(tenant, version, quotas.apps).await?;

        watch.next(Stage::Compile);
        self.compile(tenant, &version).await?;

        if !deploy.migrations.is_empty() {
            watch.next(Stage::Migrate);
            self.migrate(key, deploy.migrations).await?;
        }

        if let Some(path) = &deploy.health {
            watch.next(Stage::Probe);
            self.probe(tenant, &version, path).await?;
        }

        watch.next(Stage::Switch);
        let change = match deploy.rollout {
            Rollout::All => Change::Promote(version.id),
            Rollout::Part {
                percent,
                sticky_header,
            } => Change::Split(Canary {
                version: version.id,
                percent,
                sticky_header,
            }),
            Rollout::Nothing => {
                let serving = catalog.serving(tenant, &key.1).await?;
                return Ok((version, serving.map(|serving| serving.traffic)));
            }
        };
        let once = deploy.once.map(|once| (once, version.id));
        let traffic = self.switch(key, change, Action::Deploy, by, once).await?;
        Ok((version, Some(traffic)))
    }

    /// Gives a version that is there all requests of its app, or a part of them.
    ///
    /// # Errors
    ///
    /// When there is no such version, or it can't be; what serves goes on serving.
    pub async fn promote(
        &self,
        tenant: &TenantId,
        app: &AppName,
        change: Change,
        by: &Actor,
    ) -> Result<Traffic, DeployError> {
        let key = (tenant.clone(), app.clone());
        let _one_at_a_time = self.locks.lock(&key).await;
        self.switch(&key, change, Action::Promote, by, None).await
    }

    /// Goes back to what served before: nothing is built, and nothing compiled unless its code has gone.
    ///
    /// # Errors
    ///
    /// When there is nothing to go back to; what serves goes on serving.
    pub async fn roll_back(
        &self,
        tenant: &TenantId,
        app: &AppName,
        to: Option<VersionId>,
        by: &Actor,
    ) -> Result<Traffic, DeployError> {
        let key = (tenant.clone(), app.clone());
        let _one_at_a_time = self.locks.lock(&key).await;
        let change = to.map_or(Change::Back, Change::Promote);
        self.switch(&key, change, Action::Rollback, by, None).await
    }

    /// Removes an app with all its versions, its secrets, its key-value data and its databases. Says whether there was one. Requests
    /// that are in go on.
    ///
    /// # Errors
    ///
    /// When the store can't forget it; then it goes on serving.
    pub async fn remove_app(
        &self,
        tenant: &TenantId,
        app: &AppName,
        by: &Actor,
    ) -> Result<bool, DeployError> {
        let key = (tenant.clone(), app.clone());
        let _one_at_a_time = self.locks.lock(&key).await;
        let _switching = self.switching.lock().await;
        let table = self.apps.lock().changed(&self.edge.routes(), &key, None);
        let table = table.map_err(DeployError::Routes)?;
        let note = note(by, Action::RemoveApp, app.as_str(), String::new());
        let removed = self.store.catalog().remove_app(tenant, app, note).await?;
        self.edge.switch_routes(table);
        self.triggers.remove(tenant, app);
        self.secrets.forget(tenant, app);
        let removal = self.targets.kept().forget_app(tenant, app);
        // Where that fails there is a warning, and the next process begins with nothing.
        are_removed(vec![removal]).await;
        let functions = self.apps.lock().functions_of(&key);
        self.apps.lock().remove(&key);
        self.previews.forget(&key);
        self.forget_lines(tenant, app).await;
        self.previews.retire_unused(&key, functions);
        self.tell_of_change();
        if removed {
            self.forget_data(&key).await;
        }
        Ok(removed)
    }

    fn claims(&self, app: &App) -> Result<BTreeSet<HostPattern>, DeployError> {
        self.domain.claims(app).map_err(DeployError::HostTaken)
    }

    async fn check_free(
        &self,
        tenant: &TenantId,
        hosts: BTreeSet<HostPattern>,
    ) -> Result<(), DeployError> {
        let taken = self.store.catalog().taken_host(tenant, hosts).await?;
        taken.map_or(Ok(()), |host| Err(DeployError::HostTaken(host)))
    }

    /// Looks at the bytes of every component: whether it can be served, in which world, and whether what it imports
    /// is there.
    async fn verified(
        &self,
        tenant: &TenantId,
        app: &App,
        components: Components,
    ) -> Result<Verified, DeployError> {
        let mut verified = Verified::new();
        match components {
            Components::Bytes(components) => {
                for (name, bytes) in components {
                    // Whoever runs `up` built them.
                    let inspected = inspect(&bytes, self.inspect_limits);
                    let world = self.world(app, &name, inspected)?;
                    verified.insert(name, (Stored::Not(bytes), world));
                }
            }
            Components::Stored(digests) => {
                for (name, digest) in digests {
                    // A stranger's bytes are read in a process of their own.
                    let path = self.store.artifacts().local_file(tenant, digest).await?;
                    let inspected = self
                        .code
                        .inspect(tenant, &path, digest, self.inspect_limits)
                        .await
                        .map_err(|source| DeployError::Compile {
                            function: name.clone(),
                            source,
                        })?;
                    let world = self.world(app, &name, inspected)?;
                    verified.insert(name, (Stored::As(digest), world));
                }
            }
        }
        Ok(verified)
    }

    fn world(
        &self,
        app: &App,
        name: &FunctionName,
        inspected: Result<ComponentFacts, InspectError>,
    ) -> Result<everwarm_manifest::World, DeployError> {
        let facts = inspected.map_err(|source| DeployError::Inspect {
            function: name.clone(),
            source,
        })?;
        // A component without a function is told of when the version is put together.
        let Some(function) = app.function(name.as_str()) else {
            return Ok(everwarm_manifest::World::Wasi02);
        };
        let world = facts.world_for(function.world, function.isolation);
        let world = world.map_err(|source| DeployError::World {
            function: name.clone(),
            source,
        })?;
        check_imports(&facts, &self.runtime.interfaces(world)).map_err(|missing| {
            DeployError::Imports {
                function: name.clone(),
                missing,
            }
        })?;
        Ok(world)
    }

    async fn stored(
        &self,
        tenant: &TenantId,
        verified: Verified,
        quotas: Quotas,
    ) -> Result<BTreeMap<FunctionName, Component>, DeployError> {
        let mut components = BTreeMap::new();
        for (name, (stored, world)) in verified {
            let digest = match stored {
                Stored::As(digest) => digest,
                Stored::Not(bytes) => {
                    let put = self
                        .store
                        .artifacts()
                        .put(tenant, bytes, quotas.artifact_bytes);
                    put.await?
                }
            };
            components.insert(name, Component { digest, world });
        }
        Ok(components)
    }

    /// Makes sure that a version's code is there. All functions are asked for at once; how many compile at once is
    /// the compiler's business.
    async fn compile(&self, tenant: &TenantId, version: &Version) -> Result<(), DeployError> {
        let specs: Vec<_> = specs(tenant, version).collect();
        try_join_all(specs.iter().map(|spec| self.code.make(spec))).await?;
        Ok(())
    }

    /// Asks the new version, which serves nobody yet.
    async fn probe(
        &self,
        tenant: &TenantId,
        version: &Version,
        path: &str,
    ) -> Result<(), DeployError> {
        let failed = |reason: String| DeployError::NoAnswer {
            path: path.to_owned(),
            reason,
        };
        let live = LiveVersion::new(tenant, version, &self.domain, &self.targets);
        let table = live.table_at_any_host().map_err(DeployError::Routes)?;
        let mut request = Request::new(RequestBody::Empty);
        *request.uri_mut() = path
            .parse::<Uri>()
            .map_err(|error| failed(error.to_string()))?;
        let host = self.domain.preview_host(&version.manifest.name, version.id);
        let host = host.as_ref().map_or("localhost", |host| host.as_str());
        if let Ok(host) = HeaderValue::from_str(host) {
            request.headers_mut().insert(header::HOST, host);
        }
        let answered = self.plane.invoke(request, Some(Arc::new(table))).await;
        let status = answered
            .map_err(|error| failed(error.to_string()))?
            .status();
        if status.is_success() {
            return Ok(());
        }
        Err(DeployError::Unhealthy {
            path: path.to_owned(),
            status,
        })
    }

    /// Changes an app's traffic: in the store, and then, at once, for all requests that come after. The caller holds
    /// the app's lock.
    async fn switch(
        &self,
        key: &AppKey,
        change: Change,
        action: Action,
        by: &Actor,
        once: Option<(Once, VersionId)>,
    ) -> Result<Traffic, DeployError> {
        let (tenant, app) = key;
        let catalog = self.store.catalog();
        let before = catalog.serving(tenant, app).await?;
        let traffic = Traffic::changed(before.as_ref().map(|serving| &serving.traffic), change)?;
        let main = self.version(key, traffic.main).await?;
        let canary = match &traffic.canary {
            Some(canary) => Some(self.version(key, canary.version).await?),
            None => None,
        };
        let mut hosts = self.claims(&main.manifest)?;
        if let Some(canary) = &canary {
            hosts.extend(self.claims(&canary.manifest)?);
        }
        let serving = Serving {
            tenant: tenant.clone(),
            traffic: traffic.clone(),
            main,
            canary,
        };
        for version in std::iter::once(&serving.main).chain(&serving.canary) {
            // Code that has gone since the version was deployed.
            self.compile(tenant, version).await?;
        }

        let _switching = self.switching.lock().await;
        let live = LiveApp::new(&serving, &self.domain, &self.targets);
        let new = live.functions();
        let done = async {
            self.load(&live).await?;
            // Before routes are compared: a conflict names the app that it is with, which is another tenant's then.
            self.check_free(tenant, hosts.clone()).await?;
            let table = self
                .apps
                .lock()
                .changed(&self.edge.routes(), key, Some(&live));
            let table = table.map_err(DeployError::Routes)?;
            let note = note(by, action, app.as_str(), describe(&traffic));
            let set = catalog.set_traffic(tenant, app, traffic.clone(), hosts, note, once);
            set.await?;
            Ok(table)
        };
        match done.await {
            Ok(table) => {
                self.edge.switch_routes(table);
                let old = self.apps.lock().functions_of(key);
                self.apps.lock().add(key.clone(), live);
                self.previews.retire_unused(key, old);
                self.set_triggers(tenant, &serving.main.manifest, Occasion::Deploy);
                self.tell_of_change();
                Ok(traffic)
            }
            Err(error) => {
                // What was made ready for it serves nobody.
                self.previews.retire_unused(key, new);
                Err(error)
            }
        }
    }

    async fn version(&self, (tenant, app): &AppKey, id: VersionId) -> Result<Version, DeployError> {
        let version = self.store.catalog().version(tenant, app, id).await?;
        Ok(version.ok_or_else(|| CatalogError::UnknownVersion {
            app: app.clone(),
            version: id,
        })?)
    }

    /// Maps the functions of what will serve before they get their first request.
    async fn load(&self, app: &LiveApp) -> Result<(), DeployError> {
        for site in app.sites() {
            site.open().await?;
        }
        for target in app.targets() {
            let loaded = self.resident.get(&target.slot, Instant::now()).await;
            loaded.map_err(|source| DeployError::Load {
                function: target.slot.spec().name.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

/// Components that can be served, with the world that each is served in.
type Verified = BTreeMap<FunctionName, (Stored, everwarm_manifest::World)>;

/// Whether the store has a component.
enum Stored {
    As(everwarm_manifest::Digest),
    Not(bytes::Bytes),
}

/// Traffic in a line, for the audit log.
fn describe(traffic: &Traffic) -> String {
    let main = traffic.main.short();
    match &traffic.canary {
        None => format!("all to {main}"),
        Some(canary) => {
            let (percent, version) = (canary.percent.get(), canary.version.short());
            format!("{percent} % to {version}, the rest to {main}")
        }
    }
}

/// An entry of the audit log.
pub(crate) fn note(by: &Actor, action: Action, subject: &str, mut detail: String) -> Note {
    detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
    Note {
        at: UnixMillis::now(),
        actor: by.0.clone(),
        action,
        subject: subject.to_owned(),
        detail,
    }
}
