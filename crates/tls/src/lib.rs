//! Certificates: read from files and read again when they change, had from an ACME server, and found by name.
//!
//! Owns which certificate a name gets. Knows nothing of sockets, apps or requests.

#![forbid(unsafe_code)]

pub mod acme;
pub mod certificate;
pub mod certificates;
mod names;
pub mod server;
pub mod source;

pub use certificates::Certificates;
pub use source::Source;
