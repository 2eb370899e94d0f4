//! Wasmtime, and everything that knows it: compiling, artifacts, resident functions, instances,
//! invocation and limits.
//!
//! The only crate of the workspace with `unsafe` code. Returns usage as data and faults as values;
//! knows nothing of routes, tenants' quotas, metrics or how an error is answered.

pub mod allocator;
pub mod artifact;
pub mod capability;
pub mod compile;
pub mod config;
mod convert;
mod cpu;
mod eviction;
mod exchange;
pub mod fault;
mod fields;
pub mod function;
pub mod heavy;
pub mod hurry;
pub mod incremental;
pub mod inspect;
pub mod instance;
pub mod invoke;
pub mod lane;
mod limits;
mod meter;
pub mod outbound;
pub mod own;
mod pagemap;
mod pipe;
pub mod priority;
pub mod request;
mod request_id;
pub mod resident;
mod resource;
pub mod runtime;
mod sandbox;
mod slots;
pub mod span;
mod stock;
pub mod stripes;
mod task;
pub mod ticker;
pub mod trace;
pub mod usage;
mod wasi02;
mod wasi03;

pub use request_id::RequestId;
pub use sandbox::Sandbox;
