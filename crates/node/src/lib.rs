//! One node: the composition root that puts store, engine, capabilities and edge together.
//!
//! Owns the order of start, deploy and drain. Every real decision is in the crates below.

#![forbid(unsafe_code)]

pub mod admin;
mod app_data;
pub mod app_quotas;
mod apps;
pub mod backup;
mod bundles;
pub mod config;
pub mod deploy;
mod domain;
pub mod garbage;
pub mod handover;
mod keeping;
mod kept_answers;
mod listeners;
mod locks;
pub mod machine;
mod machine_code;
pub mod metering;
mod node;
pub mod operate;
mod previews;
mod readiness;
pub mod s3;
pub mod secrets;
mod served;
pub mod sockets;
mod start_error;
mod stores;
mod targets;
pub mod telemetry;
mod triggers;
mod turns;

pub use app_quotas::AppQuotas;
pub use config::NodeConfig;
pub use deploy::{
    Bundle, Components, Deploy, DeployError, DeployFailure, Deployed, Rollout, Stage,
};
pub use domain::Domain;
pub use everwarm_edge::forwarded::TrustedProxies;
pub use everwarm_edge::ingress::{Ending, Limits as IngressLimits, Listener};
pub use everwarm_engine::allocator::Mimalloc;
pub use everwarm_engine::compile::{COMPILER_VERB, CompilerCommand, compiler_main};
pub use everwarm_engine::config::PoolSize;
pub use everwarm_engine::priority::be_prompt;
pub use everwarm_engine::request::{Request, RequestBody};
pub use everwarm_host::EgressConfig;
pub use everwarm_store::accounts::Quotas;
pub use everwarm_store::sql::{Migration, Migrations};
pub use everwarm_tls::Source;
pub use everwarm_tls::acme::AcmeConfig;
pub use kept_answers::CacheRoom;
pub use listeners::{Bound, TlsConfig};
pub use node::Node;
pub use start_error::StartError;
