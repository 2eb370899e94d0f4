//! The apps that a file has something of.
//!
//! Owns the list, which all such files have: a table `app` with a row for each app, by tenant and name. What else is in
//! the row is the data's own.

use everwarm_manifest::{AppName, TenantId};
use rusqlite::{Connection, params};

use super::{Data, Grouped, damaged, failed};

impl<D: Data> Grouped<D> {
    /// Apps behind this one, in order: so many at most.
    pub(in crate::embedded) fn apps(
        &self,
        after: Option<(&TenantId, &AppName)>,
        count_max: u32,
    ) -> Result<Vec<(TenantId, AppName)>, D::Error> {
        self.read(|connection| {
            let rows = rows(connection, after, count_max).map_err(failed(D::WORDS.read))?;
            rows.into_iter()
                .map(|(tenant, app)| {
                    let tenant = TenantId::new(&tenant).map_err(|error| damaged(&error))?;
                    let app = AppName::new(&app).map_err(|error| damaged(&error))?;
                    Ok((tenant, app))
                })
                .collect()
        })
    }
}

fn rows(
    connection: &Connection,
    after: Option<(&TenantId, &AppName)>,
    count_max: u32,
) -> rusqlite::Result<Vec<(String, String)>> {
    let mut query = connection.prepare_cached(
        "SELECT tenant, name FROM app WHERE (tenant, name) > (?1, ?2)
         ORDER BY tenant, name LIMIT ?3",
    )?;
    let (tenant, app) = after.map_or(("", ""), |(tenant, app)| (tenant.as_str(), app.as_str()));
    let rows = query.query_map(params![tenant, app, count_max], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    rows.collect()
}
