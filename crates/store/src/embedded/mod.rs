//! The store engine that needs nothing but a folder: SQLite and content-addressed files.
//!
//! Owns how the ports' calls reach the two threads that do the blocking work: one for the catalog
//! (SQLite has one writer), one for files, so that a large upload doesn't hold up a small row.
//! Knows nothing of the rows (`catalog`), the files (`files`) or the folder's layout (`data_dir`).

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use everwarm_manifest::{AppName, Digest, TenantId};
use rusqlite::Connection;

use crate::artifacts::{ArtifactError, Artifacts};
use crate::catalog::{Catalog, CatalogError, LiveVersion, NewVersion, Version, VersionId};
use crate::{Store, StoreFuture};

mod catalog;
mod data_dir;
mod files;
mod node_key;
mod schema;
mod worker;

pub use data_dir::DataDir;
pub use node_key::{KEY_LEN, NodeKey};
pub use schema::SCHEMA_VERSION;

use files::ArtifactFiles;
use worker::{Stopped, Worker};

/// The embedded engine.
#[derive(Debug)]
pub struct Embedded {
    node_key: NodeKey,
    // The order matters: the threads end before the folder's lock is let go.
    catalog: Worker<Connection>,
    artifacts: Worker<ArtifactFiles>,
    data_dir: DataDir,
}

impl Embedded {
    /// Opens the store in a folder; makes what isn't there yet. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`OpenError`], each variant with what to do about it.
    pub fn open(root: &Path) -> Result<Self, OpenError> {
        let data_dir = DataDir::lock(root)?;
        let node_key = NodeKey::load_or_create(&data_dir.node_key())?;
        data_dir::make_private_dir(&data_dir.artifacts())?;
        data_dir::make_private_dir(&data_dir.compiled())?;
        let connection = schema::open(&data_dir.catalog())?;
        let files = ArtifactFiles::open(data_dir.artifacts())
            .map_err(OpenError::io("prepare the folder", &data_dir.artifacts()))?;
        let start = OpenError::io("start a thread for the store in", root);
        Ok(Self {
            node_key,
            catalog: Worker::spawn("store-catalog", connection).map_err(&start)?,
            artifacts: Worker::spawn("store-artifacts", files).map_err(&start)?,
            data_dir,
        })
    }

    /// The folder that the store is in.
    pub fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }

    /// The node's secret key.
    pub fn node_key(&self) -> &NodeKey {
        &self.node_key
    }
}

impl Store for Embedded {
    fn catalog(&self) -> &dyn Catalog {
        self
    }

    fn artifacts(&self) -> &dyn Artifacts {
        self
    }
}

impl Catalog for Embedded {
    fn put_version<'a>(
        &'a self,
        tenant: &'a TenantId,
        version: NewVersion,
    ) -> StoreFuture<'a, Result<Version, CatalogError>> {
        let tenant = tenant.clone();
        self.on_catalog("keep a version", move |connection| {
            catalog::put_version(connection, &tenant, version)
        })
    }

    fn set_live<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        version: VersionId,
    ) -> StoreFuture<'a, Result<(), CatalogError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        self.on_catalog("make a version live", move |connection| {
            catalog::set_live(connection, &tenant, &app, version)
        })
    }

    fn live<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Option<Version>, CatalogError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        self.on_catalog("read the live version", move |connection| {
            catalog::live(connection, &tenant, &app)
        })
    }

    fn list_live(&self) -> StoreFuture<'_, Result<Vec<LiveVersion>, CatalogError>> {
        self.on_catalog("list the live versions", catalog::list_live)
    }

    fn versions<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<Version>, CatalogError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        self.on_catalog("list the versions", move |connection| {
            catalog::versions(connection, &tenant, &app, count_max)
        })
    }
}

impl Artifacts for Embedded {
    fn put<'a>(
        &'a self,
        tenant: &'a TenantId,
        bytes: Bytes,
    ) -> StoreFuture<'a, Result<Digest, ArtifactError>> {
        let tenant = tenant.clone();
        self.on_files("keep an artifact", move |files| files.put(&tenant, &bytes))
    }

    fn get<'a>(
        &'a self,
        tenant: &'a TenantId,
        digest: Digest,
    ) -> StoreFuture<'a, Result<Bytes, ArtifactError>> {
        let tenant = tenant.clone();
        self.on_files("read an artifact", move |files| files.get(&tenant, digest))
    }

    fn local_file<'a>(
        &'a self,
        tenant: &'a TenantId,
        digest: Digest,
    ) -> StoreFuture<'a, Result<PathBuf, ArtifactError>> {
        let tenant = tenant.clone();
        self.on_files("find an artifact", move |files| {
            files.local_file(&tenant, digest)
        })
    }

    fn contains<'a>(
        &'a self,
        tenant: &'a TenantId,
        digest: Digest,
    ) -> StoreFuture<'a, Result<bool, ArtifactError>> {
        let tenant = tenant.clone();
        self.on_files("look for an artifact", move |files| {
            files.contains(&tenant, digest)
        })
    }
}

impl Embedded {
    fn on_catalog<'a, T, F>(
        &'a self,
        doing: &'static str,
        job: F,
    ) -> StoreFuture<'a, Result<T, CatalogError>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, CatalogError> + Send + 'static,
    {
        Box::pin(async move {
            self.catalog
                .run(job)
                .await
                .unwrap_or_else(|stopped: Stopped| {
                    Err(CatalogError::Failed {
                        doing,
                        source: Box::new(stopped),
                    })
                })
        })
    }

    fn on_files<'a, T, F>(
        &'a self,
        doing: &'static str,
        job: F,
    ) -> StoreFuture<'a, Result<T, ArtifactError>>
    where
        T: Send + 'static,
        F: FnOnce(&mut ArtifactFiles) -> Result<T, ArtifactError> + Send + 'static,
    {
        Box::pin(async move {
            self.artifacts
                .run(job)
                .await
                .unwrap_or_else(|stopped: Stopped| {
                    Err(ArtifactError::Failed {
                        doing: doing.to_owned(),
                        source: Box::new(stopped),
                    })
                })
        })
    }
}

/// Why the embedded store didn't open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder.
    #[error(
        "the data folder {} is in use by another process{}: stop that process, or use another folder",
        .dir.display(),
        .holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The process that has it, as far as it said so.
        holder: Option<u32>,
    },
    /// The tables were made by a later release.
    #[error(
        "the catalog {} has schema version {found} and this binary knows up to {SCHEMA_VERSION}: \
         use the newer everwarm that wrote it, or another data folder",
        .path.display()
    )]
    SchemaNewer {
        /// The catalog's file.
        path: PathBuf,
        /// The version that it has.
        found: i64,
    },
    /// The node's key can't be used.
    #[error(
        "the node's key {} can't be used: {fault}. Make it readable by its owner alone \
         (chmod 600), or delete it: then all functions are compiled again",
        .path.display()
    )]
    NodeKey {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// SQLite refused.
    #[error("failed to {doing} {}: check the disk, or restore the file from a backup", .path.display())]
    Sqlite {
        /// What was being attempted.
        doing: &'static str,
        /// The catalog's file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The file system refused.
    #[error("failed to {doing} {}: check that this user may write there and that the disk isn't full", .path.display())]
    Io {
        /// What was being attempted.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "EW4002",
            Self::SchemaNewer { .. } => "EW4004",
            Self::NodeKey { .. } | Self::Sqlite { .. } | Self::Io { .. } => "EW4003",
        }
    }

    fn io(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path: path.clone(),
            source,
        }
    }
}
