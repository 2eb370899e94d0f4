//! The response cache in front of functions: RFC 9111 (HTTP caching), 5861 (stale responses) and 9211 (`Cache-Status`) as
//! functions of a request, a response and a time, and a bounded store of what is kept.
//!
//! Does no IO, reads no clock and waits for nothing but in [`disk`]: the edge does, with what is decided here.

#![forbid(unsafe_code)]

pub mod control;
pub mod disk;
pub mod entry;
pub mod field;
pub mod freshness;
pub mod key;
mod shelf;
pub mod status;
pub mod storable;
pub mod store;
