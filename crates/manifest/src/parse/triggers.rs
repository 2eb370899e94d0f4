//! The tables `[[queue]]` and `[[schedule]]`: reads each and tells what is wrong with it, and which functions they call
//! that aren't there. What a cron line, a time zone or a path is, is for `triggers` of the crate to say.

use std::fmt::Display;

use super::function::{count, quantity, word};
use super::table::{At, Reader, Tables, nearest};
use super::{bad_name, keys};
use crate::diagnostics::{ErrorCode, Finding, line_number, quoted};
use crate::names::{FunctionName, NameError, QueueName, ScheduleName, nearest_name};
use crate::triggers::{
    self, CallPath, Cron, CronError, Missed, Overlap, QUEUES_MAX, Queue, Retry, SCHEDULES_MAX,
    Schedule, Zone,
};

const QUEUES: Tables = Tables {
    kind: &keys::QUEUE,
    key: "queue",
    what: "queues",
    max: QUEUES_MAX,
};
const SCHEDULES: Tables = Tables {
    kind: &keys::SCHEDULE,
    key: "schedule",
    what: "schedules",
    max: SCHEDULES_MAX,
};

/// All of both, as far as they could be read.
#[derive(Default)]
pub(super) struct Declared {
    pub(super) queues: Vec<Queue>,
    pub(super) schedules: Vec<Schedule>,
    /// The functions that they call, and where that stands.
    pub(super) called: Vec<At<FunctionName>>,
}

pub(super) fn read(text: &str, root: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Declared {
    let mut declared = Declared::default();
    let mut names: Vec<At<QueueName>> = Vec::new();
    for reader in root.tables(&QUEUES, findings) {
        let name = name(text, &reader, "queue", QueueName::new, &mut names, findings);
        let function = called(&reader, &mut declared.called, findings);
        let queue = queue(&reader, name, function, findings);
        declared.queues.extend(queue);
    }
    let mut names: Vec<At<ScheduleName>> = Vec::new();
    for reader in root.tables(&SCHEDULES, findings) {
        let name = name(
            text,
            &reader,
            "schedule",
            ScheduleName::new,
            &mut names,
            findings,
        );
        let function = called(&reader, &mut declared.called, findings);
        let schedule = schedule(&reader, name, function, findings);
        declared.schedules.extend(schedule);
    }
    declared
}

/// Names each function that is called and isn't there.
pub(super) fn check_called(
    names: &[&FunctionName],
    called: &[At<FunctionName>],
    findings: &mut Vec<Finding>,
) {
    for entry in called.iter().filter(|entry| !names.contains(&&entry.value)) {
        let message = format!("the app has no function `{}`", entry.value);
        let finding = Finding::new(ErrorCode::InvalidValue, entry.span.clone(), message);
        let near = nearest(entry.value.as_str(), names.iter().map(|name| name.as_str()));
        findings.push(match near {
            Some(near) => finding.suggest(Some(near)),
            None if names.is_empty() => finding.help("what is called is a `[[function]]`"),
            None => {
                let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                finding.help(format!("its functions are {}", names.join(", ")))
            }
        });
    }
}

fn queue(
    reader: &Reader<'_, '_>,
    name: Option<QueueName>,
    function: Option<FunctionName>,
    findings: &mut Vec<Finding>,
) -> Option<Queue> {
    let path = path(reader, findings);
    let batch = count(reader, "batch", &triggers::BATCH, findings);
    let batch_wait = quantity(reader, "batch_wait", &triggers::BATCH_WAIT, findings);
    let concurrency = count(reader, "concurrency", &triggers::CALLS, findings);
    let visibility = quantity(reader, "visibility", &triggers::VISIBILITY, findings);
    let Retry {
        attempts,
        backoff,
        backoff_max,
    } = retry(reader, findings);
    let name = name?;
    Some(Queue {
        path: path.unwrap_or_else(|| Queue::default_path(&name)),
        name,
        function: function?,
        batch,
        batch_wait,
        concurrency,
        visibility,
        attempts,
        backoff,
        backoff_max,
    })
}

fn schedule(
    reader: &Reader<'_, '_>,
    name: Option<ScheduleName>,
    function: Option<FunctionName>,
    findings: &mut Vec<Finding>,
) -> Option<Schedule> {
    let path = path(reader, findings);
    let cron = cron(reader, findings);
    let zone = zone(reader, findings);
    let jitter = quantity(reader, "jitter", &triggers::JITTER, findings);
    let overlap = Overlap::ALL.map(Overlap::as_str);
    let overlap = word::<Overlap>(reader, "overlap", &overlap, findings);
    let missed = Missed::ALL.map(Missed::as_str);
    let missed = word::<Missed>(reader, "missed", &missed, findings);
    let visibility = quantity(reader, "visibility", &triggers::VISIBILITY, findings);
    let Retry {
        attempts,
        backoff,
        backoff_max,
    } = retry(reader, findings);
    let name = name?;
    Some(Schedule {
        path: path.unwrap_or_else(|| Schedule::default_path(&name)),
        name,
        function: function?,
        cron: cron?,
        zone,
        jitter,
        overlap: overlap.map(|word| word.value).unwrap_or_default(),
        missed: missed.map(|word| word.value).unwrap_or_default(),
        visibility,
        attempts,
        backoff,
        backoff_max,
    })
}

fn name<N: PartialEq + Display + Clone>(
    text: &str,
    reader: &Reader<'_, '_>,
    what: &str,
    new: impl Fn(&str) -> Result<N, NameError>,
    names: &mut Vec<At<N>>,
    findings: &mut Vec<Finding>,
) -> Option<N> {
    if !reader.has("name") {
        let message = format!("this {what} has no name");
        let finding = Finding::new(ErrorCode::MissingKey, reader.span.clone(), message);
        findings.push(finding.help("give it one: `name = \"mails\"`"));
        return None;
    }
    let said = reader.text("name", findings)?;
    let name = new(said.value)
        .map_err(|error| findings.push(bad_name(&said, &error)))
        .ok()?;
    if let Some(first) = names.iter().find(|first| first.value == name) {
        let line = line_number(text, first.span.start);
        let message = format!("the {what} in line {line} is already called `{name}`");
        findings.push(Finding::new(ErrorCode::InvalidValue, said.span, message));
        return None;
    }
    names.push(At {
        value: name.clone(),
        span: said.span,
    });
    Some(name)
}

fn called(
    reader: &Reader<'_, '_>,
    called: &mut Vec<At<FunctionName>>,
    findings: &mut Vec<Finding>,
) -> Option<FunctionName> {
    if !reader.has("function") {
        let message = "missing key `function`";
        let finding = Finding::new(ErrorCode::MissingKey, reader.span.clone(), message);
        findings.push(finding.help("name the function that is called: `function = \"worker\"`"));
        return None;
    }
    let text = reader.text("function", findings)?;
    match FunctionName::new(text.value) {
        Ok(name) => {
            called.push(At {
                value: name.clone(),
                span: text.span,
            });
            Some(name)
        }
        Err(error) => {
            let finding = bad_name(&text, &error);
            findings.push(finding.suggest(nearest_name(text.value)));
            None
        }
    }
}

fn path(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<CallPath> {
    let text = reader.text("path", findings)?;
    match CallPath::new(text.value) {
        Ok(path) => Some(path),
        Err(error) => {
            let message = format!("`path` can't be `{}`: {error}", quoted(text.value));
            let finding = Finding::new(ErrorCode::InvalidValue, text.span, message);
            let near = CallPath::new(&format!("/{}", text.value)).ok();
            let near = near.filter(|_| !text.value.starts_with('/'));
            findings.push(finding.suggest(near.map(|path| path.to_string())));
            None
        }
    }
}

fn cron(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<Cron> {
    if !reader.has("cron") {
        let message = "missing key `cron`";
        let finding = Finding::new(ErrorCode::MissingKey, reader.span.clone(), message);
        findings.push(finding.help("say when: `cron = \"0 3 * * *\"` is three o'clock each day"));
        return None;
    }
    let text = reader.text("cron", findings)?;
    match Cron::parse(text.value) {
        Ok(cron) => Some(cron),
        Err(error) => {
            let said = quoted(&error.to_string());
            let finding = match error {
                CronError::NeverDue => {
                    let message = format!("`{}` is never due: {said}", quoted(text.value));
                    Finding::new(ErrorCode::InvalidValue, text.span, message)
                }
                CronError::TooLong | CronError::Form(_) => {
                    let message = format!("`{}` is no cron line: {said}", quoted(text.value));
                    Finding::new(ErrorCode::InvalidValue, text.span, message).help(
                        "it has five fields: minute, hour, day of month, month, day of week; seconds may stand before them",
                    )
                }
            };
            findings.push(finding);
            None
        }
    }
}

fn zone(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Zone {
    let Some(text) = reader.text("zone", findings) else {
        return Zone::utc();
    };
    text.value.parse().unwrap_or_else(|error| {
        let message = format!("`zone` can't be `{}`: {error}", quoted(text.value));
        let finding = Finding::new(ErrorCode::InvalidValue, text.span.clone(), message);
        findings.push(finding.suggest(Zone::nearest(text.value)));
        Zone::utc()
    })
}

fn retry(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Retry {
    let retry = Retry {
        attempts: count(reader, "attempts", &triggers::ATTEMPTS, findings),
        backoff: quantity(reader, "backoff", &triggers::BACKOFF, findings),
        backoff_max: quantity(reader, "backoff_max", &triggers::BACKOFF_MAX, findings),
    };
    if retry.backoff > retry.backoff_max {
        let message = format!(
            "`backoff` is {}, and `backoff_max` is {}, which is less",
            retry.backoff, retry.backoff_max
        );
        let finding = Finding::new(ErrorCode::InvalidValue, reader.span.clone(), message);
        findings.push(finding.help(
            "the first wait is the shortest: make `backoff` smaller, or `backoff_max` larger",
        ));
    }
    retry
}
