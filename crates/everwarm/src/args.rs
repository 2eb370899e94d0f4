//! What can be typed: verbs and flags, each defined once, for clap. What they mean together with the
//! environment and the defaults is `settings`'.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use everwarm_manifest::ByteSize;

use crate::settings;

mod blob;
mod blobs;
mod cache;
mod egress;
mod kv;
mod node;
mod secret;
mod tls;
mod triggers;

pub(crate) use blob::*;
pub(crate) use blobs::BlobsArgs;
pub(crate) use cache::*;
pub(crate) use egress::EgressArgs;
pub(crate) use kv::*;
pub(crate) use node::*;
pub(crate) use secret::*;
pub(crate) use tls::TlsArgs;
pub(crate) use triggers::*;

/// Run Rust functions as WebAssembly components, each request in a fresh sandbox.
#[derive(Debug, Parser)]
#[command(
    name = "everwarm",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 manifest, 4 build, 5 node, \
    6 the function answered 5xx.\nEvery error code (EWnnnn) has a page: https://everwarm.dev/errors"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How everything is shown.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OutputArgs {
    /// Print data as JSON (`up`: one event a line)
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: ColorArg,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorArg {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start an app in a new folder
    New(NewArgs),
    /// Build an app's components
    Build(BuildArgs),
    /// Build an app, serve it on this machine, and rebuild it when a file changes
    Up(UpArgs),
    /// Build an app and send it one request, without a port
    Invoke(InvokeArgs),
    /// Check this machine, and say how to mend what is missing
    Doctor(DoctorArgs),
    /// Serve many apps on a node that others deploy to
    Serve(Box<ServeArgs>),
    /// Keep the address of a node and a token for it
    Login(LoginArgs),
    /// Build an app and deploy it to a node
    Deploy(DeployArgs),
    /// List the apps on a node
    Apps(AppsArgs),
    /// List the versions of an app on a node
    Versions(VersionsArgs),
    /// Give a version all requests of its app, or a part
    Promote(PromoteArgs),
    /// Go back to the version that served before
    Rollback(RollbackArgs),
    /// Remove an app from a node, with all its versions and its key-value data
    Rm(RmArgs),
    /// What an app's functions printed, and the lines of their requests
    Logs(LogsArgs),
    /// What an app keeps by key: look at it, change it, export and import it
    #[command(subcommand)]
    Kv(KvCommand),
    /// What an app keeps as streams: list blobs, read, write and remove them
    #[command(subcommand)]
    Blob(BlobCommand),
    /// Queues of an app: how they stand, their messages, send, pause, deliver again
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Schedules of an app: when each is due, run one now, pause
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// What is kept of an app's answers
    #[command(subcommand)]
    Cache(CacheCommand),
    /// What functions used, by the hour
    Usage(UsageArgs),
    /// Who changed what on a node
    Audit(AuditArgs),
    /// Copy all that a node keeps into a file, while it serves
    Backup(BackupArgs),
    /// Make a data folder of a backup, for `serve` to start on
    Restore(RestoreArgs),
    /// The tenants of a node, and what each may use
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// The tokens that a node knows
    #[command(subcommand)]
    Token(TokenCommand),
    /// The secrets of an app, and the keys that seal them
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the JSON schema of everwarm.toml, for editors
    Schema,
    /// Write a man page for each verb into a folder
    #[command(hide = true)]
    Man(ManArgs),
    /// Compile a component from standard input (the node starts this itself)
    #[command(hide = true)]
    CompileComponent,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// The app's name: lower-case letters, digits and hyphens
    pub(crate) name: String,
    /// What to start from
    #[arg(long, value_enum, default_value_t)]
    pub(crate) template: TemplateArg,
    /// The folder to create [default: the name]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) path: Option<PathBuf>,
}

/// What a new app starts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TemplateArg {
    /// One async fn on the Everwarm SDK
    #[default]
    Http,
    /// A JSON API with an axum router
    Axum,
    /// WASI 0.3 bindings, no SDK
    Bare,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) app: AppArg,
}

/// Which app is meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AppArg {
    /// The app's folder [default: the current one]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) folder: Option<PathBuf>,
}

/// Where a node keeps what it stores.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataDirArg {
    /// Where the node keeps its data [default: .everwarm in the app's folder]
    #[arg(long, value_name = "FOLDER", env = "EVERWARM_DATA_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) app: AppArg,
    /// Where to listen: an address and a port, or a port on 127.0.0.1 (0: any free one)
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "EVERWARM_LISTEN",
        default_value = settings::LISTEN_DEFAULT,
        value_parser = settings::parse_listen
    )]
    pub(crate) listen: SocketAddr,
    /// Don't rebuild when a file changes
    #[arg(long)]
    pub(crate) no_watch: bool,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArg,
    #[command(flatten)]
    pub(crate) bounds: BoundsArgs,
    #[command(flatten)]
    pub(crate) egress: EgressArgs,
    #[command(flatten)]
    pub(crate) blobs: BlobsArgs,
    #[command(flatten)]
    pub(crate) otlp: OtlpArgs,
    #[command(flatten)]
    pub(crate) secrets: SecretsFileArg,
    #[command(flatten)]
    pub(crate) log: LogArg,
}

/// Bounds on the node as a whole; each function has limits of its own in the manifest.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
#[expect(
    clippy::struct_field_names,
    reason = "what a number bounds stands last in its name"
)]
pub(crate) struct BoundsArgs {
    /// Requests that the node works on at once; it refuses more [default: 4096]
    #[arg(long, value_name = "NUMBER", env = "EVERWARM_REQUESTS_MAX")]
    pub(crate) requests_max: Option<NonZeroU32>,
    /// Instances that are alive at once, for WASI 0.2 and for 0.3 each; each reserves address space [default: 2000]
    #[arg(long, value_name = "NUMBER", env = "EVERWARM_INSTANCES_MAX", value_parser = settings::parse_instances)]
    pub(crate) instances_max: Option<NonZeroU32>,
    /// Machine code that stays in memory; what is used least goes first [default: 1GiB]
    #[arg(long, value_name = "SIZE", env = "EVERWARM_RESIDENT_MAX")]
    pub(crate) resident_max: Option<ByteSize>,
    /// Memory for answers that are kept, and for values that functions keep; a tenant has half of it [default: 128MiB]
    #[arg(long, value_name = "SIZE", env = "EVERWARM_CACHE_MEMORY_MAX")]
    pub(crate) cache_memory_max: Option<ByteSize>,
    /// Room in the data folder for answers that memory has let go of, 0B for none; a tenant has half of it [default: 1GiB, and
    /// none for `up`]
    #[arg(long, value_name = "SIZE", env = "EVERWARM_CACHE_DISK_MAX")]
    pub(crate) cache_disk_max: Option<ByteSize>,
}

/// What is logged.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LogArg {
    /// What to log, as in `info` or `everwarm_edge=debug`
    #[arg(long, value_name = "FILTER", env = "EVERWARM_LOG")]
    pub(crate) log: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InvokeArgs {
    #[command(flatten)]
    pub(crate) app: AppArg,
    /// The request's path and query
    #[arg(long, short, default_value = "/")]
    pub(crate) path: String,
    /// The request's method [default: GET, with --data POST]
    #[arg(long, short = 'X')]
    pub(crate) method: Option<http::Method>,
    /// A header, as in `accept: application/json` (may be repeated)
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = settings::parse_header)]
    pub(crate) header: Vec<(http::HeaderName, http::HeaderValue)>,
    /// The request's body: text, @FILE, or @- for standard input
    #[arg(long, short)]
    pub(crate) data: Option<String>,
    /// Print the response's head to standard output too
    #[arg(long, short)]
    pub(crate) include: bool,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArg,
    #[command(flatten)]
    pub(crate) egress: EgressArgs,
    #[command(flatten)]
    pub(crate) blobs: BlobsArgs,
    #[command(flatten)]
    pub(crate) secrets: SecretsFileArg,
    #[command(flatten)]
    pub(crate) log: LogArg,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The address that `up` would listen on
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "EVERWARM_LISTEN",
        default_value = settings::LISTEN_DEFAULT,
        value_parser = settings::parse_listen
    )]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The folder
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_and_verbs_fit_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn compiler_is_called_by_the_verb_that_the_node_uses() {
        let args = Args::try_parse_from(["everwarm", everwarm_node::COMPILER_VERB]).unwrap();
        assert!(matches!(args.command, Command::CompileComponent));
    }
}
