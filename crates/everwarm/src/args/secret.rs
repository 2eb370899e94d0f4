//! What can be typed about secrets. Values never are: they come from standard input, or from files.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::{AppsArgs, NodeArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Set a secret of an app to what standard input has
    Set(SecretSetArgs),
    /// List the secrets of an app, without their values
    Ls(SecretLsArgs),
    /// Go back to the value that a secret had before
    Rollback(SecretRollbackArgs),
    /// Remove a secret, with all its versions
    Rm(SecretRmArgs),
    /// Seal all secrets of a node with another key; needs a token of the node
    RotateKey(AppsArgs),
    /// Make a key that a node may seal secrets with
    NewKey(NewKeyArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SecretSetArgs {
    /// The app
    pub(crate) app: String,
    /// The secret's name, as in STRIPE_KEY
    pub(crate) name: String,
    /// Take standard input as it is; otherwise a newline at its end isn't part of the value
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SecretLsArgs {
    /// The app
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SecretRollbackArgs {
    /// The app
    pub(crate) app: String,
    /// The secret
    pub(crate) name: String,
    /// The version to go back to [default: the one before]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) to: Option<u32>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SecretRmArgs {
    /// The app
    pub(crate) app: String,
    /// The secret
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewKeyArgs {
    /// The file of keys to put it into, before those that are there; it is made if it isn't there [default: standard
    /// output]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
}

/// Secrets of an app that is served while it is worked on.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct SecretsFileArg {
    /// A file with the app's secrets as lines of NAME=value, which nobody else may read [default: none]
    #[arg(long, value_name = "FILE", env = "EVERWARM_SECRETS_FILE", value_hint = ValueHint::FilePath)]
    pub(crate) secrets_file: Option<PathBuf>,
}

/// Where the keys are that a node seals secrets with.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct SecretsKeyArg {
    /// A file with the keys that secrets are sealed with, the newest first [default: systemd's credential
    /// everwarm-secrets-key, or EVERWARM_SECRETS_KEY itself, or a key that the node makes in its data folder]
    #[arg(long, value_name = "FILE", env = "EVERWARM_SECRETS_KEY_FILE", value_hint = ValueHint::FilePath)]
    pub(crate) secrets_key_file: Option<PathBuf>,
}
