//! What served when a node last ran: read from its store, and served again.
//!
//! Touches no component and no code, so that a start costs little whatever the apps are.

use std::collections::HashSet;

use everwarm_store::Store as _;
use everwarm_store::accounts::Tenant;
use everwarm_store::catalog::Serving;
use everwarm_store::embedded::Embedded;
use everwarm_triggers::Occasion;

use crate::apps::{Apps, LiveApp};
use crate::node::Node;
use crate::start_error::StartError;

/// Tenants that are asked for at once.
const TENANTS_A_PAGE: u32 = 1_000;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Served {
    tenants: Vec<Tenant>,
    apps: Vec<Serving>,
}

impl Served {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`StartError::Unreadable`].
    pub(crate) async fn read(store: &Embedded) -> Result<Self, StartError> {
        let mut tenants: Vec<Tenant> = Vec::new();
        loop {
            let after = tenants.last().map(|tenant| &tenant.id);
            let page = store.accounts().tenants(after, TENANTS_A_PAGE).await;
            let page = page.map_err(|error| unreadable(store, "EW4003", error))?;
            if page.is_empty() {
                break;
            }
            tenants.extend(page);
        }
        let apps = store.catalog().list_serving().await;
        let apps = apps.map_err(|error| unreadable(store, error.code(), error))?;
        Ok(Self { tenants, apps })
    }
}

impl Node {
    /// Serves it again, and nothing else.
    ///
    /// # Errors
    ///
    /// [`StartError::Routes`], which a store that was changed by nobody else never causes.
    pub(crate) fn serve_again(&self, served: &Served) -> Result<(), StartError> {
        for tenant in &served.tenants {
            self.targets.set_quotas(&tenant.id, tenant.quotas);
        }
        self.app_quotas.set_all(&served.tenants);
        let mut apps = Apps::default();
        for serving in &served.apps {
            let key = (serving.tenant.clone(), serving.main.manifest.name.clone());
            let live = LiveApp::new(serving, &self.domain, &self.targets);
            apps.add(key, live);
        }
        let table = apps.table().map_err(StartError::Routes)?;
        self.edge.switch_routes(table);
        *self.apps.lock() = apps;
        // Another process may have had the store, and removed some.
        let names = served.apps.iter();
        let names: HashSet<_> = names
            .map(|serving| (&serving.tenant, &serving.main.manifest.name))
            .collect();
        self.triggers
            .remove_all_but(|tenant, app| names.contains(&(tenant, app)));
        for serving in &served.apps {
            self.set_triggers(&serving.tenant, &serving.main.manifest, Occasion::Start);
        }
        Ok(())
    }
}

fn unreadable(
    store: &Embedded,
    code: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> StartError {
    StartError::Unreadable {
        data_dir: store.data_dir().root().to_owned(),
        code,
        source: Box::new(source),
    }
}
