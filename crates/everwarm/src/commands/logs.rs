//! `logs`: what functions printed, and their access lines; with `-f` for as long as somebody looks.

use std::time::{SystemTime, UNIX_EPOCH};

use everwarm_api::messages::{LogLine, LogQuery};

use super::apps::short;
use crate::args::LogsArgs;
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::time;

/// Seconds that the node waits for a line before it answers without one.
const WAIT_S: u64 = 20;

pub(crate) async fn run(args: LogsArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let since = args.since.map(|ago| now.saturating_sub(ago.duration()));
    let mut query = LogQuery {
        after: None,
        limit: Some(args.lines),
        version: args.version,
        function: args.function,
        since_ms: since.and_then(|since| u64::try_from(since.as_millis()).ok()),
        wait_s: None,
    };
    loop {
        let page = client.logs(&args.app, &query).await?;
        if page.missed > 0 {
            let missed = page.missed;
            printer.note(&format!(
                "{missed} lines were written faster than they were read, and are gone"
            ));
        }
        for line in &page.items {
            printer.event(line);
            printer.say(&told(line));
        }
        if !args.follow {
            return Ok(Exit::Success);
        }
        query.wait_s = Some(WAIT_S);
        query.limit = None;
        // Nothing was written yet: whatever comes is new.
        query.after = page.next.or(query.after).or_else(|| Some("0".to_owned()));
    }
}

fn told(line: &LogLine) -> String {
    let LogLine {
        source,
        function,
        version,
        request_id,
        level,
        context,
        ..
    } = line;
    let mut told = format!(
        "{} {} {function} {source}",
        time::utc_to_the_second(line.at_ms),
        short(version)
    );
    if let Some(id) = request_id {
        told.push(' ');
        push(&mut told, id);
    }
    if let Some(level) = level {
        told.push(' ');
        push(&mut told, level);
    }
    told.push_str(": ");
    if let Some(context) = context.as_ref().filter(|context| !context.is_empty()) {
        push(&mut told, context);
        told.push_str(": ");
    }
    for (nth, text) in line.text.split('\n').enumerate() {
        if nth > 0 {
            // It must not look like a line of its own.
            told.push_str("\n    ");
        }
        push(&mut told, text);
    }
    told
}

/// What comes from a guest must not steer the terminal.
fn push(told: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\t' => told.push(c),
            c if c.is_control() => told.extend(c.escape_default()),
            c => told.push(c),
        }
    }
}
