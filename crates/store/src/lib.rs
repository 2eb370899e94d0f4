//! What a node keeps: the ports, one conformance suite, and the embedded engine.
//!
//! Owns the contracts that every store engine honours ([`catalog`], [`artifacts`], [`accounts`], [`audit`], [`usage`],
//! [`kv`], [`secrets`], [`sql`], [`triggers`], [`blobs`]) and the engine that needs nothing but a folder ([`embedded`]). Knows nothing of Wasm, HTTP or machine code.
//!
//! # Why the ports are async, with boxed futures
//!
//! The engines to come talk to other machines; they are async by nature, and a blocking port would make each of their
//! calls hold a thread. So the ports are async and the embedded engine, which does block, moves its work to threads of
//! its own. The futures are boxed because callers hold a `dyn Store`: which engine is in use is a setting, not a type.
//! One allocation a call is nothing beside a write that is synced to disk. On the path of a request is [`kv`] alone:
//! what the embedded engine reads of it, it reads where the future is polled.
//!
//! The futures need no particular runtime. Dropping one abandons the answer, not the work: a write
//! that was asked for may still happen, whole.

#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;

pub mod accounts;
pub mod artifacts;
pub mod audit;
pub mod blobs;
pub mod catalog;
pub mod conformance;
pub mod embedded;
pub mod kv;
pub mod once;
pub mod secrets;
pub mod sql;
pub mod traffic;
pub mod triggers;
pub mod usage;

/// What a port's method returns.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store engine: all ports behind one value.
///
/// Every row and every file belongs to a tenant, and no method reaches across tenants but those
/// that say so.
pub trait Store: Send + Sync {
    /// Apps, their versions, and which version is live.
    fn catalog(&self) -> &dyn catalog::Catalog;

    /// The bytes of components.
    fn artifacts(&self) -> &dyn artifacts::Artifacts;

    /// Tenants, quotas and tokens.
    fn accounts(&self) -> &dyn accounts::Accounts;

    /// Who changed what.
    fn audit(&self) -> &dyn audit::Audit;

    /// What functions used.
    fn usage(&self) -> &dyn usage::UsageLog;

    /// What functions keep by key.
    fn kv(&self) -> &dyn kv::KeyValue;

    /// Secrets of apps, sealed.
    fn secrets(&self) -> &dyn secrets::Secrets;

    /// What functions keep in tables.
    fn sql(&self) -> &dyn sql::Databases;

    /// Messages of queues and runs of schedules.
    fn triggers(&self) -> &dyn triggers::Triggers;

    /// What functions keep as streams.
    fn blobs(&self) -> &dyn blobs::Blobs;
}

/// The cause behind a port's failure, in the words of the engine that failed.
pub type EngineError = Box<dyn std::error::Error + Send + Sync>;
