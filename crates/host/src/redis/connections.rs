//! The connections of one app to one Redis server.
//!
//! Owns the pool, how a connection is made, and that one is given to the next only when the last has had all its answers.
//! Connections are driven by the node's own runtime, not by the thread of the function that wanted one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use everwarm_manifest::grants::RedisUrl;
use everwarm_manifest::{HttpScheme, HttpTarget};
use ipnet::IpNet;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, Value,
};
use rustls::ClientConfig;
use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::{Command, Failure};
use crate::network::{Allowance, Metered, Network, Stream, Unopened};
use crate::patience::in_time;
use crate::secrets::Password;

/// Connections of one app to one server.
const CONNECTIONS_MAX: usize = 16;
/// How long a function waits for one of them.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long it may take until a server has let a connection in.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a connection is kept that nobody uses.
const IDLE_MAX: Duration = Duration::from_mins(1);
/// How often they are looked at.
const IDLE_LOOK: Duration = Duration::from_secs(20);
/// Bytes that a server may send for one call. In memory they may become twenty times as many: an answer may have many small
/// ones in it.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// How a server is found and entered.
pub(super) struct Server {
    pub(super) url: RedisUrl,
    /// `None` when the server wants no password.
    pub(super) password: Option<Password>,
    /// Addresses that its name may resolve to besides public ones.
    pub(super) listed: Vec<IpNet>,
    pub(super) network: Arc<Network>,
    pub(super) tls: Arc<ClientConfig>,
    /// What the tenant may have open.
    pub(super) tenant: Arc<Semaphore>,
    /// What the tenant may wait for.
    pub(super) answers: Arc<Semaphore>,
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
    client: MultiplexedConnection,
    allowance: Allowance,
    driver: AbortHandle,
    _places: [OwnedSemaphorePermit; 2],
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection while commands are on their way. Whoever is dropped meanwhile takes it along: answers are still to come on it.
struct InUse(Option<Object<Opener>>);

impl InUse {
    /// All answers have come: the next may have it.
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(taken) = self.0.take() {
            drop(Object::take(taken));
        }
    }
}

impl Connections {
    pub(super) fn new(server: Server) -> Self {
        let server = Arc::new(server);
        let timeouts = Timeouts {
            wait: Some(WAIT_MAX),
            create: Some(CONNECT_MAX),
            recycle: None,
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

    /// Has commands done. Each has its answer, which may be an error of its own where there are several.
    pub(super) async fn ask(
        &self,
        commands: &[Command],
        is_atomic: bool,
        until: Option<Instant>,
    ) -> Result<Vec<Value>, Failure> {
        let done = in_time(until, self.ask_patiently(commands, is_atomic)).await;
        done.unwrap_or_else(|| {
            let text =
                "it took too long, and is given up; what was asked may have been done or not";
            Err(Failure::Timeout(text.to_owned()))
        })
    }

    async fn ask_patiently(
        &self,
        commands: &[Command],
        is_atomic: bool,
    ) -> Result<Vec<Value>, Failure> {
        // First the connection: a server that lets nobody in takes no turn from the others. Nothing was sent on it yet, so
        // that whoever is dropped while waiting gives it back.
        let connection = self.get().await?;
        // It isn't closed as long as somebody has it.
        let _turn = self.server.answers.acquire().await;
        let mut in_use = InUse(Some(connection));
        let connected = in_use.0.as_mut().expect("it was just put there");
        connected.allowance.renew(ANSWER_BYTES_MAX);
        let answered = send(&mut connected.client, commands, is_atomic).await;
        match answered {
            Ok(answers) => {
                in_use.give_back();
                Ok(answers)
            }
            Err(error) => {
                let is_used_up = connected.allowance.is_used_up();
                let failure = self.server.failure(&error, is_used_up);
                // The server's own word leaves the connection as it was.
                if matches!(failure, Failure::Refused(_)) {
                    in_use.give_back();
                }
                Err(failure)
            }
        }
    }

    /// A connection that nobody else has.
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

fn packed(command: &Command) -> Cmd {
    let mut packed = Cmd::new();
    for argument in command {
        packed.arg(&argument[..]);
    }
    packed
}

async fn send(
    client: &mut MultiplexedConnection,
    commands: &[Command],
    is_atomic: bool,
) -> Result<Vec<Value>, RedisError> {
    if let ([command], false) = (commands, is_atomic) {
        let answer = client.send_packed_command(&packed(command)).await?;
        return Ok(vec![own_error(answer)?]);
    }
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for command in commands {
        pipeline.add_command(packed(command));
    }
    if !is_atomic {
        return client
            .send_packed_commands(&pipeline, 0, commands.len())
            .await;
    }
    // The answers to MULTI and to each command say that it waits; that to EXEC has what came of them.
    pipeline.atomic();
    let answers = client
        .send_packed_commands(&pipeline, commands.len() + 1, 1)
        .await?;
    match answers.into_iter().next().map(own_error).transpose()? {
        Some(Value::Array(answers)) => Ok(answers),
        other => Ok(other.into_iter().collect()),
    }
}

/// An answer that is an error; those that are in it stay where they are.
fn own_error(answer: Value) -> Result<Value, RedisError> {
    match answer {
        Value::ServerError(error) => Err(error.into()),
        other => Ok(other),
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
        if connected.driver.is_finished() {
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
        let mut info = RedisConnectionInfo::default()
            .set_db(i64::from(self.url.database()))
            .set_skip_set_lib_name();
        if let Some(user) = self.url.user() {
            info = info.set_username(user);
        }
        if let Some(password) = &self.password {
            let password = password.read().map_err(Failure::Unavailable)?;
            info = info.set_password(password.expose_secret());
        }
        let allowance = Allowance::of(ANSWER_BYTES_MAX);
        // How long anything may take is ours to say.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let entering = |stream| MultiplexedConnection::new_with_config(&info, stream, config);
        let entered = match self.stream().await? {
            Stream::Plain(stream) => {
                let stream = Metered::new(stream, allowance.clone());
                entering(Box::new(stream) as Transport).await
            }
            Stream::Tls(stream) => {
                let stream = Metered::new(stream, allowance.clone());
                entering(Box::new(stream) as Transport).await
            }
        };
        let (client, driver) = entered.map_err(|error| match self.failure(&error, false) {
            Failure::Refused(why) => self.unavailable(&format!("lets nobody in: {why}")),
            failure => failure,
        })?;
        Ok(Connected {
            client,
            allowance,
            driver: self.runtime.spawn(driver).abort_handle(),
            _places: [node, tenant],
        })
    }

    /// A socket to it, at an address that is permitted.
    async fn stream(&self) -> Result<Stream, Failure> {
        let target = HttpTarget {
            // What is spoken on it is none of the socket's business; whether it is TLS is.
            scheme: if self.url.tls() {
                HttpScheme::Https
            } else {
                HttpScheme::Http
            },
            host: self.url.host().clone(),
            port: self.url.port(),
        };
        let connected = self.network.connect(&target, &self.tls, &self.listed).await;
        connected.map_err(|unopened| match unopened {
            Unopened::Prohibited(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                self.unavailable(&format!(
                    "isn't asked: its address {} isn't public, and isn't in `addresses` of [function.grants]",
                    addresses.join(", ")
                ))
            }
            Unopened::Failed(error) => self.unavailable(&format!("can't be reached: {error}")),
        })
    }

    fn unavailable(&self, what: &str) -> Failure {
        Failure::Unavailable(format!("{} {what}", self.url))
    }

    /// What an error of the client means.
    fn failure(&self, error: &RedisError, is_used_up: bool) -> Failure {
        if is_used_up {
            return Failure::TooMuch(format!(
                "the answer has more than {} MiB: ask for less at a time",
                ANSWER_BYTES_MAX >> 20
            ));
        }
        match error.kind() {
            // The client calls what it doesn't know an extension: `WRONGTYPE` is one.
            ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed => {
                let said = [error.code(), error.detail()];
                let said: Vec<&str> = said.into_iter().flatten().collect();
                Failure::Refused(if said.is_empty() {
                    error.to_string()
                } else {
                    said.join(" ")
                })
            }
            _ if error.is_io_error() || error.is_connection_dropped() => {
                self.unavailable(&format!("broke off ({error})"))
            }
            _ => self.unavailable(&format!("speaks no Redis that can be understood ({error})")),
        }
    }
}

/// A socket, with or without TLS.
type Transport = Box<dyn Socket>;

/// What a client needs of a socket.
trait Socket: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Socket for S {}
