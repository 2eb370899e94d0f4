//! The harness of the end-to-end tests: an app's folder, the real binary that serves it, and clients
//! that talk to it over real sockets.
//!
//! Owns that every process, folder and connection of a test is gone when the test ends, and that every
//! wait has a deadline. Knows nothing of the crates under test: all it sees is what a user sees, which the admin
//! API's client is a part of.

#![forbid(unsafe_code)]

pub mod acme;
pub mod app;
pub mod asked;
pub mod blobs;
pub mod client;
mod code;
pub mod collector;
pub mod deadline;
pub mod deliveries;
pub mod frames;
mod installed;
pub mod kept;
pub mod load;
pub mod log;
pub mod mounted;
pub mod names;
pub mod node;
pub mod postgres;
pub mod raw;
pub mod redis;
pub mod reply;
pub mod rude;
pub mod s3;
pub mod server;
pub mod site;
pub mod tls;
pub mod upstream;
pub mod values;

pub use app::{App, World};
pub use client::{Connection, Request};
pub use deadline::{eventually, within};
pub use installed::{component, everwarm};
pub use names::NameServer;
pub use node::{Node, Refusal};
pub use postgres::Postgres;
pub use redis::Redis;
pub use reply::Reply;
pub use s3::S3;
pub use server::{DataFolder, NewApp, Server};
pub use site::Site;
pub use tls::{Authority, Pair, TlsClient};
pub use upstream::Upstream;

/// Runs each test for WASI 0.2 and for WASI 0.3, as two tests of their own.
///
/// ```ignore
/// everwarm_e2e::both_worlds! {
///     async fn hello_is_served(world: World) { ... }
/// }
/// ```
#[macro_export]
macro_rules! both_worlds {
    ($($(#[$meta:meta])* async fn $name:ident($world:ident: $type:ty) $body:block)+) => {
        $(
            $(#[$meta])*
            mod $name {
                #[allow(unused_imports, reason = "a test may need nothing from its file")]
                use super::*;

                async fn story($world: $type) $body

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn wasi_02() {
                    story($crate::World::Wasi02).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn wasi_03() {
                    story($crate::World::Wasi03).await;
                }
            }
        )+
    };
}
