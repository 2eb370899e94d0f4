//! What a node says of itself: access events here; logs are whatever subscriber the binary sets.

mod access;
mod book;
mod line;
pub mod metrics;
pub mod otlp;
mod shelf;
mod writer;

pub use access::{AccessFormat, AccessLogger};
pub use book::{Found, LogBook};
pub use line::{Filter, Line, Logged, Request, Source};
pub(crate) use shelf::Shelf;
