//! `rm`: remove an app from a node.

use serde_json::json;

use crate::args::RmArgs;
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) async fn run(args: RmArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    client.remove_app(&args.app).await?;
    printer.data(&json!({"removed": args.app}), || {
        format!(
            "{} is removed, with all its versions and its key-value data\n",
            args.app
        )
    });
    Ok(Exit::Success)
}
