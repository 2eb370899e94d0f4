//! What can be typed about nodes that others deploy to: running one, and asking one.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum, ValueHint};
use everwarm_manifest::{ByteSize, Millis};
use everwarm_node::TrustedProxies;
use everwarm_node::telemetry::otlp::OtlpUrl;

use super::{AppArg, BlobsArgs, BoundsArgs, EgressArgs, LogArg, SecretsKeyArg, TlsArgs};
use crate::settings;

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Where functions are served [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS", env = "EVERWARM_LISTEN", value_parser = settings::parse_listen)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the admin API is served [default: 127.0.0.1:3001]
    #[arg(long, value_name = "ADDRESS", env = "EVERWARM_ADMIN", value_parser = settings::parse_listen)]
    pub(crate) admin: Option<SocketAddr>,
    /// The domain below which apps answer [default: localhost]
    #[arg(long, value_name = "DOMAIN", env = "EVERWARM_BASE_DOMAIN")]
    pub(crate) base_domain: Option<String>,
    /// Where the node keeps its data [default: everwarm-data, or systemd's state directory]
    #[arg(long, value_name = "FOLDER", env = "EVERWARM_DATA_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Versions of each app that are kept, besides those that serve and the one before [default: 20]
    #[arg(long, value_name = "NUMBER", env = "EVERWARM_VERSIONS_MAX")]
    pub(crate) versions_max: Option<NonZeroU32>,
    /// How long requests in flight and background work may take when the node ends [default: 10s]
    #[arg(long, value_name = "TIME", env = "EVERWARM_DRAIN_MAX")]
    pub(crate) drain_max: Option<Millis>,
    /// Take over from the process that serves from the same data, without refusing a request
    #[arg(long)]
    pub(crate) take_over: bool,
    /// How long a component may take to compile, as in 30s [default: 60s]
    #[arg(long, value_name = "TIME", env = "EVERWARM_COMPILE_TIME_MAX")]
    pub(crate) compile_time_max: Option<Millis>,
    /// How much memory a component may take to compile, as in 2GiB [default: 4GiB]
    #[arg(long, value_name = "BYTES", env = "EVERWARM_COMPILE_MEMORY_MAX")]
    pub(crate) compile_memory_max: Option<ByteSize>,
    /// A file with the same settings as TOML; flags and the environment come before it
    #[arg(long, value_name = "FILE", env = "EVERWARM_CONFIG", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Print what is in force, and end
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) bounds: BoundsArgs,
    #[command(flatten)]
    pub(crate) clients: ClientsArgs,
    #[command(flatten)]
    pub(crate) egress: EgressArgs,
    #[command(flatten)]
    pub(crate) secrets_key: SecretsKeyArg,
    #[command(flatten)]
    pub(crate) log: LogArg,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) otlp: OtlpArgs,
    #[command(flatten)]
    pub(crate) blobs: BlobsArgs,
}

/// Where telemetry is sent. Keys of a collector are in OTEL_EXPORTER_OTLP_HEADERS, and no flag.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OtlpArgs {
    /// A collector that takes traces, logs and metrics by OTLP over HTTP, as in http://127.0.0.1:4318 [default: none]
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<OtlpUrl>,
    /// Of how many requests traces are recorded, from 0 to 1 [default: 1]
    #[arg(long, value_name = "NUMBER", env = "EVERWARM_OTLP_SAMPLE_RATIO")]
    pub(crate) otlp_sample_ratio: Option<settings::Ratio>,
}

/// How the node meets its clients.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ClientsArgs {
    /// Proxies that may say whom a request is from: addresses and networks, as in 10.0.0.0/8,::1 [default: none]
    #[arg(long, value_name = "NETWORKS", env = "EVERWARM_TRUSTED_PROXIES")]
    pub(crate) trusted_proxies: Option<TrustedProxies>,
    /// Connections that may be open at once [default: 16384]
    #[arg(long, value_name = "NUMBER", env = "EVERWARM_CONNECTIONS_MAX")]
    pub(crate) connections_max: Option<NonZeroU32>,
    /// Of these, from one address, or one IPv6 network of 64 bits [default: 1024]
    #[arg(
        long,
        value_name = "NUMBER",
        env = "EVERWARM_CONNECTIONS_PER_ADDRESS_MAX"
    )]
    pub(crate) connections_per_address_max: Option<NonZeroU32>,
    /// Time for a request's head, the wait for it included [default: 30s]
    #[arg(long, value_name = "TIME", env = "EVERWARM_HEAD_TIME_MAX")]
    pub(crate) head_time_max: Option<Millis>,
    /// Time without anything of a request's body that a function waits for [default: 20s]
    #[arg(long, value_name = "TIME", env = "EVERWARM_BODY_IDLE_MAX")]
    pub(crate) body_idle_max: Option<Millis>,
}

/// Which node is asked, and for whom. The token is kept by `login`, or in EVERWARM_TOKEN.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NodeArgs {
    /// The node's admin API, as in http://127.0.0.1:3001; `up` for the app that `up` serves from this folder [default:
    /// that of `login`]
    #[arg(long, value_name = "URL", env = "EVERWARM_NODE")]
    pub(crate) node: Option<String>,
    /// With a token of the node: for which tenant [default: default]
    #[arg(long, value_name = "NAME", env = "EVERWARM_TENANT")]
    pub(crate) tenant: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LoginArgs {
    /// The node's admin API
    #[arg(value_name = "URL", default_value = settings::ADMIN_URL_DEFAULT)]
    pub(crate) node: String,
    /// The file that the token is in [default: standard input]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
    /// The authority that the node's certificate is from, as PEM [default: those of the system]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeployArgs {
    #[command(flatten)]
    pub(crate) app: AppArg,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// The version's part of the requests, 0 to 99 [default: all of them]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(0..=99))]
    pub(crate) percent: Option<u8>,
    /// Requests with the same value of this header go to the same version
    #[arg(long, value_name = "HEADER", requires = "percent")]
    pub(crate) sticky_header: Option<String>,
    /// What the deploy is known by when it is sent again: then it isn't done twice [default: a random one]
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// A path that the new version has to answer with 2xx before it gets any request
    #[arg(long, value_name = "PATH")]
    pub(crate) health: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AppsArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VersionsArgs {
    /// The app
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    /// The app
    pub(crate) app: String,
    /// The version, or its first digits
    // `version` is clap's own flag.
    #[arg(id = "which", value_name = "VERSION")]
    pub(crate) version: String,
    /// Its part of the requests, 1 to 99 [default: all of them]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=99))]
    pub(crate) percent: Option<u8>,
    /// Requests with the same value of this header go to the same version
    #[arg(long, value_name = "HEADER", requires = "percent")]
    pub(crate) sticky_header: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RollbackArgs {
    /// The app
    pub(crate) app: String,
    /// The version to go back to, or its first digits [default: the one before]
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RmArgs {
    /// The app
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

// `--version` is this verb's own.
#[derive(Debug, clap::Args)]
#[command(disable_version_flag = true)]
pub(crate) struct LogsArgs {
    /// The app
    pub(crate) app: String,
    /// Go on as lines come
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How many of the newest lines to begin with
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) lines: u32,
    /// Lines of this version alone; its first digits do
    #[arg(id = "which", long = "version", value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// Lines of this function alone
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// Lines that are no older than this, as in `10m`
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Millis>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UsageArgs {
    /// How many hours back
    #[arg(long, value_name = "NUMBER", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8_784))]
    pub(crate) hours: u32,
    /// Print CSV
    #[arg(long)]
    pub(crate) csv: bool,
    /// All tenants; needs a token of the node
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// The file to write, `-` for standard output [default: everwarm-DATE.tar]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The backup, `-` for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// An empty folder, or one that isn't there yet [default: everwarm-data, or systemd's state directory]
    #[arg(long, value_name = "FOLDER", env = "EVERWARM_DATA_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Only check that the backup is whole
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    /// All tenants; needs a token of the node
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Needs a token of the node.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// List the tenants
    Ls(AppsArgs),
    /// Make a tenant, or set all its quotas anew
    Set(TenantSetArgs),
    /// Remove a tenant without apps, with its tokens
    Rm(TenantRmArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TenantSetArgs {
    /// The tenant
    pub(crate) name: String,
    /// Apps [default: no bound]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) apps: Option<u32>,
    /// Bytes of all its components [default: no bound]
    #[arg(long, value_name = "SIZE")]
    pub(crate) artifacts: Option<ByteSize>,
    /// Memory of its instances at once [default: no bound]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
    /// Requests that are worked on at once [default: no bound]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) concurrency: Option<u32>,
    /// Requests a second [default: no bound]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate: Option<u32>,
    /// Bytes of key-value data that each of its apps may keep [default: the node's, 1GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) kv_bytes: Option<ByteSize>,
    /// Entries of key-value data that each of its apps may keep [default: the node's, 1000000]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) kv_entries: Option<u64>,
    /// Bytes of messages that each of its apps may keep [default: the node's, 1GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) queue_bytes: Option<ByteSize>,
    /// Messages that each of its apps may keep [default: the node's, 1000000]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) queue_messages: Option<u64>,
    /// Bytes of blobs that each of its apps may keep [default: the node's, 10GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) blob_bytes: Option<ByteSize>,
    /// Blobs that each of its apps may keep [default: the node's, 1000000]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) blobs: Option<u64>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TenantRmArgs {
    /// The tenant
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List the tokens of the tenant, without their secrets
    Ls(TokenLsArgs),
    /// Make a token, and print it this once
    New(TokenNewArgs),
    /// Revoke a token, at once
    Rm(TokenRmArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TokenLsArgs {
    /// The node's own tokens instead of the tenant's
    #[arg(long)]
    pub(crate) of_node: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TokenNewArgs {
    /// What people call it
    pub(crate) name: String,
    /// What it may do
    #[arg(long, value_enum, default_value_t = ScopeArg::Deploy)]
    pub(crate) scope: ScopeArg,
    /// Days until it is refused [default: until it is removed]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=3_650))]
    pub(crate) days: Option<u64>,
    /// A token of the node, which may act for any tenant
    #[arg(long)]
    pub(crate) of_node: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TokenRmArgs {
    /// The token's public name
    pub(crate) id: String,
    /// It is one of the node's own
    #[arg(long)]
    pub(crate) of_node: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// What a token's bearer may do. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScopeArg {
    /// Look
    Read,
    /// Deploy, promote, roll back and remove apps; read and write their key-value data
    Deploy,
    /// Tokens and, with a token of the node, tenants
    Admin,
}
