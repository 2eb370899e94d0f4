//! `versions`: what was deployed of an app, newest first.

use everwarm_api::messages::Version;

use crate::args::VersionsArgs;
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::table::{Column, table};
use crate::time;

pub(crate) async fn run(args: VersionsArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let (mut versions, mut before) = (Vec::new(), None);
    loop {
        let page = client.versions(&args.app, before.as_deref()).await?;
        versions.extend(page.items);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    printer.data(&versions, || {
        let rows: Vec<_> = versions.iter().map(row).collect();
        let columns = [
            Column::Left("VERSION"),
            Column::Right("REQUESTS"),
            Column::Left("DEPLOYED"),
            Column::Left("PREVIEW"),
        ];
        table(columns, &rows)
    });
    Ok(Exit::Success)
}

fn row(version: &Version) -> [String; 4] {
    let percent = match version.percent {
        0 => String::new(),
        percent => format!("{percent} %"),
    };
    [
        version.short.clone(),
        percent,
        time::utc(version.created_ms),
        version.preview_url.clone().unwrap_or_default(),
    ]
}
