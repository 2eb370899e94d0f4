//! Queues and schedules call functions.
//!
//! Owns when a message is delivered, what a call of a handler looks like, what its answer means, and the tasks that see
//! to it ([`Runner`]). Messages are the store's ([`everwarm_store::triggers`]); a function is called through [`Caller`],
//! behind which are routes, instances and limits. What can be decided without a clock or a socket is: [`backoff`],
//! [`plan`], [`call`] and [`verdict`] are pure.

#![forbid(unsafe_code)]

pub mod backoff;
pub mod call;
pub mod plan;
mod runner;
pub mod verdict;

pub use call::{Answer, Call, CallError, CallFuture, Caller};
pub use runner::{AppTriggers, Counts, Occasion, Runner};
