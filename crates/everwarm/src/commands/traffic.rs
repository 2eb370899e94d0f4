//! `promote` and `rollback`: who gets which requests.

use everwarm_api::messages::{Rollback, SetTraffic, Traffic};

use super::apps::short;
use crate::args::{PromoteArgs, RollbackArgs};
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) async fn promote(args: PromoteArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let wanted = SetTraffic {
        version: args.version,
        percent: args.percent,
        sticky_header: args.sticky_header,
    };
    let traffic = client.set_traffic(&args.app, &wanted).await?;
    printer.data(&traffic, || told(&args.app, &traffic));
    Ok(Exit::Success)
}

pub(crate) async fn roll_back(args: RollbackArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let rollback = Rollback { version: args.to };
    let traffic = client.roll_back(&args.app, &rollback).await?;
    printer.data(&traffic, || told(&args.app, &traffic));
    Ok(Exit::Success)
}

fn told(app: &str, traffic: &Traffic) -> String {
    let main = short(&traffic.main);
    match &traffic.canary {
        None => format!("{app}: {main} gets all requests\n"),
        Some(canary) => {
            let sticky = canary
                .sticky_header
                .as_ref()
                .map_or(String::new(), |header| format!(" by {header}"));
            format!(
                "{app}: {} gets {} % of the requests{sticky}, {main} the others\n",
                short(&canary.version),
                canary.percent
            )
        }
    }
}
