//! The capabilities of guests, one file each, behind the engine's trait.
//!
//! Every file owns one power: what it links, what it takes from the manifest, what an instance
//! gets. None knows another. `denied` answers the interfaces that standard libraries import
//! whether they use them or not, and that nothing grants.

#![forbid(unsafe_code)]

mod blobs;
mod cache;
mod clocks;
mod config;
mod denied;
mod egress;
mod environment;
mod files;
mod keyvalue;
mod logging;
mod network;
mod notice;
mod output;
mod own_http;
mod patience;
mod queue;
mod random;
mod redis;
mod secrets;
mod shares;
mod sql;
mod stdio;
mod stores;

use std::sync::Arc;

use everwarm_engine::capability::{Capabilities, State};
use everwarm_engine::outbound::Services;
use everwarm_engine::span::Spans;

use network::Network;
use output::Output;

pub use blobs::Blobs;
pub use cache::Cache;
pub use clocks::Clocks;
pub use config::Config;
pub use denied::Denied;
pub use egress::Egress;
pub use environment::Environment;
pub use files::Files;
pub use keyvalue::KeyValue;
pub use logging::Logging;
pub use network::{EgressConfig, EgressError, RootsError};
pub use output::{GuestLine, GuestOutput, Level, SaidBy};
pub use own_http::own_http;
pub use queue::Queue;
pub use random::Random;
pub use redis::Redis;
pub use secrets::{Secret, SecretBook, SecretMap};
pub use sql::Sql;
pub use stdio::Stdio;
pub use stores::{Sending, Stores};

/// What capabilities need of the node that they are part of. What is absent, functions don't have.
#[derive(Clone, Default)]
pub struct NodeSide {
    /// Where goes what guests print and what is said of them, besides the log.
    pub output: Option<Arc<dyn GuestOutput>>,
    /// Carries calls to other functions.
    pub services: Option<Arc<dyn Services>>,
    /// What is kept for functions.
    pub stores: Option<Arc<dyn Stores>>,
    /// Secrets of all apps.
    pub secrets: Arc<SecretBook>,
    /// Takes spans of what is done for requests that are recorded.
    pub spans: Option<Arc<dyn Spans>>,
}

/// Every capability that a node has, in the order in which they are linked.
///
/// # Errors
///
/// When one can't be set up as `egress` says.
pub fn all(node: NodeSide, egress: &EgressConfig) -> Result<Capabilities, EgressError> {
    let NodeSide {
        output,
        services,
        stores,
        secrets,
        spans,
    } = node;
    let said = Output::new(output.clone());
    let network = Arc::new(Network::new(egress)?);
    Ok(Capabilities::new(vec![
        Arc::new(Environment),
        Arc::new(Config::new(Arc::clone(&secrets), output.clone())),
        Arc::new(Clocks),
        Arc::new(Random),
        Arc::new(Stdio::new(Arc::clone(&said))),
        Arc::new(Logging::new(said)),
        Arc::new(Egress::new(Arc::clone(&network), output.clone(), services)),
        Arc::new(KeyValue::new(stores.clone(), output.clone())),
        Arc::new(Cache::new(
            stores.as_ref().map(|stores| Arc::clone(stores.kept())),
            output.clone(),
        )),
        Arc::new(Queue::new(stores.clone(), output.clone())),
        Arc::new(Blobs::new(stores.clone(), output.clone())),
        Arc::new(Files::new(stores.clone(), output.clone())),
        Arc::new(Redis::new(
            Arc::clone(&network),
            Arc::clone(&secrets),
            output.clone(),
        )),
        Arc::new(Sql::new(stores, network, secrets, output)),
        Arc::new(Denied),
    ])
    .recorded(spans))
}

/// The state of a capability that keeps nothing for a function.
fn stateless() -> State {
    Arc::new(())
}
