//! What a node says of itself: access events here; logs are whatever subscriber the binary sets.

mod access;
mod book;
pub mod metrics;
pub mod otlp;
mod shelf;
mod writer;

pub use access::{AccessFormat, AccessLogger};
pub use book::{Filter, Found, Line, LogBook, Logged, Request, Source};
pub(crate) use shelf::Shelf;
