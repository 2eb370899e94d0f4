//! What can be typed about what is kept of answers.

use clap::Subcommand;

use super::NodeArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show how much is kept of an app's answers, and how often they were used
    Show(CacheShowArgs),
    /// Forget answers of an app; needs a token with the scope `deploy`
    Purge(CachePurgeArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CacheShowArgs {
    /// The app
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["url", "tag", "all"]).required(true).multiple(true))]
pub(crate) struct CachePurgeArgs {
    /// The app
    pub(crate) app: String,
    /// A URL with its scheme, path and query; can be given several times
    #[arg(long, value_name = "URL")]
    pub(crate) url: Vec<String>,
    /// A tag that answers have in `Cache-Tag`; can be given several times
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// All answers
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}
