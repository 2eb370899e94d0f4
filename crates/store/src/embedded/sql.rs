//! SQL databases in SQLite: a file for each, connections that are threads, and rules for what guests send.
//!
//! Owns the engine: how it is opened, let go and backed up. Who has which connection is in `pool`, `lease` and
//! `handle`, what a connection's thread does in `seat`, `desk` and `migrate`, what a statement is held to in `watch`,
//! `rules` and `text`, the files in `files`.
//!
//! # A thread for each connection
//!
//! A statement that answers row by row, or a transaction, keeps its connection for as long as its guest takes. So the
//! connection stays on one thread, which waits with it: no caller's thread ever waits for SQLite, and a cursor borrows
//! its statement on that thread's stack. The bound on connections is the bound on threads. Statements that run for
//! some milliseconds need a pass to go on (`watch`), of which there are as many as leave the node its cores.
//!
//! # One writer at a time
//!
//! SQLite has one writer for each file. Who wants to write waits in a row for the database's turn before SQLite is
//! asked: in the order of asking, without looking again and again, and until its own deadline. A transaction that reads
//! waits for nobody.
//!
//! # What bounds memory and disk
//!
//! Values, statements, schemas and answers have bounds (`crate::sql`). What SQLite sorts and groups goes to temporary
//! files, and what the statement's thread writes is counted while it runs (`watch`). The database's file is bounded by
//! `max_page_count`, its log by being written back before it is large.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everwarm_manifest::{AppName, DatabaseName, TenantId};

use super::backup::BackupError;
use super::disk::{Medium, make_dirs};
use super::worker::{Job, State, Worker};
use super::{EngineError, OpenError};
use crate::StoreFuture;
use crate::catalog::UnixMillis;
use crate::sql::{
    Applied, Connection, Database, Databases, MigrateError, Migrations, PAGE_MAX, SqlError,
    SqlKind, Terms,
};

mod clock;
mod desk;
mod faults;
mod files;
mod handle;
mod lease;
mod migrate;
mod pool;
mod rules;
mod seat;
mod tables;
mod text;
mod watch;

pub(super) use files::file_of;
pub(super) use tables::TABLES;

use handle::Handle;
use pool::Pool;
use seat::{Done, Work};

/// SQLite's layer whose locks and index are the process's own: no other process gets in.
const LAYER: &str = "unix-excl";
/// Bytes of a page.
const PAGE_BYTES: u32 = 4_096;
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 16;

/// The engine of SQL databases.
#[derive(Debug)]
pub(super) struct Sql {
    pool: Arc<Pool>,
    keeper: Worker<Keeper>,
    /// Raised when a copy isn't wanted any more.
    closing: Mutex<Arc<AtomicBool>>,
    medium: Medium,
}

/// Works on the files of databases that nobody has open.
#[derive(Debug)]
struct Keeper;

impl State for Keeper {
    fn turn(&mut self, jobs: Vec<Job<Self>>) {
        for job in jobs {
            (job.work)(self)(Ok(()));
        }
    }
}

impl Sql {
    pub(super) fn open(folder: &Path, medium: Medium) -> Result<Self, OpenError> {
        make_dirs(&*medium.disk, folder).map_err(OpenError::io("make the folder", folder))?;
        let start = OpenError::io("start a thread for the store in", folder);
        Ok(Self {
            pool: Pool::open(folder.to_owned(), medium.clone()).map_err(&start)?,
            keeper: Worker::spawn("store-sql-files", Keeper).map_err(&start)?,
            closing: Mutex::default(),
            medium,
        })
    }

    /// Ends all statements, rolls back what is open, and closes all files.
    pub(super) fn stop(&self) {
        self.closing().store(true, Ordering::Relaxed);
        self.keeper.stop();
        self.pool.stop();
    }

    pub(super) fn start(&self) -> Result<(), OpenError> {
        *self.closing() = Arc::default();
        let start = OpenError::io("start a thread for the store in", self.pool.folder());
        self.keeper.start(Keeper).map_err(start)?;
        self.pool.start();
        Ok(())
    }

    fn closing(&self) -> MutexGuard<'_, Arc<AtomicBool>> {
        // Nothing that can panic runs under the lock.
        self.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All databases that there are.
    pub(super) async fn all(&self) -> Result<Vec<Database>, BackupError> {
        let listed = self.on_files(|medium, folder| files::all(&*medium.disk, folder));
        listed.await.map_err(|error| not_copied(Box::new(error)))
    }

    /// Copies a database into another file, as of one moment. `false` when it is gone.
    pub(super) async fn copy(&self, database: Database, to: PathBuf) -> Result<bool, BackupError> {
        let closing = Arc::clone(&self.closing());
        let (medium, folder) = (self.medium.clone(), self.pool.folder().to_owned());
        let copied = self
            .keeper
            .run(move |_| files::copy(&folder, &medium, &database, &to, closing))
            .await;
        let copied = copied.map_err(|error| not_copied(Box::new(error)))?;
        Ok(copied.map_err(not_copied)?.is_some())
    }

    async fn on_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Medium, &Path) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, SqlError> {
        let (medium, folder) = (self.medium.clone(), self.pool.folder().to_owned());
        let done = self.keeper.run(move |_| work(&medium, &folder)).await;
        let done = done.map_err(|_| pool::let_go())?;
        done.map_err(|error| {
            tracing::error!(%error, "the folder of databases can't be used");
            SqlError::new(
                SqlKind::Failed,
                "the store failed to use the folder of databases",
            )
        })
    }

    fn handle(&self, database: &Database, terms: Terms) -> Handle {
        Handle::new(Arc::clone(&self.pool), database.clone(), terms)
    }
}

impl Drop for Sql {
    fn drop(&mut self) {
        self.stop();
    }
}

fn not_copied(source: EngineError) -> BackupError {
    BackupError::Failed {
        doing: "copy its SQL databases",
        source,
    }
}

fn layer(medium: &Medium) -> &str {
    medium.vfs.as_deref().unwrap_or(LAYER)
}

impl Databases for Sql {
    fn connect(&self, database: &Database, terms: Terms) -> Box<dyn Connection> {
        Box::new(self.handle(database, terms))
    }

    fn migrate<'a>(
        &'a self,
        database: &'a Database,
        migrations: Migrations,
        terms: Terms,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Vec<String>, MigrateError>> {
        Box::pin(async move {
            let mut handle = self.handle(database, terms);
            // What they hold is bounded by `Migrations`, and by how many deploys there are at once.
            match handle.ask(Work::Migrate(migrations, now), 0).await? {
                Done::Migrated(migrated) => migrated,
                _ => Err(pool::let_go().into()),
            }
        })
    }

    fn migrations<'a>(
        &'a self,
        database: &'a Database,
        terms: Terms,
    ) -> StoreFuture<'a, Result<Vec<Applied>, SqlError>> {
        Box::pin(async move {
            let path = file_of(self.pool.folder(), database);
            let there = self.on_files(move |medium, _| Ok(medium.disk.metadata(&path).is_ok()));
            if !there.await? {
                return Ok(Vec::new());
            }
            let mut handle = self.handle(database, terms);
            match handle.ask(Work::Applied, 0).await? {
                Done::Applied(applied) => Ok(applied),
                _ => Err(pool::let_go()),
            }
        })
    }

    fn kept<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Vec<(DatabaseName, u64)>, SqlError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(
            self.on_files(move |medium, folder| files::kept(&*medium.disk, folder, &tenant, &app)),
        )
    }

    fn apps<'a>(
        &'a self,
        after: Option<(&'a TenantId, &'a AppName)>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<(TenantId, AppName)>, SqlError>> {
        let after = after.map(|(tenant, app)| (tenant.clone(), app.clone()));
        let count_max = usize::try_from(count_max.min(PAGE_MAX)).unwrap_or(usize::MAX);
        Box::pin(self.on_files(move |medium, folder| {
            files::apps(&*medium.disk, folder, after.as_ref(), count_max)
        }))
    }

    fn remove_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<bool, SqlError>> {
        Box::pin(async move {
            let terms = Terms::default();
            let deadline = lease::until(&terms);
            let (closed, threads) = self.pool.close_app(tenant, app, deadline, &terms).await?;
            let (tenant, app) = (tenant.clone(), app.clone());
            let removed = self.on_files(move |medium, folder| {
                for thread in threads {
                    let _ = thread.join();
                }
                let removed = files::remove_app(&*medium.disk, folder, &tenant, &app);
                // Here, and not where it is waited for: that may end before.
                drop(closed);
                removed
            });
            removed.await
        })
    }
}
