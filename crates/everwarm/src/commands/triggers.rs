//! `queue` and `schedule`: how an app's queues and schedules stand, their messages, and what can be done with both.

use bytes::Bytes;
use everwarm_api::client::{Client, TriggerOf};
use everwarm_api::messages::{
    MESSAGE_BYTES_MAX, MESSAGES_MAX, Message, MessageState, Retry, TriggerInfo, TriggerKind,
};
use http::HeaderValue;
use serde_json::json;

use super::input::{self, Input};
use crate::args::{
    PurgeArgs, QueueCommand, RetryArgs, ScheduleCommand, SendArgs, ShowArgs, TriggerArgs,
    TriggersArgs,
};
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::table::{Column, table};
use crate::time;

/// Characters of a message that a list shows.
const SHOWN_CHARS_MAX: usize = 60;

pub(crate) async fn queue(command: QueueCommand, printer: &Printer) -> Result<Exit, Failure> {
    let kind = TriggerKind::Queue;
    match command {
        QueueCommand::Ls(args) => list(kind, args, printer).await,
        QueueCommand::Show(args) => show(kind, args, printer).await,
        QueueCommand::Send(args) => send(args, printer).await,
        QueueCommand::Pause(args) => set_paused(kind, args, true, printer).await,
        QueueCommand::Resume(args) => set_paused(kind, args, false, printer).await,
        QueueCommand::Retry(args) => retry(kind, args, printer).await,
        QueueCommand::Purge(args) => purge(kind, args, printer).await,
    }
}

pub(crate) async fn schedule(command: ScheduleCommand, printer: &Printer) -> Result<Exit, Failure> {
    let kind = TriggerKind::Schedule;
    match command {
        ScheduleCommand::Ls(args) => list(kind, args, printer).await,
        ScheduleCommand::Show(args) => show(kind, args, printer).await,
        ScheduleCommand::Trigger(args) => run_now(args, printer).await,
        ScheduleCommand::Pause(args) => set_paused(kind, args, true, printer).await,
        ScheduleCommand::Resume(args) => set_paused(kind, args, false, printer).await,
        ScheduleCommand::Retry(args) => retry(kind, args, printer).await,
        ScheduleCommand::Purge(args) => purge(kind, args, printer).await,
    }
}

fn of<'a>(client: &'a Client, kind: TriggerKind, args: &'a TriggerArgs) -> TriggerOf<'a> {
    client.trigger(&args.app, kind, &args.name)
}

async fn list(kind: TriggerKind, args: TriggersArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let mut items = client.triggers(&args.app).await?.items;
    items.retain(|item| item.kind == kind);
    printer.data(&items, || match kind {
        TriggerKind::Queue => {
            let rows: Vec<_> = items.iter().map(queue_row).collect();
            let columns = [
                Column::Left("QUEUE"),
                Column::Left("FUNCTION"),
                Column::Right("DUE"),
                Column::Right("DELAYED"),
                Column::Right("DELIVERED"),
                Column::Right("DEAD"),
                Column::Left("STATE"),
            ];
            table(columns, &rows)
        }
        TriggerKind::Schedule => {
            let rows: Vec<_> = items.iter().map(schedule_row).collect();
            let columns = [
                Column::Left("SCHEDULE"),
                Column::Left("FUNCTION"),
                Column::Left("CRON"),
                Column::Left("ZONE"),
                Column::Left("NEXT (UTC)"),
                Column::Right("RUNNING"),
                Column::Right("DEAD"),
                Column::Left("STATE"),
            ];
            table(columns, &rows)
        }
    });
    Ok(Exit::Success)
}

fn state(info: &TriggerInfo) -> String {
    let word = match info {
        _ if info.undeclared => "undeclared",
        _ if info.paused => "paused",
        _ => "on",
    };
    word.to_owned()
}

fn queue_row(info: &TriggerInfo) -> [String; 7] {
    [
        info.name.clone(),
        info.function.clone(),
        info.due.to_string(),
        info.delayed.to_string(),
        info.leased.to_string(),
        info.dead.to_string(),
        state(info),
    ]
}

fn schedule_row(info: &TriggerInfo) -> [String; 8] {
    [
        info.name.clone(),
        info.function.clone(),
        info.cron.clone().unwrap_or_default(),
        info.zone.clone().unwrap_or_default(),
        info.next_ms.map(time::utc).unwrap_or_default(),
        (info.due + info.delayed + info.leased).to_string(),
        info.dead.to_string(),
        state(info),
    ]
}

async fn show(kind: TriggerKind, args: ShowArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.of.node)?;
    let of = of(&client, kind, &args.of);
    let mut messages = Vec::new();
    let mut after: Option<String> = None;
    while messages.len() < args.count as usize {
        let left = args.count - u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let page = of.messages(args.dead, after.as_deref(), Some(left)).await?;
        messages.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    printer.data(&messages, || {
        let rows: Vec<_> = messages.iter().map(message_row).collect();
        let columns = [
            Column::Left("ID"),
            Column::Left("STATE"),
            Column::Left("SENT (UTC)"),
            Column::Right("ATTEMPTS"),
            Column::Left("MESSAGE"),
            Column::Left("LAST FAILURE"),
        ];
        table(columns, &rows)
    });
    Ok(Exit::Success)
}

fn message_row(message: &Message) -> [String; 6] {
    let until = || time::utc(message.until_ms);
    let state = match message.state {
        MessageState::Waits => format!("waits until {}", until()),
        MessageState::Leased => format!("is delivered until {}", until()),
        MessageState::Dead => format!("dead since {}", until()),
    };
    [
        message.id.clone(),
        state,
        time::utc(message.sent_ms),
        message.attempts.to_string(),
        shown(message),
        message.reason.clone().unwrap_or_default(),
    ]
}

/// What a message says, cut short.
fn shown(message: &Message) -> String {
    if let Some(scheduled) = message.scheduled_ms {
        return format!("the run of {}", time::utc(scheduled));
    }
    let Ok(text) = std::str::from_utf8(&message.body.0) else {
        return format!("{} bytes", message.body.0.len());
    };
    let mut chars = text.chars();
    let mut shown: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

async fn send(args: SendArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let typed = args.message.is_some();
    let message = if let Some(text) = args.message {
        Bytes::from(text)
    } else {
        let what = Input {
            name: "message",
            bytes_max: MESSAGE_BYTES_MAX,
            too_large: "keep what is large elsewhere, and say where",
        };
        input::read(what, args.file).await?
    };
    let content_type = match args.content_type {
        Some(text) => Some(
            HeaderValue::try_from(text)
                .map_err(|_| Failure::uncoded(Exit::Usage, "`--content-type` is no media type"))?,
        ),
        None => typed.then_some(HeaderValue::from_static("text/plain; charset=utf-8")),
    };
    let delay_s = args.delay.map(|delay| delay.as_u64().div_ceil(1_000));
    let of = client.trigger(&args.app, TriggerKind::Queue, &args.name);
    let sent = of.send(message, content_type, delay_s).await?;
    printer.data(&sent, || format!("{} is sent\n", sent.id));
    Ok(Exit::Success)
}

async fn run_now(args: TriggerArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let of = of(&client, TriggerKind::Schedule, &args);
    let sent = of.send(Bytes::new(), None, None).await?;
    printer.data(&sent, || format!("{} runs now\n", sent.id));
    Ok(Exit::Success)
}

async fn set_paused(
    kind: TriggerKind,
    args: TriggerArgs,
    is_paused: bool,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    of(&client, kind, &args).set_paused(is_paused).await?;
    let shown = json!({ "kind": kind, "name": args.name, "paused": is_paused });
    printer.data(&shown, || {
        let now = if is_paused { "is paused" } else { "goes on" };
        format!("{} {now}\n", args.name)
    });
    Ok(Exit::Success)
}

async fn retry(kind: TriggerKind, args: RetryArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let of = client.trigger(&args.app, kind, &args.name);
    let mut messages = 0;
    if args.all {
        messages = of.retry(&Retry::default()).await?.messages;
    }
    for ids in args.ids.chunks(MESSAGES_MAX) {
        let ids = Some(ids.to_vec());
        messages += of.retry(&Retry { ids }).await?.messages;
    }
    printer.data(&json!({ "messages": messages }), || {
        format!("{} delivered again\n", counted(messages))
    });
    Ok(Exit::Success)
}

async fn purge(kind: TriggerKind, args: PurgeArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.of.node)?;
    let messages = of(&client, kind, &args.of).purge(args.dead).await?.messages;
    printer.data(&json!({ "messages": messages }), || {
        format!("{} removed\n", counted(messages))
    });
    Ok(Exit::Success)
}

fn counted(messages: u64) -> String {
    let plural = if messages == 1 { " is" } else { "s are" };
    format!("{messages} message{plural}")
}
