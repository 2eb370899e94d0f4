//! What a node says of itself: access events here; logs are whatever subscriber the binary sets.

mod access;
pub mod metrics;
mod writer;

pub use access::{AccessFormat, AccessLogger};
