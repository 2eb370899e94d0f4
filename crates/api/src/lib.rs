//! The admin API of a node: what is said over it, its operations, and a typed client.
//!
//! Owns the contract between the command line and a node: types, paths, scopes, problem documents, the form of a
//! token. The OpenAPI document is made of the same types and of the same list of operations that the node's router
//! is made of. Knows nothing of how a node does what it is asked.

#![forbid(unsafe_code)]

pub mod client;
pub mod messages;
pub mod openapi;
pub mod operations;
pub mod page;
pub mod problem;
pub mod token;
