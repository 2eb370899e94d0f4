//! `everwarm.toml` to a valid [`App`], with every mistake told at once. Pure: reads no file, hashes
//! nothing, and knows neither Wasmtime nor a store.

#![forbid(unsafe_code)]

mod app;
pub mod cache;
mod config;
mod diagnostics;
mod digest;
mod parse;
mod schema;

pub mod assets;
pub mod grants;
pub mod limits;
pub mod mounts;
pub mod names;
pub mod quantity;
pub mod route;
pub mod triggers;

pub use app::{
    App, BlobContainer, Build, Compress, Function, Isolation, RedisServer, RenderError,
    SqlDatabase, UnknownWord, World,
};
pub use assets::{
    ASSETS_MAX, ASSETS_NAME, AssetPath, AssetPathError, Assets, AssetsAt, Glob, GlobError,
    IMMUTABLE_MAX,
};
pub use cache::Cache;
pub use config::{CONFIG_MAX, CONFIG_NAME_BYTES_MAX, ConfigName, ConfigNameError};
pub use diagnostics::{Diagnostic, ErrorCode, ManifestErrors, Place};
pub use digest::{Digest, DigestError};
pub use grants::{
    ADDRESSES_MAX, BucketName, GrantError, Grants, HTTP_GRANTS_MAX, HttpGrant, HttpScheme,
    HttpTarget, SECRETS_GRANTED_MAX, TargetError, TargetHost,
};
pub use limits::Limits;
pub use mounts::{Mount, MountAt};
pub use names::{
    AppName, ContainerName, DatabaseName, FunctionName, NameError, QueueName, RedisName,
    ScheduleName, TenantId,
};
pub use parse::{
    CONTAINERS_MAX, DATABASES_MAX, ENV_MAX, FUNCTIONS_MAX, MANIFEST_BYTES_MAX, ROUTES_MAX,
    WATCH_PATHS_MAX,
};
pub use quantity::{ByteSize, Millis, QuantityError};
pub use route::{HostPattern, Hostname, PathPattern, RouteError, RoutePattern, Segment};
pub use schema::schema;
