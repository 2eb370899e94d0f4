//! Redis servers of an app that a function is granted: `everwarm:redis`.
//!
//! Owns what a function may ask, and the bounds of a call. Connections are in `connections`, which commands may go over one
//! that others have next in `rules`; `convert` knows the interface.

mod connections;
mod convert;
mod rules;

use std::sync::Arc;
use std::time::Instant;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::grants::RedisUrl;
use everwarm_manifest::{AppName, ConfigName, RedisName, RedisServer, TenantId, World};
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};

use crate::GuestOutput;
use crate::network::Network;
use crate::notice::Notices;
use crate::secrets::{Password, SecretBook};
use crate::shares::{Shares, shared};
use connections::{Connections, Server};

/// Commands of one call.
const COMMANDS_MAX: usize = 100;
/// Arguments of the commands of one call.
const ARGUMENTS_MAX: usize = 10_000;
/// Bytes of all of them.
const ARGUMENTS_BYTES_MAX: usize = 4 << 20;
/// Answers that one tenant's functions wait for at once: each may be as large as one may be.
const ANSWERS_OF_TENANT_MAX: usize = 16;

/// See the module's documentation.
pub struct Redis {
    network: Arc<Network>,
    secrets: Arc<SecretBook>,
    output: Option<Arc<dyn GuestOutput>>,
    /// The node's own runtime, on which connections live. A tool that runs functions without a node may have none.
    runtime: Option<Handle>,
    servers: Mutex<Shares<ServerKey, Connections>>,
    answers: Mutex<Shares<TenantId, Semaphore>>,
}

/// Whose connections may be shared: one app's, to one server as one user, made under one list of addresses.
type ServerKey = (TenantId, AppName, RedisUrl, Option<ConfigName>, Vec<IpNet>);

impl Redis {
    /// Servers are reached by `network`, with passwords from `secrets`.
    pub(crate) fn new(
        network: Arc<Network>,
        secrets: Arc<SecretBook>,
        output: Option<Arc<dyn GuestOutput>>,
    ) -> Self {
        Self {
            network,
            secrets,
            output,
            runtime: Handle::try_current().ok(),
            servers: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// The connections to a server; `None` where this is no node.
    fn connections(
        &self,
        function: &FunctionSpec,
        server: &RedisServer,
    ) -> Option<Arc<Connections>> {
        let runtime = self.runtime.clone()?;
        let listed = function.grants.addresses.clone();
        let key = (
            function.tenant.clone(),
            function.app.clone(),
            server.url.clone(),
            server.password.clone(),
            listed.clone(),
        );
        Some(shared(&self.servers, key, || {
            let secrets = || self.secrets.of(&function.tenant, &function.app);
            let password = server.password.clone();
            Connections::new(Server {
                url: server.url.clone(),
                password: password.map(|name| Password::new(secrets(), name, &function.app)),
                listed,
                network: Arc::clone(&self.network),
                // Redis names no protocol in its handshake.
                tls: self.network.tls(&[]),
                tenant: self.network.tenant(&function.tenant),
                answers: shared(&self.answers, function.tenant.clone(), || {
                    Semaphore::new(ANSWERS_OF_TENANT_MAX)
                }),
                runtime,
            })
        }))
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Capability for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn interfaces(&self, _world: World) -> &'static [&'static str] {
        &["everwarm:redis/client@0.1.0"]
    }

    fn link(&self, linker: &mut Linker<Sandbox>, _world: World) -> wasmtime::Result<()> {
        use convert::bindings::everwarm::redis::client;

        fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
            sandbox
        }
        client::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)
    }

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        let servers = function.redis.iter().filter_map(|server| {
            let connections = self.connections(function, server)?;
            Some((server.name.as_str().to_owned(), connections))
        });
        Ok(Arc::new(Granted {
            servers: servers.collect(),
            notices: Notices::new(function, self.output.clone()),
        }))
    }

    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}

/// A command's name and its arguments.
type Command = Vec<Vec<u8>>;

/// What one function may ask.
struct Granted {
    servers: Vec<(String, Arc<Connections>)>,
    notices: Notices,
}

/// Why a command wasn't done, or isn't known to be.
#[derive(Debug)]
enum Failure {
    NoSuchServer,
    AccessDenied,
    Refused(String),
    NotAllowed(String),
    Unavailable(String),
    Timeout(String),
    TooMuch(String),
}

impl Granted {
    fn find(&self, name: &str) -> Result<&Connections, Failure> {
        if let Some((_, server)) = self.servers.iter().find(|(known, _)| known == name) {
            return Ok(server);
        }
        if RedisName::new(name).is_err() {
            return Err(Failure::NoSuchServer);
        }
        self.notices.say("a Redis server wasn't asked", |function| {
            format!(
                "Redis server `{name}` denied: no grant allows it. To allow it, declare it in [[redis]] and add \
                 \"{name}\" to `redis` in [function.grants] of the function `{function}`"
            )
        });
        Err(Failure::AccessDenied)
    }

    /// Has commands done. Each has its answer.
    async fn ask(
        &self,
        server: &str,
        commands: &[Command],
        is_atomic: bool,
        until: Option<Instant>,
    ) -> Result<Vec<redis::Value>, Failure> {
        let connections = self.find(server)?;
        check(commands)?;
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let answers = connections.ask(commands, is_atomic, until).await;
        if let Err(Failure::Unavailable(why)) = &answers {
            self.notices.say("a Redis server isn't there", |function| {
                format!("what the function `{function}` asked of a Redis server wasn't done: {why}")
            });
        }
        answers
    }
}

/// Whether this may be asked at all.
fn check(commands: &[Command]) -> Result<(), Failure> {
    if commands.len() > COMMANDS_MAX {
        let text = format!("a call has {COMMANDS_MAX} commands at most: make several of it");
        return Err(Failure::TooMuch(text));
    }
    let arguments: usize = commands.iter().map(Vec::len).sum();
    let bytes: usize = commands.iter().flatten().map(Vec::len).sum();
    if arguments > ARGUMENTS_MAX || bytes > ARGUMENTS_BYTES_MAX {
        return Err(Failure::TooMuch(format!(
            "the commands of a call have {ARGUMENTS_MAX} arguments and {} MiB at most",
            ARGUMENTS_BYTES_MAX >> 20
        )));
    }
    for command in commands {
        rules::check(command).map_err(Failure::NotAllowed)?;
    }
    Ok(())
}
