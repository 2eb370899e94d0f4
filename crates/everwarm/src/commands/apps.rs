//! `apps`: what a tenant has on a node.

use everwarm_api::messages::App;

use crate::args::AppsArgs;
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::table::{Column, table};

/// Digits of a version that are shown.
const SHORT_DIGITS: usize = 12;

pub(crate) async fn run(args: AppsArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let (mut apps, mut after) = (Vec::new(), None);
    loop {
        let page = client.apps(after.as_deref()).await?;
        apps.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    printer.data(&apps, || told(&apps));
    Ok(Exit::Success)
}

fn told(apps: &[App]) -> String {
    if apps.is_empty() {
        return "no apps yet: `everwarm deploy` brings one\n".to_owned();
    }
    let rows: Vec<_> = apps.iter().map(row).collect();
    let columns = [
        Column::Left("APP"),
        Column::Left("SERVES"),
        Column::Right("VERSIONS"),
        Column::Left("URL"),
    ];
    table(columns, &rows)
}

fn row(app: &App) -> [String; 4] {
    let serves = match &app.traffic {
        None => "nothing".to_owned(),
        Some(traffic) => {
            let main = short(&traffic.main);
            traffic.canary.as_ref().map_or(main.clone(), |canary| {
                format!("{main}, {} % {}", canary.percent, short(&canary.version))
            })
        }
    };
    [
        app.name.clone(),
        serves,
        app.versions.to_string(),
        app.urls.first().cloned().unwrap_or_default(),
    ]
}

/// The first digits of a version, as people read them.
pub(super) fn short(version: &str) -> String {
    let digits = version.strip_prefix("sha256:").unwrap_or(version);
    digits.chars().take(SHORT_DIGITS).collect()
}
