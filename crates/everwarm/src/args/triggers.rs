//! What can be typed about queues and schedules.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use everwarm_manifest::Millis;

use super::NodeArgs;

/// To look at messages or to change something needs a token with the scope `deploy`.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List the queues of an app, and how they stand
    Ls(TriggersArgs),
    /// Show the messages of a queue
    Show(ShowArgs),
    /// Send a message to a queue
    Send(SendArgs),
    /// Deliver nothing more for now; messages are still taken in
    Pause(TriggerArgs),
    /// Go on delivering
    Resume(TriggerArgs),
    /// Deliver dead messages again
    Retry(RetryArgs),
    /// Remove the messages of a queue that aren't being delivered
    Purge(PurgeArgs),
}

/// To look at runs or to change something needs a token with the scope `deploy`.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List the schedules of an app, and when each is due
    Ls(TriggersArgs),
    /// Show the runs of a schedule that haven't ended, or failed
    Show(ShowArgs),
    /// Run a schedule now
    Trigger(TriggerArgs),
    /// Begin no more runs for now
    Pause(TriggerArgs),
    /// Go on
    Resume(TriggerArgs),
    /// Begin runs again that failed too often
    Retry(RetryArgs),
    /// Remove runs that wait or failed
    Purge(PurgeArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TriggersArgs {
    /// The app
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TriggerArgs {
    /// The app
    pub(crate) app: String,
    /// Its name in the manifest
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) of: TriggerArgs,
    /// Those that failed too often, not those that wait
    #[arg(long)]
    pub(crate) dead: bool,
    /// How many at most
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    pub(crate) count: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SendArgs {
    /// The app
    pub(crate) app: String,
    /// The queue
    pub(crate) name: String,
    /// The message [default: standard input]
    pub(crate) message: Option<String>,
    /// A file with the message, `-` for standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "message")]
    pub(crate) file: Option<PathBuf>,
    /// What the message is, as in `application/json` [default: text/plain for a typed one]
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// How long it isn't delivered, as in `5m`
    #[arg(long, value_name = "TIME")]
    pub(crate) delay: Option<Millis>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RetryArgs {
    /// The app
    pub(crate) app: String,
    /// Its name in the manifest
    pub(crate) name: String,
    /// The messages, by their ids
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) ids: Vec<String>,
    /// All that are dead
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    pub(crate) of: TriggerArgs,
    /// Those that failed too often, not those that wait
    #[arg(long)]
    pub(crate) dead: bool,
    /// Yes, all of them
    #[arg(long, required = true)]
    pub(crate) yes: bool,
}
