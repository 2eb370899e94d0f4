//! `usage`: what functions used, by the hour.

use std::time::{SystemTime, UNIX_EPOCH};

use everwarm_api::messages::{UsagePage, UsageRow};

use super::apps::short;
use crate::args::UsageArgs;
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::table::{Column, table};
use crate::time;

const HOUR_S: u64 = 3_600;

pub(crate) async fn run(args: UsageArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // The current hour is one of them.
    let hours_back = u64::from(args.hours - 1);
    let from = (now.as_secs() / HOUR_S).saturating_sub(hours_back) * HOUR_S;
    let usage = client.usage(args.all, Some(from), None).await?;
    if args.csv {
        printer.stdout(usage.to_csv().as_bytes());
    } else {
        printer.data(&usage.items, || told(&usage));
    }
    Ok(Exit::Success)
}

fn told(usage: &UsagePage) -> String {
    if usage.items.is_empty() {
        return "nothing was used in this time\n".to_owned();
    }
    let rows: Vec<_> = usage.items.iter().map(row).collect();
    let columns = [
        Column::Left("HOUR (UTC)"),
        Column::Left("APP"),
        Column::Left("FUNCTION"),
        Column::Left("VERSION"),
        Column::Left("START"),
        Column::Left("STATUS"),
        Column::Right("REQUESTS"),
        Column::Right("CPU MS"),
        Column::Right("GB S"),
        Column::Right("PEAK MIB"),
    ];
    table(columns, &rows)
}

#[expect(clippy::cast_precision_loss, reason = "what is shown has few digits")]
fn row(row: &UsageRow) -> [String; 10] {
    [
        time::utc(row.hour_s * 1_000),
        row.app.clone(),
        row.function.clone(),
        short(&row.version),
        row.start_level.clone(),
        row.status.clone(),
        row.requests.to_string(),
        format!("{:.1}", row.cpu_us as f64 / 1e3),
        format!("{:.6}", row.gb_s),
        format!("{:.1}", row.memory_peak_bytes as f64 / 1_048_576.0),
    ]
}
