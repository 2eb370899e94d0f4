//! Versions that are asked for by hosts of their own: read from the store when somebody asks, and kept for a while.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use everwarm_edge::dispatch::Route;
use everwarm_edge::previews::{Finding, Previews};
use everwarm_edge::router::RouteTable;
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::resident::FunctionKey;
use everwarm_manifest::AppName;
use everwarm_store::Store as _;
use everwarm_store::catalog::CatalogError;
use everwarm_store::embedded::Embedded;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::apps::{AppKey, Apps, LiveVersion};
use crate::domain::{Domain, PreviewName};
use crate::targets::Targets;

/// Look-ups in the store at once: strangers ask, and those who change something wait in the same queue.
const LOOKUPS_MAX: usize = 4;
/// Previews that are kept; the one that was asked for longest ago goes first.
const KEPT_MAX: usize = 64;

/// See the module's documentation.
pub(crate) struct StoredPreviews {
    store: Arc<Embedded>,
    domain: Domain,
    targets: Arc<Targets>,
    apps: Arc<Mutex<Apps>>,
    /// The latest asked for is the last.
    kept: Mutex<VecDeque<Kept>>,
    lookups: Semaphore,
}

struct Kept {
    app: AppKey,
    digits: String,
    table: Arc<RouteTable<Route>>,
    functions: Vec<FunctionKey>,
}

impl StoredPreviews {
    pub(crate) fn new(
        store: Arc<Embedded>,
        domain: Domain,
        targets: Arc<Targets>,
        apps: Arc<Mutex<Apps>>,
    ) -> Self {
        Self {
            store,
            domain,
            targets,
            apps,
            kept: Mutex::default(),
            lookups: Semaphore::new(LOOKUPS_MAX),
        }
    }

    /// Retires those of an app's functions that neither serve nor are looked at.
    pub(crate) fn retire_unused(&self, app: &AppKey, mut functions: HashSet<FunctionKey>) {
        let live = self.apps.lock().functions_of(app);
        functions.retain(|function| !live.contains(function));
        for kept in self.kept.lock().iter().filter(|kept| kept.app == *app) {
            for function in &kept.functions {
                functions.remove(function);
            }
        }
        self.targets.retire(&functions);
    }

    /// Forgets the previews of an app: it, or versions of it, are gone.
    pub(crate) fn forget(&self, app: &AppKey) {
        let mut gone = HashSet::new();
        self.kept.lock().retain(|kept| {
            let stays = kept.app != *app;
            if !stays {
                gone.extend(kept.functions.iter().cloned());
            }
            stays
        });
        self.retire_unused(app, gone);
    }

    fn kept(&self, app: &AppKey, digits: &str) -> Option<Arc<RouteTable<Route>>> {
        let mut kept = self.kept.lock();
        let index = kept
            .iter()
            .position(|kept| kept.app == *app && kept.digits == digits)?;
        let found = kept.remove(index)?;
        let table = Arc::clone(&found.table);
        kept.push_back(found);
        Some(table)
    }

    async fn find_of(
        &self,
        app: AppKey,
        digits: String,
    ) -> Result<Option<Arc<RouteTable<Route>>>, CatalogError> {
        if let Some(table) = self.kept(&app, &digits) {
            return Ok(Some(table));
        }
        let _turn = self.turn().await;
        // Another request may have found it meanwhile.
        if let Some(table) = self.kept(&app, &digits) {
            return Ok(Some(table));
        }
        self.look_up(app, digits).await
    }

    async fn turn(&self) -> SemaphorePermit<'_> {
        let turn = self.lookups.acquire().await;
        turn.expect("the semaphore is never closed")
    }

    async fn find_by_version(
        &self,
        app: AppName,
        digits: String,
    ) -> Result<Option<Arc<RouteTable<Route>>>, CatalogError> {
        let owners = {
            let _turn = self.turn().await;
            let catalog = self.store.catalog();
            catalog.owners_of_version(&app, &digits, 2).await?
        };
        // Two tenants have it: neither is meant.
        let [(tenant, _)] = &owners[..] else {
            return Ok(None);
        };
        self.find_of((tenant.clone(), app), digits).await
    }

    /// Keeps one more, and gives the one that has to go for it.
    fn keep(&self, preview: Kept) -> Option<Kept> {
        let mut kept = self.kept.lock();
        kept.push_back(preview);
        if kept.len() > KEPT_MAX {
            kept.pop_front()
        } else {
            None
        }
    }

    async fn look_up(
        &self,
        app: AppKey,
        digits: String,
    ) -> Result<Option<Arc<RouteTable<Route>>>, CatalogError> {
        let (tenant, name) = &app;
        let catalog = self.store.catalog();
        let found = catalog
            .versions_with_digits(tenant, name, &digits, 2)
            .await?;
        // Two versions with the same twelve digits: neither is meant.
        let [id] = found[..] else { return Ok(None) };
        let Some(version) = catalog.version(tenant, name, id).await? else {
            return Ok(None);
        };
        let live = LiveVersion::new(tenant, &version, &self.domain, &self.targets);
        let Ok(table) = live.table_at_any_host() else {
            return Ok(None);
        };
        let table = Arc::new(table);
        let specs = live.targets().map(|target| target.slot.spec());
        let functions = specs.map(|spec: &Arc<FunctionSpec>| FunctionKey::of(spec));
        let functions = functions.collect();
        let gone = self.keep(Kept {
            app,
            digits,
            table: Arc::clone(&table),
            functions,
        });
        if let Some(gone) = gone {
            self.retire_unused(&gone.app, gone.functions.into_iter().collect());
        }
        Ok(Some(table))
    }
}

impl Previews for StoredPreviews {
    fn is_preview(&self, host: &str) -> bool {
        self.domain.preview(host).is_some()
    }

    fn find<'a>(&'a self, host: &'a str) -> Finding<'a> {
        Box::pin(async move {
            let PreviewName { app, digits } = self.domain.preview(host)?;
            let owner = self.apps.lock().owner_of(&app).cloned();
            let found = match owner {
                Some(tenant) => self.find_of((tenant, app), digits).await,
                // Nothing of the app serves yet: its version says whose it is.
                None => self.find_by_version(app, digits).await,
            };
            found.unwrap_or_else(|error| {
                tracing::error!(%error, %host, "a preview can't be read from the store");
                None
            })
        })
    }
}
