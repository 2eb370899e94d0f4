//! From a manifest's text to an [`App`], noting every mistake on the way. Owns the rules between keys;
//! reading one table is `table`'s, one function `function`'s. Opens no files.

mod assets;
mod cache;
mod config;
mod containers;
mod databases;
mod function;
mod grants;
pub(crate) mod keys;
mod mounts;
mod redis;
mod table;
mod triggers;

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

pub use self::containers::CONTAINERS_MAX;
pub use self::databases::DATABASES_MAX;
use self::function::Draft;
pub use self::function::{ENV_MAX, ROUTES_MAX};
pub(crate) use self::redis::REDIS_MAX;
use self::table::{At, Reader};
use crate::app::{App, Build, Function};
use crate::diagnostics::{ErrorCode, Finding, ManifestErrors, line_number, quoted, tell};
use crate::names::{AppName, FunctionName, NameError, nearest_name};

/// The largest manifest, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// The most functions of one app.
pub const FUNCTIONS_MAX: usize = 100;
/// The most paths in `watch`.
pub const WATCH_PATHS_MAX: usize = 100;

impl App {
    /// Reads a manifest. `file_name` is only for messages.
    ///
    /// # Errors
    /// [`ManifestErrors`] has all mistakes that were found. A text that isn't TOML is checked no further.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ManifestErrors> {
        parse(text).map_err(|findings| tell(text, file_name, findings))
    }

    /// Reads a manifest from the bytes of its file.
    ///
    /// # Errors
    /// As [`App::parse`], and when the bytes aren't UTF-8.
    pub fn parse_bytes(bytes: &[u8], file_name: &str) -> Result<Self, ManifestErrors> {
        let cut = &bytes[..bytes.len().min(MANIFEST_BYTES_MAX + 1)];
        match std::str::from_utf8(cut) {
            Ok(text) => Self::parse(text, file_name),
            // The cut may go through a character, but then the manifest is too large anyway.
            Err(_) if bytes.len() > MANIFEST_BYTES_MAX => {
                Err(tell("", file_name, vec![too_large()]))
            }
            Err(error) => {
                let valid = String::from_utf8_lossy(&cut[..error.valid_up_to()]);
                let message =
                    "the manifest isn't UTF-8: the byte at this place belongs to no character";
                let finding = Finding::new(ErrorCode::TooLarge, valid.len()..valid.len(), message)
                    .help("save the file as UTF-8");
                Err(tell(&valid, file_name, vec![finding]))
            }
        }
    }
}

fn too_large() -> Finding {
    let message = format!(
        "the manifest has more than {} KiB",
        MANIFEST_BYTES_MAX >> 10
    );
    Finding::new(ErrorCode::TooLarge, 0..0, message)
        .help("keep data out of the manifest, or split the app")
}

fn too_many(span: std::ops::Range<usize>, what: &str, max: usize) -> Finding {
    Finding::new(
        ErrorCode::TooLarge,
        span,
        format!("there are more than {max} {what}"),
    )
}

fn parse(text: &str) -> Result<App, Vec<Finding>> {
    if text.len() > MANIFEST_BYTES_MAX {
        return Err(vec![too_large()]);
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| syntax(text, error)).collect());
    }
    let mut findings = Vec::new();
    let root = Reader::new(document.get_ref(), 0..0, &keys::ROOT, &mut findings);
    let name = app_name(&root, &mut findings);
    let build = root.table("build", &keys::BUILD, &mut findings);
    let build = build
        .map(|table| read_build(&table, &mut findings))
        .unwrap_or_default();
    let assets = assets::read(text, &root, &mut findings);
    let drafts = functions(&root, &mut findings);
    let names = drafts.iter().filter_map(|draft| draft.name.as_ref());
    assets::check_names(&assets, names, &mut findings);
    let databases = databases::read(text, &root, &mut findings);
    let granted = drafts.iter().flat_map(|draft| &draft.granted.databases);
    let names: Vec<_> = databases.iter().map(|it| &it.name.value).collect();
    grants::check_declared(&grants::DATABASES, &names, granted, &mut findings);
    let servers = redis::read(text, &root, &mut findings);
    let granted = drafts.iter().flat_map(|draft| &draft.granted.redis);
    let names: Vec<_> = servers.iter().map(|it| &it.name).collect();
    grants::check_declared(&grants::SERVERS, &names, granted, &mut findings);
    let containers = containers::read(text, &root, &mut findings);
    let granted = drafts.iter().flat_map(|draft| &draft.granted.containers);
    let names: Vec<_> = containers.iter().map(|it| &it.name.value).collect();
    grants::check_declared(&grants::CONTAINERS, &names, granted, &mut findings);
    let triggers = triggers::read(text, &root, &mut findings);
    let granted = drafts.iter().flat_map(|draft| &draft.granted.queues);
    let names: Vec<_> = triggers.queues.iter().map(|it| &it.name).collect();
    grants::check_declared(&grants::DECLARED_QUEUES, &names, granted, &mut findings);
    let called = &triggers.called;
    let functions = finish_functions(text, name.as_ref(), drafts, called, &mut findings);
    match name {
        Some(name) if findings.is_empty() => Ok(App {
            name,
            build,
            sql: databases
                .into_iter()
                .map(databases::Declared::finish)
                .collect(),
            redis: servers,
            blobs: containers
                .into_iter()
                .map(containers::Declared::finish)
                .collect(),
            functions,
            assets,
            queues: triggers.queues,
            schedules: triggers.schedules,
        }),
        _ => Err(findings),
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> Finding {
    let span = error.span().unwrap_or(text.len()..text.len());
    Finding::new(ErrorCode::Syntax, span, quoted(error.message()))
}

fn app_name(root: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<AppName> {
    if !root.has("name") {
        let finding = Finding::new(ErrorCode::MissingKey, 0..0, "missing key `name`");
        findings.push(finding.help("name the app in the first line: `name = \"hello\"`"));
        return None;
    }
    let text = root.text("name", findings)?;
    AppName::new(text.value)
        .map_err(|error| findings.push(bad_name(&text, &error)))
        .ok()
}

fn bad_name(text: &At<&str>, error: &NameError) -> Finding {
    let message = format!("`{}` is no name: {error}", quoted(text.value));
    Finding::new(ErrorCode::BadName, text.span.clone(), message).suggest(nearest_name(text.value))
}

fn read_build(table: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Build {
    let command = table
        .filled_text("command", findings)
        .map(|text| text.value.to_owned());
    let package = table.filled_text("package", findings).and_then(|text| {
        let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        // A package that begins with a hyphen would be an option of cargo's.
        if text.value.chars().all(plain) && !text.value.starts_with('-') {
            return Some(text.value.to_owned());
        }
        let message = format!("`{}` is no name of a cargo package", quoted(text.value));
        findings.push(Finding::new(ErrorCode::InvalidValue, text.span, message));
        None
    });
    let mut watch = Vec::new();
    if let Some(paths) = table.array("watch", findings) {
        if paths.value.len() > WATCH_PATHS_MAX {
            findings.push(too_many(paths.span, "paths in `watch`", WATCH_PATHS_MAX));
        }
        for path in paths.value.iter().take(WATCH_PATHS_MAX) {
            let text = table::text(path, "watch", findings);
            let text = text.and_then(|text| table::filled(text, "watch", findings));
            watch.extend(text.map(|text| PathBuf::from(text.value)));
        }
    }
    Build {
        command,
        package,
        watch,
    }
}

fn functions(root: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Vec<Draft> {
    let Some(value) = root.value("function") else {
        // Files alone are an app too.
        if !root.has("assets") {
            let finding = Finding::new(ErrorCode::MissingKey, 0..0, "the app has no function");
            findings.push(finding.help(
                "add a line `[[function]]` and the function's keys below it, or `[[assets]]` with the `path` of a folder",
            ));
        }
        return Vec::new();
    };
    let DeValue::Array(items) = value.get_ref() else {
        let finding = table::wrong_type(
            value.span(),
            "function",
            "an array of tables",
            value.get_ref(),
        );
        findings.push(finding.help("write `[[function]]` with two brackets"));
        return Vec::new();
    };
    if items.is_empty() {
        findings.push(Finding::new(
            ErrorCode::MissingKey,
            value.span(),
            "the app has no function",
        ));
    }
    if let Some(first_over) = items.get(FUNCTIONS_MAX) {
        findings.push(too_many(first_over.span(), "functions", FUNCTIONS_MAX));
    }
    let mut drafts = Vec::new();
    for item in items.iter().take(FUNCTIONS_MAX) {
        match item.get_ref() {
            DeValue::Table(table) => {
                let reader = Reader::new(table, item.span(), &keys::FUNCTION, findings);
                drafts.push(Draft::read(&reader, findings));
            }
            other => findings.push(table::wrong_type(
                item.span(),
                "function",
                "an array of tables",
                other,
            )),
        }
    }
    drafts
}

/// Gives the functions their names and checks the rules between them.
fn finish_functions(
    text: &str,
    app: Option<&AppName>,
    drafts: Vec<Draft>,
    triggered: &[At<FunctionName>],
    findings: &mut Vec<Finding>,
) -> Vec<Function> {
    duplicate_names(text, &drafts, findings);
    conflicts(text, app, &drafts, findings);
    calls(app, &drafts, triggered, findings);
    let only = drafts.len() == 1;
    let mut functions = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let default = app.filter(|_| only).map(FunctionName::from);
        if !draft.named && !only {
            let finding = Finding::new(
                ErrorCode::MissingKey,
                draft.span.clone(),
                "this function has no name",
            );
            findings.push(finding.help("only an app's single function may go without `name`"));
        }
        if let Some(name) = draft
            .name
            .as_ref()
            .map(|name| name.value.clone())
            .or(default)
        {
            functions.push(draft.finish(name));
        }
    }
    functions
}

/// Functions that others are granted, or that queues and schedules call: they have to be there, and those without routes
/// have to be among them.
fn calls(
    app: Option<&AppName>,
    drafts: &[Draft],
    triggered: &[At<FunctionName>],
    findings: &mut Vec<Finding>,
) {
    let only = app.filter(|_| drafts.len() == 1).map(FunctionName::from);
    let names: Vec<&FunctionName> = drafts
        .iter()
        .filter_map(|draft| draft.name.as_ref().map(|name| &name.value))
        .chain(only.as_ref())
        .collect();
    let granted = || drafts.iter().flat_map(|draft| &draft.granted.functions);
    grants::check_functions(&names, granted(), findings);
    triggers::check_called(&names, triggered, findings);
    let called: Vec<&FunctionName> = granted()
        .chain(triggered)
        .map(|called| &called.value)
        .collect();
    for draft in drafts {
        let Some(span) = draft.unrouted.clone() else {
            continue;
        };
        let name = draft.name.as_ref().map(|name| &name.value);
        let is_called = name
            .or(only.as_ref())
            .is_some_and(|name| called.contains(&name));
        if !is_called {
            let message =
                "`routes` is empty, and no function is granted this one: nothing would reach it";
            let finding = Finding::new(ErrorCode::InvalidValue, span, message);
            findings.push(finding.help(
                "remove the key to answer everything (`/*`), or name the function in `functions` of another's grants, or in a queue or a schedule",
            ));
        }
    }
}

fn duplicate_names(text: &str, drafts: &[Draft], findings: &mut Vec<Finding>) {
    let names: Vec<_> = drafts
        .iter()
        .filter_map(|draft| draft.name.as_ref())
        .collect();
    for (index, name) in names.iter().enumerate() {
        if let Some(first) = names[..index]
            .iter()
            .find(|first| first.value == name.value)
        {
            let line = line_number(text, first.span.start);
            let message = format!(
                "the function in line {line} is already called `{}`",
                name.value
            );
            findings.push(Finding::new(
                ErrorCode::DuplicateFunction,
                name.span.clone(),
                message,
            ));
        }
    }
}

/// Two routes that match the same requests. After sorting by specificity they are neighbours.
fn conflicts(text: &str, app: Option<&AppName>, drafts: &[Draft], findings: &mut Vec<Finding>) {
    let named = |draft: &Draft| match (&draft.name, app) {
        (Some(name), _) => format!("function `{}`", name.value),
        (None, Some(app)) if drafts.len() == 1 => format!("function `{app}`"),
        _ => format!(
            "the function in line {}",
            line_number(text, draft.span.start)
        ),
    };
    let mut routes: Vec<_> = drafts
        .iter()
        .flat_map(|draft| draft.routes.iter().map(move |route| (draft, route)))
        .collect();
    routes.sort_by(|(_, a), (_, b)| {
        a.value
            .compare_specificity(&b.value)
            .then(a.span.start.cmp(&b.span.start))
    });
    for same in routes.chunk_by(|(_, a), (_, b)| a.value.conflicts_with(&b.value)) {
        let Some(((first_draft, first), others)) = same.split_first() else {
            continue;
        };
        for (draft, route) in others {
            let line = line_number(text, first.span.start);
            let here = named(draft);
            let first_route = &first.value;
            let message = if std::ptr::eq(*draft, *first_draft) {
                format!(
                    "{here} has the route `{}` twice: `{first_route}` in line {line} matches the same requests",
                    route.value
                )
            } else {
                format!(
                    "the route `{}` of {here} matches the same requests as `{first_route}` of {} in line {line}",
                    route.value,
                    named(first_draft)
                )
            };
            let finding = Finding::new(ErrorCode::RouteConflict, route.span.clone(), message);
            findings.push(if draft.default_routes {
                finding.help(
                    "without `routes` a function answers `/*`: give this one routes of its own",
                )
            } else {
                finding.help("remove one of them, or make one more specific")
            });
        }
    }
}
