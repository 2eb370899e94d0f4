//! What can be typed about blobs of apps.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::NodeArgs;

/// Needs a token with the scope `deploy`.
#[derive(Debug, Subcommand)]
pub(crate) enum BlobCommand {
    /// List the blobs of a container: when each was written, its size, its name
    Ls(BlobLsArgs),
    /// Read a blob, as it is
    Get(BlobGetArgs),
    /// Write a blob, in the place of what has the name
    Put(BlobPutArgs),
    /// Remove blobs
    Rm(BlobRmArgs),
}

/// Where blobs are.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ContainerArgs {
    /// The app
    pub(crate) app: String,
    /// The container, as its manifest declares it
    pub(crate) container: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BlobLsArgs {
    #[command(flatten)]
    pub(crate) of: ContainerArgs,
    /// Blobs whose names begin with this alone
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BlobGetArgs {
    #[command(flatten)]
    pub(crate) of: ContainerArgs,
    /// The blob's name
    pub(crate) name: String,
    /// The file to write, which isn't there yet; `-` for standard output [default: standard output]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BlobPutArgs {
    #[command(flatten)]
    pub(crate) of: ContainerArgs,
    /// The blob's name
    pub(crate) name: String,
    /// The file with its bytes; `-` for standard input [default: standard input]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// What it is, as in image/png
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Only if there is no blob of the name
    #[arg(long)]
    pub(crate) if_absent: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BlobRmArgs {
    #[command(flatten)]
    pub(crate) of: ContainerArgs,
    /// The blobs' names
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}
