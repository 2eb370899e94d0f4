//! SQL databases: those of an app that a function is granted, whatever keeps them.
//!
//! Owns what a function may open, what values and failures are, and the bounds of one answer. What keeps the data is in
//! `kept` (the node itself) and `postgres` (a server elsewhere); `convert` knows the interface.

mod convert;
mod kept;
mod postgres;

use std::sync::Arc;
use std::time::Instant;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::grants::PostgresUrl;
use everwarm_manifest::{AppName, ConfigName, DatabaseName, SqlDatabase, TenantId, World};
use everwarm_store::sql::{
    BATCH_MAX, Database, PARAMETERS_MAX, SQL_BYTES_MAX, STATEMENT_BYTES_MAX, Terms,
};
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use wasmtime::component::{HasSelf, Linker};

use crate::network::Network;
use crate::notice::Notices;
use crate::patience::in_time;
use crate::secrets::{Password, SecretBook};
use crate::shares::{Shares, shared};
use crate::{GuestOutput, Stores};
use convert::bindings;

/// See the module's documentation.
pub struct Sql {
    stores: Option<Arc<dyn Stores>>,
    network: Arc<Network>,
    secrets: Arc<SecretBook>,
    output: Option<Arc<dyn GuestOutput>>,
    /// The node's own runtime, on which connections live. A tool that runs functions without a node may have none.
    runtime: Option<Handle>,
    servers: Mutex<Shares<ServerKey, postgres::Connections>>,
}

/// Whose connections may be shared: one app's, to one server as one user, made under one list of addresses.
type ServerKey = (
    TenantId,
    AppName,
    PostgresUrl,
    Option<ConfigName>,
    Vec<IpNet>,
);

impl Sql {
    /// Databases that the node keeps are in `stores`; others are reached by `network`, with passwords from `secrets`.
    pub(crate) fn new(
        stores: Option<Arc<dyn Stores>>,
        network: Arc<Network>,
        secrets: Arc<SecretBook>,
        output: Option<Arc<dyn GuestOutput>>,
    ) -> Self {
        Self {
            stores,
            network,
            secrets,
            output,
            runtime: Handle::try_current().ok(),
            servers: Mutex::default(),
        }
    }

    /// Where a database is; `None` where this is no node.
    fn place(&self, function: &FunctionSpec, database: &SqlDatabase) -> Option<Place> {
        let Some(url) = &database.url else {
            return Some(Place::Kept {
                stores: Arc::clone(self.stores.as_ref()?),
                database: Database {
                    tenant: function.tenant.clone(),
                    app: function.app.clone(),
                    name: database.name.clone(),
                },
            });
        };
        let runtime = self.runtime.clone()?;
        let listed = function.grants.addresses.clone();
        let key = (
            function.tenant.clone(),
            function.app.clone(),
            url.clone(),
            database.password.clone(),
            listed.clone(),
        );
        let connections = shared(&self.servers, key, || {
            let secrets = || self.secrets.of(&function.tenant, &function.app);
            let password = database.password.clone();
            let password = password.map(|name| Password::new(secrets(), name, &function.app));
            postgres::Connections::new(postgres::Server {
                url: url.clone(),
                password,
                listed,
                network: Arc::clone(&self.network),
                // Postgres names no protocol in its handshake.
                tls: self.network.tls(&[]),
                tenant: self.network.tenant(&function.tenant),
                runtime,
            })
        });
        Some(Place::Postgres(connections))
    }
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sql").finish_non_exhaustive()
    }
}

impl Capability for Sql {
    fn name(&self) -> &'static str {
        "sql"
    }

    fn interfaces(&self, _world: World) -> &'static [&'static str] {
        &["everwarm:sql/types@0.1.0", "everwarm:sql/client@0.1.0"]
    }

    fn link(&self, linker: &mut Linker<Sandbox>, _world: World) -> wasmtime::Result<()> {
        use bindings::everwarm::sql::{client, types};

        fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
            sandbox
        }
        types::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
        client::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)
    }

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        let databases = function.databases.iter();
        let places = databases.filter_map(|database| {
            let place = self.place(function, database)?;
            Some((database.name.as_str().to_owned(), place))
        });
        Ok(Arc::new(Granted {
            databases: places.collect(),
            notices: Notices::new(function, self.output.clone()),
        }))
    }

    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}

/// Where a database is.
enum Place {
    Kept {
        stores: Arc<dyn Stores>,
        database: Database,
    },
    Postgres(Arc<postgres::Connections>),
}

/// What one function may open.
struct Granted {
    databases: Vec<(String, Place)>,
    notices: Notices,
}

impl Granted {
    fn open(&self, name: &str) -> Result<Connection, Failure> {
        let Some((_, place)) = self.databases.iter().find(|(known, _)| known == name) else {
            if DatabaseName::new(name).is_err() {
                return Err(Failure::NoSuchDatabase);
            }
            self.denied(name);
            return Err(Failure::AccessDenied);
        };
        match place {
            Place::Kept { stores, database } => {
                let databases = stores.sql().ok_or_else(|| {
                    Failure::Unavailable(
                        "the node is starting: its store isn't open yet".to_owned(),
                    )
                })?;
                let connection = databases.connect(database, Terms::default());
                Ok(Connection::Kept(kept::Session(connection)))
            }
            Place::Postgres(connections) => {
                let session = postgres::Session::new(Arc::clone(connections));
                Ok(Connection::Postgres(Box::new(session)))
            }
        }
    }

    fn denied(&self, database: &str) {
        self.notices.say("an SQL database wasn't opened", |name| {
            format!(
                "SQL database `{database}` denied: no grant allows it. To allow it, declare it in [[sql]] and add \
                 \"{database}\" to `sql` in [function.grants] of the function `{name}`"
            )
        });
    }
}

/// A value, as the interface has them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Value {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Real(_) => 8,
        }
    }
}

/// A statement, with what stands for its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    text: String,
    parameters: Vec<Value>,
}

impl Statement {
    /// Whether it is within the bounds that hold for all databases.
    fn check(&self) -> Result<(), Failure> {
        let parameters: usize = self.parameters.iter().map(Value::bytes).sum();
        let what = if self.text.len() > SQL_BYTES_MAX {
            format!(
                "the statement's text has more than {SQL_BYTES_MAX} bytes: send values as parameters"
            )
        } else if self.parameters.len() > PARAMETERS_MAX {
            format!("the statement has more than {PARAMETERS_MAX} parameters: make several of it")
        } else if self.text.len() + parameters > STATEMENT_BYTES_MAX {
            format!("the statement has more than {STATEMENT_BYTES_MAX} bytes: make several of it")
        } else {
            return Ok(());
        };
        Err(Failure::TooMuch(what))
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    name: String,
    /// What the database calls its type; empty when it doesn't say.
    kind: String,
}

/// Why a function's statement came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    NoSuchDatabase,
    AccessDenied,
    /// The database refuses the statement.
    Refused {
        code: String,
        message: String,
    },
    /// It can't be reached, or the connection broke off.
    Unavailable(String),
    Timeout(String),
    TooMuch(String),
    Other(String),
}

impl Failure {
    /// What kind of failure it is, without what anybody said.
    fn word(&self) -> &'static str {
        match self {
            Self::NoSuchDatabase => "no such database",
            Self::AccessDenied => "access denied",
            Self::Refused { .. } => "refused",
            Self::Unavailable(_) => "unavailable",
            Self::Timeout(_) => "timeout",
            Self::TooMuch(_) => "too much",
            Self::Other(_) => "other",
        }
    }
}

/// A connection that a function has opened.
#[expect(
    unreachable_pub,
    private_interfaces,
    reason = "the generated bindings name it as a public type"
)]
pub enum Connection {
    Kept(kept::Session),
    Postgres(Box<postgres::Session>),
}

/// Rows that a function reads.
#[expect(
    unreachable_pub,
    private_interfaces,
    reason = "the generated bindings name it as a public type"
)]
pub enum Rows {
    Kept(kept::Rows),
    Postgres(postgres::Rows),
}

impl Connection {
    async fn query(
        &mut self,
        statement: Statement,
        until: Option<Instant>,
    ) -> Result<Rows, Failure> {
        match self {
            Self::Kept(session) => kept_in_time(until, session.query(statement))
                .await
                .map(Rows::Kept),
            Self::Postgres(session) => session.query(statement, until).await.map(Rows::Postgres),
        }
    }

    async fn execute(
        &mut self,
        statement: Statement,
        until: Option<Instant>,
    ) -> Result<u64, Failure> {
        match self {
            Self::Kept(session) => kept_in_time(until, session.execute(statement)).await,
            Self::Postgres(session) => session.execute(statement, until).await,
        }
    }

    async fn execute_batch(
        &mut self,
        statements: Vec<Statement>,
        until: Option<Instant>,
    ) -> Result<Vec<u64>, Failure> {
        if statements.len() > BATCH_MAX {
            let text = format!("a batch has {BATCH_MAX} statements at most");
            return Err(Failure::TooMuch(text));
        }
        match self {
            Self::Kept(session) => kept_in_time(until, session.execute_batch(statements)).await,
            Self::Postgres(session) => session.execute_batch(statements, until).await,
        }
    }

    async fn begin(&mut self, access: Access, until: Option<Instant>) -> Result<(), Failure> {
        match self {
            Self::Kept(session) => kept_in_time(until, session.begin(access)).await,
            Self::Postgres(session) => session.begin(access, until).await,
        }
    }

    async fn commit(&mut self, until: Option<Instant>) -> Result<(), Failure> {
        match self {
            Self::Kept(session) => kept_in_time(until, session.commit()).await,
            Self::Postgres(session) => session.commit(until).await,
        }
    }

    async fn rollback(&mut self, until: Option<Instant>) -> Result<(), Failure> {
        match self {
            Self::Kept(session) => kept_in_time(until, session.rollback()).await,
            Self::Postgres(session) => session.rollback(until).await,
        }
    }
}

impl Rows {
    fn columns(&self) -> &[Column] {
        match self {
            Self::Kept(rows) => rows.columns(),
            Self::Postgres(rows) => rows.columns(),
        }
    }

    async fn next(
        &mut self,
        count_max: u32,
        until: Option<Instant>,
    ) -> Result<Vec<Vec<Value>>, Failure> {
        match self {
            Self::Kept(rows) => kept_in_time(until, rows.next(count_max)).await,
            Self::Postgres(rows) => rows.next(count_max, until).await,
        }
    }
}

/// As [`in_time`], of what the store does.
async fn kept_in_time<T>(
    until: Option<Instant>,
    asked: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    in_time(until, asked).await.unwrap_or_else(|| {
        let text = "it took too long, and is given up; an open transaction is undone";
        Err(Failure::Timeout(text.to_owned()))
    })
}
