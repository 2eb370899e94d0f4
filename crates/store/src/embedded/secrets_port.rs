//! The port for secrets: each method is one job on the catalog's thread. Owns nothing but the way there.

use bytes::Bytes;
use everwarm_manifest::ConfigName;

use super::{Embedded, audit, secrets};
use crate::audit::Note;
use crate::secrets::{
    NewSecret, RowKey, SealedRow, SecretBounds, SecretError, SecretSummary, Secrets, SecretsOf,
};
use crate::{EngineError, StoreFuture};

fn stopped(source: EngineError) -> SecretError {
    SecretError::Failed {
        doing: "change or read its catalog",
        source,
    }
}

impl Secrets for Embedded {
    fn next_version<'a>(
        &'a self,
        app: &'a SecretsOf,
        name: &'a ConfigName,
    ) -> StoreFuture<'a, Result<u32, SecretError>> {
        let (of, name) = (app.clone(), name.clone());
        Box::pin(self.on_catalog(
            move |connection| secrets::next_version(connection, &of, &name),
            stopped,
        ))
    }

    fn put<'a>(
        &'a self,
        app: &'a SecretsOf,
        name: &'a ConfigName,
        new: NewSecret,
        bounds: SecretBounds,
        note: Note,
    ) -> StoreFuture<'a, Result<(), SecretError>> {
        let (of, name) = (app.clone(), name.clone());
        Box::pin(self.on_catalog(
            move |connection| secrets::put(connection, &of, &name, &new, bounds, &note),
            stopped,
        ))
    }

    fn set_current<'a>(
        &'a self,
        app: &'a SecretsOf,
        name: &'a ConfigName,
        to: Option<u32>,
        bounds: SecretBounds,
        note: Note,
    ) -> StoreFuture<'a, Result<u32, SecretError>> {
        let (of, name) = (app.clone(), name.clone());
        Box::pin(self.on_catalog(
            move |connection| secrets::set_current(connection, &of, &name, to, bounds, &note),
            stopped,
        ))
    }

    fn remove<'a>(
        &'a self,
        app: &'a SecretsOf,
        name: &'a ConfigName,
        note: Note,
    ) -> StoreFuture<'a, Result<bool, SecretError>> {
        let (of, name) = (app.clone(), name.clone());
        Box::pin(self.on_catalog(
            move |connection| secrets::remove(connection, &of, &name, &note),
            stopped,
        ))
    }

    fn list<'a>(
        &'a self,
        app: &'a SecretsOf,
    ) -> StoreFuture<'a, Result<Vec<SecretSummary>, SecretError>> {
        let of = app.clone();
        Box::pin(self.on_catalog(move |connection| secrets::list(connection, &of), stopped))
    }

    fn current<'a>(
        &'a self,
        app: &'a SecretsOf,
    ) -> StoreFuture<'a, Result<Vec<SealedRow>, SecretError>> {
        let of = app.clone();
        Box::pin(self.on_catalog(move |connection| secrets::current(connection, &of), stopped))
    }

    fn rows<'a>(
        &'a self,
        after: Option<&'a RowKey>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<SealedRow>, SecretError>> {
        let after = after.cloned();
        Box::pin(self.on_catalog(
            move |connection| secrets::rows(connection, after.as_ref(), count_max),
            stopped,
        ))
    }

    fn reseal<'a>(
        &'a self,
        row: &'a RowKey,
        before: Bytes,
        after: Bytes,
    ) -> StoreFuture<'a, Result<bool, SecretError>> {
        let row = row.clone();
        Box::pin(self.on_catalog(
            move |connection| secrets::reseal(connection, &row, &before, &after),
            stopped,
        ))
    }

    fn note_rotation(&self, note: Note) -> StoreFuture<'_, Result<(), SecretError>> {
        Box::pin(self.on_catalog(
            move |connection| {
                audit::insert(connection, None, &note)
                    .map_err(secrets::failed("keep an entry of the audit log"))
            },
            stopped,
        ))
    }
}
