//! What an app keeps, as deploys and removals touch it: migrations of its SQL databases, and that nothing of it is left
//! when the app is gone.

use everwarm_manifest::DatabaseName;
use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::sql::{Database, Migrations, Terms};

use crate::apps::AppKey;
use crate::deploy::DeployError;
use crate::node::Node;

impl Node {
    /// Brings the app's databases up to date, one after the other. The version that serves has what the new one has from
    /// then on: a migration leaves what it needs.
    pub(crate) async fn migrate(
        &self,
        (tenant, app): &AppKey,
        migrations: Vec<(DatabaseName, Migrations)>,
    ) -> Result<(), DeployError> {
        for (name, migrations) in migrations {
            let database = Database {
                tenant: tenant.clone(),
                app: app.clone(),
                name,
            };
            let (terms, now) = (Terms::default().for_migrations(), UnixMillis::now());
            let applied = self.store.sql().migrate(&database, migrations, terms, now);
            let applied = applied.await.map_err(|source| DeployError::Migrate {
                database: database.name.clone(),
                source,
            })?;
            if !applied.is_empty() {
                tracing::info!(%app, database = %database.name, ?applied, "migrations are applied");
            }
        }
        Ok(())
    }

    /// Forgets what an app of that name kept that was removed, if its removal was cut short or a late request wrote once
    /// more.
    pub(crate) async fn forget_leftovers(&self, (tenant, app): &AppKey) -> Result<(), DeployError> {
        if self.store.catalog().is_removed(tenant, app).await? {
            self.store.kv().remove_app(tenant, app).await?;
            self.store.sql().remove_app(tenant, app).await?;
            self.store.triggers().remove_app(tenant, app).await?;
            self.store.blobs().remove_app(tenant, app).await?;
        }
        Ok(())
    }

    /// Forgets what an app kept that is removed. The app is gone all the same when this fails: `keeping` finds what
    /// stays.
    pub(crate) async fn forget_data(&self, (tenant, app): &AppKey) {
        if let Err(error) = self.store.kv().remove_app(tenant, app).await {
            tracing::error!(%tenant, %app, %error, "key-value data of a removed app stays for now");
        }
        if let Err(error) = self.store.sql().remove_app(tenant, app).await {
            tracing::error!(%tenant, %app, %error, "SQL databases of a removed app stay for now");
        }
        if let Err(error) = self.store.triggers().remove_app(tenant, app).await {
            tracing::error!(%tenant, %app, %error, "queues of a removed app stay for now");
        }
        if let Err(error) = self.store.blobs().remove_app(tenant, app).await {
            tracing::error!(%tenant, %app, %error, "blobs of a removed app stay for now");
        }
    }
}
