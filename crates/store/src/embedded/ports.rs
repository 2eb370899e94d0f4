//! The ports whose every method is one job on the catalog's thread. Owns nothing but the way there.

use std::collections::BTreeSet;

use everwarm_manifest::{AppName, HostPattern, TenantId};

use super::{Embedded, accounts, apps, audit, catalog, hosts, once, prune, usage};
use crate::accounts::{AccountError, Accounts, Quotas, Tenant, Token, TokenId};
use crate::audit::{Audit, AuditError, Entry, Note};
use crate::catalog::{
    AppSummary, Catalog, CatalogError, NewVersion, Serving, UnixMillis, Version, VersionId,
};
use crate::once::{Done, IdempotencyKey, Once};
use crate::traffic::Traffic;
use crate::usage::{Batch, Row, UnixHour, UsageError, UsageLog};
use crate::{EngineError, StoreFuture};

fn catalog_stopped(source: EngineError) -> CatalogError {
    CatalogError::Failed {
        doing: "change or read its catalog",
        source,
    }
}

fn accounts_stopped(source: EngineError) -> AccountError {
    AccountError::Failed {
        doing: "change or read its catalog",
        source,
    }
}

fn usage_stopped(source: EngineError) -> UsageError {
    UsageError::Failed {
        doing: "change or read its catalog",
        source,
    }
}

impl Catalog for Embedded {
    fn put_version<'a>(
        &'a self,
        tenant: &'a TenantId,
        version: NewVersion,
        apps_max: u32,
    ) -> StoreFuture<'a, Result<Version, CatalogError>> {
        let tenant = tenant.clone();
        Box::pin(self.on_catalog(
            move |connection| catalog::put_version(connection, &tenant, version, apps_max),
            catalog_stopped,
        ))
    }

    fn version<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        version: VersionId,
    ) -> StoreFuture<'a, Result<Option<Version>, CatalogError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(self.on_catalog(
            move |connection| catalog::version(connection, &tenant, &app, version),
            catalog_stopped,
        ))
    }

    fn versions_with_digits<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        digits: &'a str,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<VersionId>, CatalogError>> {
        let (tenant, app, digits) = (tenant.clone(), app.clone(), digits.to_owned());
        Box::pin(self.on_catalog(
            move |connection| {
                catalog::versions_with_digits(connection, &tenant, &app, &digits, count_max)
            },
            catalog_stopped,
        ))
    }

    fn versions<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        before: Option<VersionId>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<Version>, CatalogError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(self.on_catalog(
            move |connection| catalog::versions(connection, &tenant, &app, before, count_max),
            catalog_stopped,
        ))
    }

    fn owners_of_version<'a>(
        &'a self,
        app: &'a AppName,
        digits: &'a str,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<(TenantId, VersionId)>, CatalogError>> {
        let (app, digits) = (app.clone(), digits.to_owned());
        Box::pin(self.on_catalog(
            move |connection| catalog::owners_of_version(connection, &app, &digits, count_max),
            catalog_stopped,
        ))
    }

    fn done<'a>(
        &'a self,
        tenant: &'a TenantId,
        key: &'a IdempotencyKey,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Option<Done>, CatalogError>> {
        let (tenant, key) = (tenant.clone(), key.clone());
        Box::pin(self.on_catalog(
            move |connection| {
                once::done(connection, &tenant, &key, now)
                    .map_err(catalog::failed("look for an idempotency key"))
            },
            catalog_stopped,
        ))
    }

    fn taken_host<'a>(
        &'a self,
        tenant: &'a TenantId,
        hosts: BTreeSet<HostPattern>,
    ) -> StoreFuture<'a, Result<Option<HostPattern>, CatalogError>> {
        let tenant = tenant.clone();
        Box::pin(self.on_catalog(
            move |connection| {
                hosts::taken(connection, &tenant, &hosts).map_err(|error| CatalogError::Failed {
                    doing: "look for hosts",
                    source: Box::new(error),
                })
            },
            catalog_stopped,
        ))
    }

    fn set_traffic<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        traffic: Traffic,
        hosts: BTreeSet<HostPattern>,
        note: Note,
        once: Option<(Once, VersionId)>,
    ) -> StoreFuture<'a, Result<(), CatalogError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(self.on_catalog(
            move |connection| {
                let asked = catalog::Asked {
                    traffic,
                    hosts,
                    note,
                    once,
                };
                catalog::set_traffic(connection, &tenant, &app, &asked)
            },
            catalog_stopped,
        ))
    }

    fn serving<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Option<Serving>, CatalogError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(self.on_catalog(
            move |connection| catalog::serving(connection, &tenant, &app),
            catalog_stopped,
        ))
    }

    fn list_serving(&self) -> StoreFuture<'_, Result<Vec<Serving>, CatalogError>> {
        Box::pin(self.on_catalog(catalog::list_serving, catalog_stopped))
    }

    fn apps<'a>(
        &'a self,
        tenant: &'a TenantId,
        after: Option<&'a AppName>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<AppSummary>, CatalogError>> {
        let (tenant, after) = (tenant.clone(), after.cloned());
        Box::pin(self.on_catalog(
            move |connection| apps::apps(connection, &tenant, after.as_ref(), count_max),
            catalog_stopped,
        ))
    }

    fn app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Option<AppSummary>, CatalogError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(self.on_catalog(
            move |connection| apps::app(connection, &tenant, &app),
            catalog_stopped,
        ))
    }

    fn remove_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        note: Note,
    ) -> StoreFuture<'a, Result<bool, CatalogError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(self.on_catalog(
            move |connection| apps::remove_app(connection, &tenant, &app, &note),
            catalog_stopped,
        ))
    }

    fn is_removed<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<bool, CatalogError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(self.on_catalog(
            move |connection| apps::is_removed(connection, &tenant, &app),
            catalog_stopped,
        ))
    }

    fn prune_versions<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        keep: u32,
    ) -> StoreFuture<'a, Result<Vec<VersionId>, CatalogError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(self.on_catalog(
            move |connection| prune::prune_versions(connection, &tenant, &app, keep),
            catalog_stopped,
        ))
    }
}

impl Accounts for Embedded {
    fn put_tenant<'a>(
        &'a self,
        id: &'a TenantId,
        quotas: Quotas,
        note: Note,
    ) -> StoreFuture<'a, Result<Tenant, AccountError>> {
        let id = id.clone();
        Box::pin(self.on_catalog(
            move |connection| accounts::put_tenant(connection, &id, quotas, &note),
            accounts_stopped,
        ))
    }

    fn tenant<'a>(
        &'a self,
        id: &'a TenantId,
    ) -> StoreFuture<'a, Result<Option<Tenant>, AccountError>> {
        let id = id.clone();
        Box::pin(self.on_catalog(
            move |connection| accounts::tenant(connection, &id),
            accounts_stopped,
        ))
    }

    fn tenants<'a>(
        &'a self,
        after: Option<&'a TenantId>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<Tenant>, AccountError>> {
        let after = after.cloned();
        Box::pin(self.on_catalog(
            move |connection| accounts::tenants(connection, after.as_ref(), count_max),
            accounts_stopped,
        ))
    }

    fn remove_tenant<'a>(
        &'a self,
        id: &'a TenantId,
        note: Note,
    ) -> StoreFuture<'a, Result<bool, AccountError>> {
        let id = id.clone();
        Box::pin(self.on_catalog(
            move |connection| accounts::remove_tenant(connection, &id, &note),
            accounts_stopped,
        ))
    }

    fn put_token(
        &self,
        token: Token,
        count_max: u32,
        note: Note,
    ) -> StoreFuture<'_, Result<(), AccountError>> {
        Box::pin(self.on_catalog(
            move |connection| accounts::put_token(connection, &token, count_max, &note),
            accounts_stopped,
        ))
    }

    fn token(&self, id: TokenId) -> StoreFuture<'_, Result<Option<Token>, AccountError>> {
        Box::pin(self.on_catalog(
            move |connection| accounts::token(connection, id),
            accounts_stopped,
        ))
    }

    fn tokens<'a>(
        &'a self,
        owner: Option<&'a TenantId>,
    ) -> StoreFuture<'a, Result<Vec<Token>, AccountError>> {
        let owner = owner.cloned();
        Box::pin(self.on_catalog(
            move |connection| accounts::tokens(connection, owner.as_ref()),
            accounts_stopped,
        ))
    }

    fn remove_token<'a>(
        &'a self,
        owner: Option<&'a TenantId>,
        id: TokenId,
        note: Note,
    ) -> StoreFuture<'a, Result<bool, AccountError>> {
        let owner = owner.cloned();
        Box::pin(self.on_catalog(
            move |connection| accounts::remove_token(connection, owner.as_ref(), id, &note),
            accounts_stopped,
        ))
    }
}

impl Audit for Embedded {
    fn entries<'a>(
        &'a self,
        tenant: Option<&'a TenantId>,
        before: Option<u64>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<Entry>, AuditError>> {
        let tenant = tenant.cloned();
        Box::pin(self.on_catalog(
            move |connection| audit::entries(connection, tenant.as_ref(), before, count_max),
            AuditError,
        ))
    }

    fn announce<'a>(
        &'a self,
        tenant: &'a TenantId,
        note: Note,
    ) -> StoreFuture<'a, Result<(), AuditError>> {
        let tenant = tenant.clone();
        Box::pin(self.on_catalog(
            move |connection| audit::announce(connection, &tenant, &note),
            AuditError,
        ))
    }
}

impl UsageLog for Embedded {
    fn add(&self, batch: Batch) -> StoreFuture<'_, Result<(), UsageError>> {
        Box::pin(self.on_catalog(
            move |connection| usage::add(connection, &batch),
            usage_stopped,
        ))
    }

    fn rows<'a>(
        &'a self,
        tenant: Option<&'a TenantId>,
        from: UnixHour,
        until: UnixHour,
        rows_max: u32,
    ) -> StoreFuture<'a, Result<Vec<Row>, UsageError>> {
        let tenant = tenant.cloned();
        Box::pin(self.on_catalog(
            move |connection| usage::rows(connection, tenant.as_ref(), from, until, rows_max),
            usage_stopped,
        ))
    }
}
