//! `audit`: who changed what, newest first.

use everwarm_api::messages::AuditEntry;

use crate::args::AuditArgs;
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::table::{Column, table};
use crate::time;

pub(crate) async fn run(args: AuditArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    // The newest page: whoever wants all of it reads the API's pages.
    let page = client.audit(args.all, None).await?;
    printer.data(&page.items, || {
        let rows: Vec<_> = page.items.iter().map(row).collect();
        let columns = [
            Column::Left("WHEN (UTC)"),
            Column::Left("TENANT"),
            Column::Left("WHO"),
            Column::Left("WHAT"),
            Column::Left("OF"),
            Column::Left("DETAIL"),
        ];
        table(columns, &rows)
    });
    Ok(Exit::Success)
}

fn row(entry: &AuditEntry) -> [String; 6] {
    [
        time::utc(entry.at_ms),
        entry.tenant.clone().unwrap_or_default(),
        entry.actor.clone(),
        entry.action.clone(),
        entry.subject.clone(),
        entry.detail.clone(),
    ]
}
