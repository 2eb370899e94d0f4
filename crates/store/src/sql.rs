//! The port for SQL: SQLite databases of an app, which its functions query and change.
//!
//! Owns the contract, its bounds and what statements may do. Values are in `value`, errors in `error`, changes of the
//! schema at a deploy in [`migrations`]. Knows nothing of WIT, guests or grants, nor of how an engine runs statements.
//!
//! # What a statement may do
//!
//! All of SQLite's SQL on the tables, indexes, views and triggers of its own database, with its built-in functions,
//! JSON, window functions, recursive queries, `ANALYZE`, `REINDEX`, and FTS5 (`fts5`, `fts5vocab`) as virtual tables.
//! The pragmas that read: `application_id`, `collation_list`, `compile_options`, `data_version`, `encoding`,
//! `foreign_key_check`, `foreign_key_list`, `foreign_keys`, `freelist_count`, `function_list`, `index_info`,
//! `index_list`, `index_xinfo`, `integrity_check`, `max_page_count`, `page_count`, `page_size`, `quick_check`,
//! `schema_version`, `table_info`, `table_list`, `table_xinfo`, `user_version`; and `defer_foreign_keys`, which ends
//! with its transaction.
//!
//! Refused is all else, with [`SqlKind::Denied`]: other files (`ATTACH`, `DETACH`, `VACUUM`, `VACUUM INTO`), other
//! pragmas, `load_extension` and functions like it, `json_patch` and `jsonb_patch` (two large texts keep them busy for
//! minutes, and nothing can stop them), other virtual tables (`dbstat` and `sqlite_dbpage` among them),
//! temporary tables, views and triggers, which would outlive their request in a connection that the next one gets,
//! objects whose names begin with `__everwarm` (they may be read), and `BEGIN`, `COMMIT` and `ROLLBACK` as text:
//! [`Connection::begin`] does it. `SAVEPOINT` is for within a transaction.
//!
//! # Bounds
//!
//! A statement is bounded by what is below, by its [`Terms`], and by those of the engine: connections, waiting callers
//! and bytes of an app, of a tenant and in all.

use std::time::Duration;

use everwarm_manifest::{AppName, DatabaseName, TenantId};

use crate::StoreFuture;
use crate::catalog::UnixMillis;

mod error;
pub mod migrations;
mod value;

pub use error::{SqlError, SqlKind};
pub use migrations::{Applied, MigrateError, Migration, Migrations, MigrationsError};
pub(crate) use value::checked_batch;
pub use value::{Executed, Row, Statement, Value};

/// Bytes of a statement's text.
pub const SQL_BYTES_MAX: usize = 100_000;
/// Bytes of a text or blob, and of a row of a table. SQLite's functions can't be interrupted while they work on one.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Parameters of a statement.
pub const PARAMETERS_MAX: usize = 1_000;
/// Columns of a table, an index, a view or an answer.
pub const COLUMNS_MAX: usize = 100;
/// Bytes of a statement's text and parameters together.
pub const STATEMENT_BYTES_MAX: usize = 4 << 20;
/// Statements of a batch.
pub const BATCH_MAX: usize = 100;
/// Bytes of the statements of a batch.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Bytes of rows that come at once; then the statement waits until more are asked for.
pub const ROWS_BYTES_MAX: usize = 256 << 10;
/// Rows that come at once.
pub const ROWS_MAX: usize = 1_000;
/// Bytes of one row of an answer.
pub const ROW_BYTES_MAX: usize = 4 << 20;
/// Bytes of the rows that a statement answers which changes something: it is done, and its answer whole, before the
/// first row is given.
pub const RETURNING_BYTES_MAX: usize = 4 << 20;
/// Tables, indexes, views and triggers of a database.
pub const OBJECTS_MAX: usize = 1_000;
/// Bytes of the text of their definitions, from which on no more can be made: each connection holds what it means.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;
/// Apps of one page.
pub const PAGE_MAX: u32 = 1_000;

/// SQL databases, each an app's own.
///
/// A change that was answered with `Ok` survives power loss, and whoever reads after the answer sees it. A statement
/// that fails changes nothing. No work is done on the thread that polls a future. A future that is dropped ends its
/// statement at once; whether it was done isn't known then, and its transaction is rolled back.
pub trait Databases: Send + Sync {
    /// A handle on a database, which is made when something is first asked of it. Costs nothing until then.
    fn connect(&self, database: &Database, terms: Terms) -> Box<dyn Connection>;

    /// Brings a database's schema up to date: applies the migrations that it doesn't have yet, in order, all or none.
    /// Of two at once the second finds what the first has done. Returns the names of those that were applied.
    ///
    /// # Errors
    ///
    /// [`MigrateError`]; nothing is changed then.
    fn migrate<'a>(
        &'a self,
        database: &'a Database,
        migrations: Migrations,
        terms: Terms,
        now: UnixMillis,
    ) -> StoreFuture<'a, Result<Vec<String>, MigrateError>>;

    /// The migrations that a database has, in order. None when there is no such database.
    ///
    /// # Errors
    ///
    /// [`SqlError`].
    fn migrations<'a>(
        &'a self,
        database: &'a Database,
        terms: Terms,
    ) -> StoreFuture<'a, Result<Vec<Applied>, SqlError>>;

    /// The databases that an app has, by name, with the bytes of each file.
    ///
    /// # Errors
    ///
    /// [`SqlError`].
    fn kept<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<Vec<(DatabaseName, u64)>, SqlError>>;

    /// The apps that have databases, of all tenants, ordered by tenant and app, those after `after`, at most
    /// `count_max` and [`PAGE_MAX`]: with it, what the catalog doesn't know any more is found.
    ///
    /// # Errors
    ///
    /// [`SqlError`].
    fn apps<'a>(
        &'a self,
        after: Option<(&'a TenantId, &'a AppName)>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<(TenantId, AppName)>, SqlError>>;

    /// Removes all databases of an app, when what its callers are in has ended. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`SqlKind::Busy`] when that doesn't end in time; all is there still.
    fn remove_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<bool, SqlError>>;
}

/// A handle on a database. Outside of a transaction each statement is one of its own. A handle that is dropped rolls
/// its transaction back at once.
pub trait Connection: Send {
    /// Runs a statement for what it changes. Rows that it answers are passed over.
    ///
    /// # Errors
    ///
    /// [`SqlError`].
    fn execute(&mut self, statement: Statement) -> StoreFuture<'_, Result<Executed, SqlError>>;

    /// Runs statements, all or none.
    ///
    /// # Errors
    ///
    /// [`SqlError`], with the place of the statement that failed.
    fn execute_batch(
        &mut self,
        statements: Vec<Statement>,
    ) -> StoreFuture<'_, Result<Vec<Executed>, SqlError>>;

    /// Runs a statement for its rows, as of one moment. In a transaction the next statement ends the cursor; outside of
    /// one it lives on its own. A statement that changes something is done when this returns.
    ///
    /// # Errors
    ///
    /// [`SqlError`].
    fn query(&mut self, statement: Statement)
    -> StoreFuture<'_, Result<Box<dyn Cursor>, SqlError>>;

    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// [`SqlError`], [`SqlKind::Misuse`] when one is open.
    fn begin(&mut self, access: Access) -> StoreFuture<'_, Result<(), SqlError>>;

    /// Keeps what the transaction has done.
    ///
    /// # Errors
    ///
    /// [`SqlError`], [`SqlKind::Misuse`] when there is none, [`SqlKind::Ended`] when it was rolled back before. It is
    /// over in any case, and without an `Ok` nothing of it is kept, but where the engine failed in between.
    fn commit(&mut self) -> StoreFuture<'_, Result<(), SqlError>>;

    /// Undoes what the transaction has done.
    ///
    /// # Errors
    ///
    /// As [`Connection::commit`], but that one which was rolled back already is none.
    fn rollback(&mut self) -> StoreFuture<'_, Result<(), SqlError>>;
}

/// Rows that come part by part. The statement goes on only when more are asked for; dropping the cursor ends it.
pub trait Cursor: Send {
    /// The names of the columns.
    fn columns(&self) -> &[String];

    /// The next rows, at least one; `None` after the last.
    ///
    /// # Errors
    ///
    /// [`SqlError`], [`SqlKind::Ended`] when the transaction has gone on without it.
    fn rows(&mut self) -> StoreFuture<'_, Result<Option<Vec<Row>>, SqlError>>;
}

/// One of an app's databases.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Database {
    /// Whose app.
    pub tenant: TenantId,
    /// The app.
    pub app: AppName,
    /// Which of the app's.
    pub name: DatabaseName,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// All its statements see one moment, and change nothing. Waits for nobody, and nobody for it.
    Read,
    /// It is the one that changes the database until it ends; others that want to wait.
    Write,
}

/// How much may be had of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Bytes of its file. Changes that make it no larger are never refused for it.
    pub bytes_max: u64,
    /// How long a statement may run.
    pub running_max: Duration,
    /// How long a statement may wait for others besides.
    pub waiting_max: Duration,
    /// How long a transaction, or a cursor, may be open.
    pub open_max: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            bytes_max: 1 << 30,
            running_max: Duration::from_secs(5),
            waiting_max: Duration::from_secs(5),
            open_max: Duration::from_secs(30),
        }
    }
}

impl Terms {
    /// For migrations, which rewrite whole tables.
    #[must_use]
    pub fn for_migrations(self) -> Self {
        Self {
            running_max: Duration::from_mins(1),
            waiting_max: Duration::from_secs(30),
            open_max: Duration::from_mins(2),
            ..self
        }
    }
}
