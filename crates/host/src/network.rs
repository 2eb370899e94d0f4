//! The network outside, as all capabilities that reach it share it: names, whom TLS trusts, which addresses may be
//! connected to, and how many connections there may be. Knows nothing of what is spoken on them.

mod connect;
mod failure;
mod metered;
mod resolve;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use everwarm_manifest::{HttpTarget, TenantId};
use ipnet::IpNet;
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::sync::Semaphore;

use crate::shares::{Shares, shared};
pub(crate) use connect::{Stream, Unopened};
pub(crate) use failure::of_io;
pub(crate) use metered::{Allowance, Metered};
use resolve::Resolver;
use tls::Roots;
pub use tls::RootsError;

/// Connections that one tenant may have open.
const CONNECTIONS_OF_TENANT_MAX: usize = 1_024;
/// Connections that a node may have open, unless told otherwise.
const CONNECTIONS_MAX: usize = 8_192;

/// What the network is set up with.
#[derive(Debug, Clone)]
pub struct EgressConfig {
    /// Name servers to ask; those of the system if there are none.
    pub name_servers: Vec<SocketAddr>,
    /// Files with certificates of authorities that are trusted besides the system's.
    pub trusted_cas: Vec<PathBuf>,
    /// Connections that may be open at once.
    pub connections_max: usize,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            name_servers: Vec::new(),
            trusted_cas: Vec::new(),
            connections_max: CONNECTIONS_MAX,
        }
    }
}

/// The network can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// A certificate that should be trusted can't be.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

/// See the module's documentation.
pub(crate) struct Network {
    resolver: Resolver,
    roots: Roots,
    connections: Arc<Semaphore>,
    tenants: Mutex<Shares<TenantId, Semaphore>>,
}

impl Network {
    /// Reads the certificates that the node is told to trust, and which name servers there are.
    pub(crate) fn new(config: &EgressConfig) -> Result<Self, EgressError> {
        Ok(Self {
            resolver: Resolver::new(&config.name_servers),
            roots: Roots::read(&config.trusted_cas)?,
            connections: Arc::new(Semaphore::new(config.connections_max)),
            tenants: Mutex::default(),
        })
    }

    /// How many connections the node may have open.
    pub(crate) fn connections(&self) -> &Arc<Semaphore> {
        &self.connections
    }

    /// How many connections a tenant may have open.
    pub(crate) fn tenant(&self, tenant: &TenantId) -> Arc<Semaphore> {
        shared(&self.tenants, tenant.clone(), || {
            Semaphore::new(CONNECTIONS_OF_TENANT_MAX)
        })
    }

    /// How TLS is spoken by one tenant, who resumes no session of another, with these protocols to choose from.
    pub(crate) fn tls(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        self.roots.config(protocols)
    }

    /// Connects to `target`, at an address that is public or in `listed`.
    pub(crate) async fn connect(
        &self,
        target: &HttpTarget,
        tls: &Arc<ClientConfig>,
        listed: &[IpNet],
    ) -> Result<Stream, Unopened> {
        connect::connect(&self.resolver, tls, target, listed).await
    }
}
