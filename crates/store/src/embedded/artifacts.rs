//! Artifacts: a file for the bytes, and a row that says whose they are and since when.
//!
//! Owns the order of the two, so that no row is without its file. A file without a row is what a crash left; the
//! next collection removes it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use everwarm_manifest::{Digest, TenantId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Embedded;
use crate::artifacts::{ArtifactError, Artifacts, Collected};
use crate::catalog::UnixMillis;
use crate::{EngineError, StoreFuture};

fn stopped(source: EngineError) -> ArtifactError {
    ArtifactError::Failed {
        doing: "use its folder".to_owned(),
        source,
    }
}

impl Artifacts for Embedded {
    fn put<'a>(
        &'a self,
        tenant: &'a TenantId,
        bytes: Bytes,
        bytes_max: u64,
    ) -> StoreFuture<'a, Result<Digest, ArtifactError>> {
        Box::pin(async move {
            let more = bytes.len() as u64;
            // Before the disk is filled with what may not stay.
            let digest = crate::artifacts::digest_of(&bytes);
            let owner = tenant.clone();
            let asked = move |connection: &mut Connection| {
                check_quota(connection, &owner, digest, more, bytes_max)
            };
            self.on_catalog(asked, stopped).await?;

            let _no_collection = self.uploads.read().await;
            let owner = tenant.clone();
            self.on_files(move |files| files.put(&owner, digest, &bytes), stopped)
                .await?;
            let owner = tenant.clone();
            let record = move |connection: &mut Connection| {
                // Others have put theirs meanwhile.
                check_quota(connection, &owner, digest, more, bytes_max)?;
                insert(connection, &owner, digest, more).map_err(failed("record an artifact"))
            };
            self.on_catalog(record, stopped).await?;
            Ok(digest)
        })
    }

    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        digest: Digest,
    ) -> StoreFuture<'a, Result<Bytes, ArtifactError>> {
        let tenant = tenant.clone();
        Box::pin(self.on_files(move |files| files.get(&tenant, digest), stopped))
    }

    fn local_file<'a>(
        &'a self,
        tenant: &'a TenantId,
        digest: Digest,
    ) -> StoreFuture<'a, Result<PathBuf, ArtifactError>> {
        let tenant = tenant.clone();
        Box::pin(self.on_files(move |files| files.local_file(&tenant, digest), stopped))
    }

    fn contains<'a>(
        &'a self,
        tenant: &'a TenantId,
        digest: Digest,
    ) -> StoreFuture<'a, Result<bool, ArtifactError>> {
        Box::pin(async move {
            let _no_collection = self.uploads.read().await;
            let owner = tenant.clone();
            let exists = self.on_files(move |files| files.contains(&owner, digest), stopped);
            if !exists.await? {
                return Ok(false);
            }
            let owner = tenant.clone();
            let keep = move |connection: &mut Connection| {
                touch(connection, &owner, digest).map_err(failed("keep an artifact for longer"))
            };
            self.on_catalog(keep, stopped).await
        })
    }

    fn bytes_kept<'a>(
        &'a self,
        tenant: &'a TenantId,
    ) -> StoreFuture<'a, Result<u64, ArtifactError>> {
        let tenant = tenant.clone();
        Box::pin(self.on_catalog(
            move |connection| {
                bytes_kept(connection, &tenant).map_err(failed("count a tenant's bytes"))
            },
            stopped,
        ))
    }

    fn digests(&self) -> StoreFuture<'_, Result<BTreeSet<Digest>, ArtifactError>> {
        Box::pin(self.on_catalog(
            |connection| digests(connection).map_err(failed("list the artifacts")),
            stopped,
        ))
    }

    fn collect(&self, before: UnixMillis) -> StoreFuture<'_, Result<Collected, ArtifactError>> {
        Box::pin(async move {
            // A backup has it until it is out, which depends on who takes it: the next collection finds what is left.
            let Ok(_no_backup) = self.collecting.try_lock() else {
                return Ok(Collected::default());
            };
            let _no_upload = self.uploads.write().await;
            let forget = move |connection: &mut Connection| {
                forget_unused(connection, before).map_err(failed("look for unused artifacts"))
            };
            // The rows go first: a crash between leaves files without rows, not rows without files.
            let kept = self.on_catalog(forget, stopped).await?;
            self.on_files(move |files| files.remove_all_but(&kept, before), stopped)
                .await
        })
    }
}

/// Whether so many bytes more may be kept; bytes that are kept already are no more.
fn check_quota(
    connection: &mut Connection,
    tenant: &TenantId,
    digest: Digest,
    more: u64,
    bytes_max: u64,
) -> Result<(), ArtifactError> {
    let failed = failed("count a tenant's bytes");
    let known: Option<i64> = connection
        .query_row(
            "SELECT bytes FROM artifact WHERE tenant = ?1 AND digest = ?2",
            params![tenant.as_str(), digest.as_bytes()],
            |row| row.get(0),
        )
        .optional()
        .map_err(&failed)?;
    if known.is_some() {
        return Ok(());
    }
    let kept = bytes_kept(connection, tenant).map_err(&failed)?;
    if kept.saturating_add(more) > bytes_max {
        return Err(ArtifactError::Quota {
            kept,
            more,
            bytes_max,
        });
    }
    Ok(())
}

fn bytes_kept(connection: &Connection, tenant: &TenantId) -> rusqlite::Result<u64> {
    let bytes: i64 = connection.query_row(
        "SELECT coalesce(sum(bytes), 0) FROM artifact WHERE tenant = ?1",
        params![tenant.as_str()],
        |row| row.get(0),
    )?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

fn digests(connection: &Connection) -> rusqlite::Result<BTreeSet<Digest>> {
    let mut query = connection.prepare("SELECT DISTINCT digest FROM artifact")?;
    let rows = query.query_map([], |row| Ok(Digest::from_bytes(row.get(0)?)))?;
    rows.collect()
}

fn insert(
    connection: &Connection,
    tenant: &TenantId,
    digest: Digest,
    bytes: u64,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO artifact (tenant, digest, bytes, put_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (tenant, digest) DO UPDATE SET put_ms = excluded.put_ms",
        params![
            tenant.as_str(),
            digest.as_bytes(),
            i64::try_from(bytes).unwrap_or(i64::MAX),
            UnixMillis::now().as_i64(),
        ],
    )?;
    Ok(())
}

/// Whether there is such a row.
fn touch(connection: &Connection, tenant: &TenantId, digest: Digest) -> rusqlite::Result<bool> {
    let changed = connection.execute(
        "UPDATE artifact SET put_ms = ?3 WHERE tenant = ?1 AND digest = ?2",
        params![
            tenant.as_str(),
            digest.as_bytes(),
            UnixMillis::now().as_i64(),
        ],
    )?;
    Ok(changed > 0)
}

/// Removes the rows of what nothing refers to, and returns what is left.
fn forget_unused(
    connection: &mut Connection,
    before: UnixMillis,
) -> rusqlite::Result<BTreeSet<(String, [u8; 32])>> {
    let transaction = connection.savepoint()?;
    transaction.execute(
        "DELETE FROM artifact WHERE put_ms < ?1 AND NOT EXISTS (
             SELECT 1 FROM component c
             WHERE c.tenant = artifact.tenant AND c.digest = artifact.digest)
         AND NOT EXISTS (
             SELECT 1 FROM version v
             WHERE v.tenant = artifact.tenant AND v.assets = artifact.digest)",
        params![before.as_i64()],
    )?;
    let kept = {
        let mut query = transaction.prepare("SELECT tenant, digest FROM artifact")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    transaction.commit()?;
    Ok(kept)
}

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> ArtifactError {
    move |source| ArtifactError::Failed {
        doing: doing.to_owned(),
        source: Box::new(source),
    }
}
