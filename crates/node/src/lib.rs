//! One node: the composition root that puts store, engine, capabilities and edge together.
//!
//! Owns the order of start, deploy and drain. Every real decision is in the crates below.

#![forbid(unsafe_code)]

pub mod config;
pub mod deploy;
mod machine_code;
mod node;
mod routes;
pub mod telemetry;

pub use config::NodeConfig;
pub use deploy::{DeployError, Deployed, Stage};
pub use everwarm_engine::compile::{COMPILER_VERB, CompilerCommand, compiler_main};
pub use everwarm_engine::priority::be_prompt;
pub use everwarm_engine::request::{Request, RequestBody};
pub use node::{Node, StartError};
