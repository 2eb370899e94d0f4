//! What can be typed about key-value data of apps.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use everwarm_manifest::Millis;

use super::NodeArgs;

/// Needs a token with the scope `deploy`.
#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Print the value under a key, as it is
    Get(KvGetArgs),
    /// Keep a value under a key
    Put(KvPutArgs),
    /// List keys
    Ls(KvLsArgs),
    /// Remove what is under keys
    Rm(KvRmArgs),
    /// Write all entries as lines of JSON
    Export(KvExportArgs),
    /// Keep the entries of an export
    Import(KvImportArgs),
}

/// Which data is meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KvStoreArgs {
    /// The app's key-value store
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) store: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KvGetArgs {
    /// The app
    pub(crate) app: String,
    /// The key
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) of: KvStoreArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KvPutArgs {
    /// The app
    pub(crate) app: String,
    /// The key
    pub(crate) key: String,
    /// The value [default: standard input]
    pub(crate) value: Option<String>,
    /// A file with the value, `-` for standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "value")]
    pub(crate) file: Option<PathBuf>,
    /// How long it is kept, as in `1h` [default: until it is removed]
    #[arg(long, value_name = "TIME")]
    pub(crate) ttl: Option<Millis>,
    #[command(flatten)]
    pub(crate) of: KvStoreArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KvLsArgs {
    /// The app
    pub(crate) app: String,
    /// Keys that begin with this alone
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    #[command(flatten)]
    pub(crate) of: KvStoreArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KvRmArgs {
    /// The app
    pub(crate) app: String,
    /// The keys
    #[arg(
        value_name = "KEY",
        required_unless_present = "prefix",
        conflicts_with = "prefix"
    )]
    pub(crate) keys: Vec<String>,
    /// All keys that begin with this
    #[arg(long, value_name = "TEXT", requires = "yes")]
    pub(crate) prefix: Option<String>,
    /// Yes, all of them
    #[arg(long, requires = "prefix")]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) of: KvStoreArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KvExportArgs {
    /// The app
    pub(crate) app: String,
    /// The file to write, which isn't there yet [default: standard output]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Keys that begin with this alone
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    #[command(flatten)]
    pub(crate) of: KvStoreArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KvImportArgs {
    /// The app
    pub(crate) app: String,
    /// The export [default: standard input]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) of: KvStoreArgs,
}
