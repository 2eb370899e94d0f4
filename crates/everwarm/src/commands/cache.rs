//! `cache`: what is kept of an app's answers, and purging it.

use everwarm_api::messages::CachePurge;

use crate::args::{CacheCommand, CachePurgeArgs, CacheShowArgs};
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) async fn run(command: CacheCommand, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        CacheCommand::Show(args) => show(args, printer).await,
        CacheCommand::Purge(args) => purge(args, printer).await,
    }
}

async fn show(args: CacheShowArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let usage = client.cache(&args.app).await?;
    printer.data(&usage, || {
        format!(
            "{} answers are kept, about {} bytes, {} on the disk, {} bytes; {} requests were answered with them, {} by functions\n",
            usage.entries, usage.bytes, usage.disk_entries, usage.disk_bytes, usage.hits, usage.misses
        )
    });
    Ok(Exit::Success)
}

async fn purge(args: CachePurgeArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let purge = CachePurge {
        urls: args.url,
        tags: args.tag,
        all: args.all,
    };
    let purged = client.purge_cache(&args.app, &purge).await?;
    printer.data(&purged, || match purged.purged {
        1 => "1 answer is purged\n".to_owned(),
        count => format!("{count} answers are purged\n"),
    });
    Ok(Exit::Success)
}
