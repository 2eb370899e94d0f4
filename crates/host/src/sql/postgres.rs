//! Postgres servers: the connections of one app to one of its databases, and what a function does on one.
//!
//! Owns the pool, how a connection is made, and in which state it is given to the next one. Connections are driven by
//! the node's own runtime, not by the thread of the function that wanted one: whoever comes next may be on another.

mod session;
mod value;

use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use everwarm_manifest::grants::PostgresUrl;
use everwarm_manifest::{HttpScheme, HttpTarget};
use ipnet::IpNet;
use rustls::ClientConfig;
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Failure;
use crate::network::{Allowance, Metered, Network, Stream, Unopened};
use crate::secrets::Password;
pub(super) use session::{Rows, Session};

/// Connections of one app to one database.
const CONNECTIONS_MAX: usize = 20;
/// How long a function waits for one of them.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long it may take until a server has let a connection in.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a connection is kept that nobody uses.
const IDLE_MAX: Duration = Duration::from_mins(1);
/// How often they are looked at.
const IDLE_LOOK: Duration = Duration::from_secs(20);
/// How long tidying up after a function may take.
const TIDY_MAX: Duration = Duration::from_secs(5);
/// Bytes that a server may send for one statement, and before the first one.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// How a server is found and entered.
pub(super) struct Server {
    pub(super) url: PostgresUrl,
    /// `None` when the server wants no password.
    pub(super) password: Option<Password>,
    /// Addresses that its name may resolve to besides public ones.
    pub(super) listed: Vec<IpNet>,
    pub(super) network: Arc<Network>,
    pub(super) tls: Arc<ClientConfig>,
    /// What the tenant may have open.
    pub(super) tenant: Arc<Semaphore>,
    pub(super) runtime: Handle,
}

/// The connections to one server.
pub(super) struct Connections {
    server: Arc<Server>,
    pool: Pool<Opener>,
    tidier: AbortHandle,
}

/// Makes connections for the pool.
struct Opener(Arc<Server>);

/// A connection that is let in.
struct Connected {
    client: Client,
    allowance: Allowance,
    driver: AbortHandle,
    _places: [OwnedSemaphorePermit; 2],
}

impl Drop for Connected {
    fn drop(&mut self) {
        // The client's end ends it too, once the server has answered what it was asked.
        self.driver.abort();
    }
}

impl Connections {
    pub(super) fn new(server: Server) -> Self {
        let server = Arc::new(server);
        let timeouts = Timeouts {
            wait: Some(WAIT_MAX),
            create: Some(CONNECT_MAX),
            recycle: Some(TIDY_MAX),
        };
        let pool = Pool::builder(Opener(Arc::clone(&server)))
            .max_size(CONNECTIONS_MAX)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build();
        let pool = pool.expect("a pool with time-outs has a runtime");
        let tidier = server.runtime.spawn(tidy(pool.clone())).abort_handle();
        Self {
            server,
            pool,
            tidier,
        }
    }

    /// A connection that nobody else has, in the state of a new one.
    async fn get(&self) -> Result<Object<Opener>, Failure> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Timeout(TimeoutType::Wait) => Failure::TooMuch(format!(
                "all {CONNECTIONS_MAX} connections of the app to {} are in use, and none came free in {} s",
                self.server.url,
                WAIT_MAX.as_secs()
            )),
            PoolError::Timeout(_) => self.server.unavailable("doesn't answer in time"),
            PoolError::Backend(failure) => failure,
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                self.server.unavailable("can't be used while the node ends")
            }
        })
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.tidier.abort();
        self.pool.close();
    }
}

/// Closes what nobody has used for long.
async fn tidy(pool: Pool<Opener>) {
    loop {
        tokio::time::sleep(IDLE_LOOK).await;
        pool.retain(|_, metrics| metrics.last_used() < IDLE_MAX);
    }
}

impl Manager for Opener {
    type Type = Connected;
    type Error = Failure;

    async fn create(&self) -> Result<Connected, Failure> {
        // Its sockets are the node's runtime's, not those of the thread that asks.
        let opened = self.0.runtime.spawn(Arc::clone(&self.0).open());
        match opened.await {
            Ok(opened) => opened,
            Err(_) => Err(self.0.unavailable("can't be used while the node ends")),
        }
    }

    async fn recycle(&self, connected: &mut Connected, _: &Metrics) -> RecycleResult<Failure> {
        // Whoever gave it back has tidied it up.
        if connected.client.is_closed() {
            return Err(RecycleError::message("the server has closed it"));
        }
        Ok(())
    }
}

impl Server {
    async fn open(self: Arc<Self>) -> Result<Connected, Failure> {
        let opened = tokio::time::timeout(CONNECT_MAX, self.connect());
        let opened = opened.await;
        opened.unwrap_or_else(|_| Err(self.unavailable("doesn't answer in time")))
    }

    async fn connect(&self) -> Result<Connected, Failure> {
        let node = Arc::clone(self.network.connections()).try_acquire_owned();
        let tenant = Arc::clone(&self.tenant).try_acquire_owned();
        let (Ok(node), Ok(tenant)) = (node, tenant) else {
            let text = "the tenant or the node has as many connections open as it may";
            return Err(Failure::TooMuch(text.to_owned()));
        };
        let mut config = Config::new();
        config
            .user(self.url.user())
            .dbname(self.url.database())
            .application_name("everwarm");
        if let Some(password) = &self.password {
            let password = password.read().map_err(Failure::Unavailable)?;
            config.password(password.expose_secret());
        }
        let allowance = Allowance::of(ANSWER_BYTES_MAX);
        let stream = self.stream(&allowance).await?;
        let refused = |error| self.failure(&error, Some(&allowance));
        let (client, driver) = if self.url.tls() {
            config.ssl_mode(SslMode::Require);
            let entered = config.connect_raw(stream, self.handshake()?).await;
            let (client, connection) = entered.map_err(refused)?;
            (client, self.runtime.spawn(ended(connection)))
        } else {
            config.ssl_mode(SslMode::Disable);
            let entered = config.connect_raw(stream, NoTls).await;
            let (client, connection) = entered.map_err(refused)?;
            (client, self.runtime.spawn(ended(connection)))
        };
        Ok(Connected {
            client,
            allowance,
            driver: driver.abort_handle(),
            _places: [node, tenant],
        })
    }

    fn handshake(
        &self,
    ) -> Result<
        <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Metered<TcpStream>>>::TlsConnect,
        Failure,
    > {
        let mut tls = MakeRustlsConnect::new((*self.tls).clone());
        // An IPv6 address has no brackets in a certificate.
        let host = self.url.host().to_string();
        let host = host.trim_matches(['[', ']']);
        let made = tokio_postgres::tls::MakeTlsConnect::<Metered<TcpStream>>::make_tls_connect(
            &mut tls, host,
        );
        made.map_err(|error| self.unavailable(&format!("can't be asked by TLS: {error}")))
    }

    /// A socket to it, at an address that is permitted.
    async fn stream(&self, allowance: &Allowance) -> Result<Metered<TcpStream>, Failure> {
        let target = HttpTarget {
            // What is spoken on it is none of the socket's business.
            scheme: HttpScheme::Http,
            host: self.url.host().clone(),
            port: self.url.port(),
        };
        match self.network.connect(&target, &self.tls, &self.listed).await {
            Ok(Stream::Plain(stream)) => Ok(Metered::new(stream, allowance.clone())),
            Ok(Stream::Tls(_)) => Err(self.unavailable("was asked for in another way")),
            Err(Unopened::Prohibited(addresses)) => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                Err(self.unavailable(&format!(
                    "isn't asked: its address {} isn't public, and isn't in `addresses` of [function.grants]",
                    addresses.join(", ")
                )))
            }
            Err(Unopened::Failed(error)) => {
                Err(self.unavailable(&format!("can't be reached: {error}")))
            }
        }
    }

    fn unavailable(&self, what: &str) -> Failure {
        Failure::Unavailable(format!("{} {what}", self.url))
    }

    /// What an error of the client means.
    fn failure(&self, error: &tokio_postgres::Error, allowance: Option<&Allowance>) -> Failure {
        if let Some(said) = error.as_db_error() {
            let code = said.code();
            let is_entry = [
                SqlState::INVALID_PASSWORD,
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                SqlState::INVALID_CATALOG_NAME,
                SqlState::TOO_MANY_CONNECTIONS,
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
            ]
            .contains(code);
            if is_entry {
                return self.unavailable(&format!("lets nobody in: {}", said.message()));
            }
            let message = match (said.detail(), said.hint()) {
                (None, None) => said.message().to_owned(),
                (Some(more), None) | (None, Some(more)) => format!("{}: {more}", said.message()),
                (Some(detail), Some(hint)) => format!("{}: {detail} ({hint})", said.message()),
            };
            return Failure::Refused {
                code: code.code().to_owned(),
                message,
            };
        }
        if allowance.is_some_and(Allowance::is_used_up) {
            return Failure::TooMuch(format!(
                "the answer has more than {} MiB: ask for less at a time",
                ANSWER_BYTES_MAX >> 20
            ));
        }
        let source = std::error::Error::source(error);
        let source = source
            .map(|source| format!(": {source}"))
            .unwrap_or_default();
        self.unavailable(&format!("broke off ({error}{source})"))
    }
}

/// Drives a connection to its end.
async fn ended<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio_postgres::tls::TlsStream + Unpin,
{
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to a database has broken off");
    }
}
