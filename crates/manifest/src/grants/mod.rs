//! What a function may use of the world outside it: where it may send HTTP requests, what it may open. Owns the text
//! form of grants and what each allows. Doesn't look names up and sends nothing: who does asks here first.
//!
//! The rules, which `docs/manifest.md` tells users:
//!
//! - A grant is `scheme://host[:port]`. Its host is a name, `*.name` (every name under it, not itself), `*`
//!   (every name and every public address), or an address.
//! - Names have the normal form of [`Hostname`](crate::Hostname). One that a resolver could read as an
//!   address is refused everywhere, so that each text means one thing to all who read it.
//! - No grant in `http` reaches names in `internal`: they never leave the node. Functions of the same app have such
//!   names, and are granted in `functions`.
//! - `addresses` are those that granted names may resolve to although they aren't public.

pub mod address;
mod authority;
mod bucket;
mod http;
mod network;
mod postgres;
mod redis;
mod target;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::ConfigName;
use crate::names::{ContainerName, DatabaseName, FunctionName, QueueName, RedisName};

pub use bucket::{BUCKET_BYTES_MAX, BucketName, BucketNameError};
pub use http::{GrantError, HttpGrant};
pub(crate) use network::parse as parse_network;
pub use postgres::{PostgresUrl, PostgresUrlError};
pub use redis::{RedisUrl, RedisUrlError};
pub use target::{HttpScheme, HttpTarget, TargetError, TargetHost};

/// The most grants in `http`.
pub const HTTP_GRANTS_MAX: usize = 100;
/// The most names in `functions`.
pub const FUNCTIONS_GRANTED_MAX: usize = 100;
/// The most names in `kv`.
pub const BUCKETS_GRANTED_MAX: usize = 100;
/// The most names in `secrets`.
pub const SECRETS_GRANTED_MAX: usize = 100;
/// The most names in `sql`.
pub const DATABASES_GRANTED_MAX: usize = 100;
/// The most names in `redis`.
pub const REDIS_GRANTED_MAX: usize = 100;
/// The most names in `queues`.
pub const QUEUES_GRANTED_MAX: usize = 100;
/// The most names in `blobs`.
pub const CONTAINERS_GRANTED_MAX: usize = 100;
/// The most networks in `addresses`.
pub const ADDRESSES_MAX: usize = 100;

/// What a function may use of the world outside it. Nothing, unless its manifest says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Where it may send HTTP requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// What the names of `http` may resolve to besides public addresses. An address that is itself
    /// granted in `http` needs no place here.
    #[serde(skip_serializing_if = "Vec::is_empty", with = "network")]
    pub addresses: Vec<IpNet>,
    /// Which functions of its own app it may call, at `http://<name>.everwarm.internal/`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<FunctionName>,
    /// Which of its app's key-value stores it may open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kv: Vec<BucketName>,
    /// Which secrets of its app it may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<ConfigName>,
    /// Which of its app's SQL databases it may open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sql: Vec<DatabaseName>,
    /// Which of its app's Redis servers it may ask.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redis: Vec<RedisName>,
    /// To which of its app's queues it may send.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<QueueName>,
    /// Whether it may keep values in the node's memory for a time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cache: bool,
    /// Which of its app's containers of blobs it may open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<ContainerName>,
}

impl Grants {
    /// Whether there is nothing that the function may use.
    pub fn is_empty(&self) -> bool {
        self.http.is_empty()
            && self.addresses.is_empty()
            && self.functions.is_empty()
            && self.kv.is_empty()
            && self.secrets.is_empty()
            && self.sql.is_empty()
            && self.redis.is_empty()
            && self.queues.is_empty()
            && !self.cache
            && self.blobs.is_empty()
    }
}
