//! SQL databases: those of an app that a function is granted, whatever keeps them.
//!
//! Owns what a function may open, what values and failures are, and the bounds of one answer. What keeps the data is in
//! `kept` (the node itself) and `postgres` (a server elsewhere); `convert` knows the interface.

mod convert;
mod kept;
mod postgres;

use std::sync::Arc;
use std::time::Duration;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::grants::PostgresUrl;
use everwarm_manifest::{AppName, ConfigName, SqlDatabase, TenantId, World};
use everwarm_store::sql::{Database, Terms};
use ipnet::IpNet;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::runtime::Handle;
use wasmtime::component::{HasSelf, Linker};

use crate::network::Network;
use crate::notice::Notices;
use crate::secrets::{Secret, SecretBook};
use crate::shares::{Shares, shared};
use crate::{GuestOutput, Stores};
use convert::bindings;

/// Rows of one answer.
const ROWS_MAX: u32 = 1_000;
/// Statements of one batch.
const BATCH_MAX: usize = 100;
/// Bytes of the values of one answer, but for its first row.
const ROWS_BYTES_MAX: usize = 1 << 20;

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
            let password = database.password.as_ref().map(|name| Password {
                secrets: self.secrets.of(&function.tenant, &function.app),
                name: name.clone(),
                app: function.app.clone(),
            });
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
    /// Opens a database, whose statements may take as long as `time`.
    fn open(&self, name: &str, time: Option<Duration>) -> Result<Connection, Failure> {
        let Some((_, place)) = self.databases.iter().find(|(known, _)| known == name) else {
            self.denied(name);
            return Err(Failure::AccessDenied);
        };
        match place {
            Place::Kept { stores, database } => {
                let terms = Terms::default();
                let running_max = time.map_or(terms.running_max, |it| it.min(terms.running_max));
                let terms = Terms {
                    running_max,
                    ..terms
                };
                let databases = stores.sql().ok_or_else(|| {
                    Failure::Unavailable(
                        "the node is starting: its store isn't open yet".to_owned(),
                    )
                })?;
                let connection = databases.connect(database, terms);
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

/// The secret that is a password. Read for each connection, so that one that was changed holds from the next one on.
struct Password {
    secrets: Arc<crate::secrets::AppSecrets>,
    name: ConfigName,
    app: AppName,
}

impl Password {
    fn read(&self) -> Result<SecretString, Failure> {
        let Self { name, app, .. } = self;
        match self.secrets.now().get(name) {
            Some(Secret::Value(value)) => Ok(value.expose_secret().into()),
            Some(Secret::Unreadable(why)) => Err(Failure::Unavailable(format!(
                "the secret `{name}`, which is the password, can't be read: {why}"
            ))),
            None => Err(Failure::Unavailable(format!(
                "the secret `{name}`, which is the password, isn't set: set it with `everwarm secret set {app} {name}`"
            ))),
        }
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
    AccessDenied,
    /// The server's name resolves to addresses that aren't public, and not listed; here is one of them.
    Prohibited(String),
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
        time: Option<Duration>,
    ) -> Result<Rows, Failure> {
        match self {
            Self::Kept(session) => session.query(statement).await.map(Rows::Kept),
            Self::Postgres(session) => session.query(statement, time).await.map(Rows::Postgres),
        }
    }

    async fn execute(
        &mut self,
        statement: Statement,
        time: Option<Duration>,
    ) -> Result<u64, Failure> {
        match self {
            Self::Kept(session) => session.execute(statement).await,
            Self::Postgres(session) => session.execute(statement, time).await,
        }
    }

    async fn execute_batch(
        &mut self,
        statements: Vec<Statement>,
        time: Option<Duration>,
    ) -> Result<Vec<u64>, Failure> {
        if statements.len() > BATCH_MAX {
            let text = format!("a batch has {BATCH_MAX} statements at most");
            return Err(Failure::TooMuch(text));
        }
        match self {
            Self::Kept(session) => session.execute_batch(statements).await,
            Self::Postgres(session) => session.execute_batch(statements, time).await,
        }
    }

    async fn begin(&mut self, access: Access, time: Option<Duration>) -> Result<(), Failure> {
        match self {
            Self::Kept(session) => session.begin(access).await,
            Self::Postgres(session) => session.begin(access, time).await,
        }
    }

    async fn commit(&mut self, time: Option<Duration>) -> Result<(), Failure> {
        match self {
            Self::Kept(session) => session.commit().await,
            Self::Postgres(session) => session.commit(time).await,
        }
    }

    async fn rollback(&mut self, time: Option<Duration>) -> Result<(), Failure> {
        match self {
            Self::Kept(session) => session.rollback().await,
            Self::Postgres(session) => session.rollback(time).await,
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
        time: Option<Duration>,
    ) -> Result<Vec<Vec<Value>>, Failure> {
        match self {
            Self::Kept(rows) => rows.next(count_max).await,
            Self::Postgres(rows) => rows.next(count_max, time).await,
        }
    }
}
