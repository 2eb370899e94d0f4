//! One `[[function]]` table: its own keys and the rules between them. Doesn't know the other functions.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use toml::de::DeValue;

use super::table::{self, At, Reader, nearest};
use super::{bad_name, cache, config, grants, keys, mounts, too_many};
use crate::app::{Compress, Function, Isolation, World};
use crate::cache::Cache;
use crate::config::ConfigName;
use crate::diagnostics::{ErrorCode, Finding, quoted};
use crate::grants::Grants;
use crate::limits::{self, Bounds, Limits};
use crate::mounts::Mount;
use crate::names::FunctionName;
use crate::quantity::QuantityError;
use crate::route::{RouteError, RoutePattern};

/// The most routes of one function.
pub const ROUTES_MAX: usize = 100;
/// The most environment variables of one function.
pub const ENV_MAX: usize = 256;

/// A function as far as it could be read.
pub(super) struct Draft {
    pub(super) span: Range<usize>,
    /// Whether the key is there, whatever its value.
    pub(super) named: bool,
    pub(super) name: Option<At<FunctionName>>,
    pub(super) routes: Vec<At<RoutePattern>>,
    pub(super) default_routes: bool,
    component: Option<PathBuf>,
    world: Option<World>,
    isolation: Isolation,
    compress: Compress,
    server_timing: bool,
    cache: Option<Cache>,
    env: BTreeMap<String, String>,
    config: BTreeMap<ConfigName, String>,
    grants: Grants,
    /// The functions, databases, queues and containers that it is granted.
    pub(super) granted: grants::Granted,
    /// Where it says that it answers nobody but those that are granted it.
    pub(super) unrouted: Option<Range<usize>>,
    limits: Limits,
    mounts: Vec<Mount>,
}

impl Draft {
    pub(super) fn read(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Self {
        let world = word::<World>(reader, "world", &World::ALL.map(World::as_str), findings);
        let isolation = word::<Isolation>(
            reader,
            "isolation",
            &Isolation::ALL.map(Isolation::as_str),
            findings,
        );
        if let (
            Some(Isolation::Concurrent),
            Some(At {
                value: World::Wasi02,
                span,
            }),
        ) = (isolation.as_ref().map(|isolation| isolation.value), &world)
        {
            let message = "`isolation = \"concurrent\"` needs WASI 0.3: a 0.2 instance handles one request at a time";
            let finding = Finding::new(ErrorCode::IsolationWorldConflict, span.clone(), message);
            findings.push(
                finding
                    .help("remove `world`, or choose `isolation = \"serial\"` to reuse instances"),
            );
        }
        let default_routes = !reader.has("routes");
        let (grants, granted) = grants::read(reader, findings);
        Self {
            span: reader.span.clone(),
            named: reader.has("name"),
            name: name(reader, findings),
            routes: if default_routes {
                vec![At {
                    value: RoutePattern::everything(),
                    span: reader.span.clone(),
                }]
            } else {
                routes(reader, findings)
            },
            default_routes,
            component: reader
                .filled_text("component", findings)
                .map(|path| PathBuf::from(path.value)),
            world: world.map(|world| world.value),
            isolation: isolation
                .map(|isolation| isolation.value)
                .unwrap_or_default(),
            compress: word(
                reader,
                "compress",
                &Compress::ALL.map(Compress::as_str),
                findings,
            )
            .map(|compress| compress.value)
            .unwrap_or_default(),
            server_timing: reader.switch("server_timing", findings),
            cache: cache::read(reader, findings),
            env: env(reader, findings),
            config: config::read(reader, findings),
            grants,
            granted,
            unrouted: unrouted(reader),
            limits: read_limits(reader, findings),
            mounts: mounts::read(reader, findings),
        }
    }

    pub(super) fn finish(self, name: FunctionName) -> Function {
        Function {
            name,
            component: self.component,
            world: self.world,
            routes: self.routes.into_iter().map(|route| route.value).collect(),
            isolation: self.isolation,
            compress: self.compress,
            server_timing: self.server_timing,
            cache: self.cache,
            env: self.env,
            config: self.config,
            grants: self.grants,
            limits: self.limits,
            mounts: self.mounts,
        }
    }
}

fn name(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<At<FunctionName>> {
    let text = reader.text("name", findings)?;
    match FunctionName::new(text.value) {
        Ok(value) => Some(At {
            value,
            span: text.span,
        }),
        Err(error) => {
            findings.push(bad_name(&text, &error));
            None
        }
    }
}

/// One of a few words.
pub(super) fn word<W: FromStr>(
    reader: &Reader<'_, '_>,
    key: &str,
    allowed: &[&'static str],
    findings: &mut Vec<Finding>,
) -> Option<At<W>> {
    let text = reader.text(key, findings)?;
    let span = text.span;
    if let Ok(value) = text.value.parse() {
        return Some(At { value, span });
    }
    let message = format!("`{key}` can't be `{}`", quoted(text.value));
    let finding = Finding::new(ErrorCode::InvalidValue, span, message)
        .suggest(nearest(text.value, allowed.iter().copied()));
    findings.push(finding.help(format!("it is one of {}", allowed.join(", "))));
    None
}

/// Where `routes` stands, if it is empty.
fn unrouted(reader: &Reader<'_, '_>) -> Option<Range<usize>> {
    let value = reader.value("routes")?;
    match value.get_ref() {
        DeValue::Array(array) if array.is_empty() => Some(value.span()),
        _ => None,
    }
}

fn routes(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Vec<At<RoutePattern>> {
    let Some(array) = reader.array("routes", findings) else {
        return Vec::new();
    };
    if let Some(first_over) = array.value.get(ROUTES_MAX) {
        findings.push(too_many(
            first_over.span(),
            "routes of one function",
            ROUTES_MAX,
        ));
    }
    let mut routes = Vec::new();
    for item in array.value.iter().take(ROUTES_MAX) {
        let Some(text) = table::text(item, "routes", findings) else {
            continue;
        };
        match RoutePattern::parse(text.value) {
            Ok(value) => routes.push(At {
                value,
                span: text.span,
            }),
            Err(error) => findings.push(bad_route(&text, &error)),
        }
    }
    routes
}

pub(super) fn bad_route(text: &At<&str>, error: &RouteError) -> Finding {
    let suggestion = match error {
        RouteError::Scheme { suggestion, .. } | RouteError::NoSlash { suggestion } => {
            Some(suggestion.clone())
        }
        RouteError::Segment {
            segment,
            suggestion: Some(right),
            ..
        } => Some(text.value.replacen(segment.as_str(), right, 1)),
        _ => None,
    };
    // What is proposed must be right as a whole, not only where it was wrong.
    let suggestion = suggestion.filter(|text| RoutePattern::parse(text).is_ok());
    let message = format!(
        "bad route `{}`: {}",
        quoted(text.value),
        quoted_error(error)
    );
    Finding::new(ErrorCode::BadRoute, text.span.clone(), message).suggest(suggestion)
}

/// The error's text with the user's own words in a form that fits a message.
fn quoted_error(error: &RouteError) -> String {
    match error {
        RouteError::Segment {
            segment, reason, ..
        } if !segment.is_empty() => {
            format!("segment `{}`: {reason}", quoted(segment))
        }
        RouteError::Segment { reason, .. } | RouteError::Host { reason } => (*reason).to_owned(),
        other => other.to_string(),
    }
}

fn env(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let Some(value) = reader.value("env") else {
        return env;
    };
    let DeValue::Table(variables) = value.get_ref() else {
        let finding = table::wrong_type(value.span(), "env", "a table", value.get_ref());
        findings.push(finding.help("write `env = { KEY = \"value\" }`"));
        return env;
    };
    if variables.len() > ENV_MAX {
        findings.push(too_many(
            value.span(),
            "environment variables of one function",
            ENV_MAX,
        ));
    }
    for (name, value) in variables.iter().take(ENV_MAX) {
        let key: &str = name.get_ref();
        if key.is_empty() || key.contains(|c: char| c == '=' || c.is_control()) {
            let message = format!("`{}` can't name an environment variable", quoted(key));
            let finding = Finding::new(ErrorCode::InvalidValue, name.span(), message);
            findings
                .push(finding.help("a name isn't empty and has no `=` and no control characters"));
        }
        let Some(text) = table::text(value, key, findings) else {
            continue;
        };
        if text.value.contains('\0') {
            let message = format!("the value of `{}` has a NUL character", quoted(key));
            findings.push(Finding::new(
                ErrorCode::InvalidValue,
                text.span.clone(),
                message,
            ));
        }
        env.insert(key.to_owned(), text.value.to_owned());
    }
    env
}

fn read_limits(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Limits {
    let Some(table) = reader.table("limits", &keys::LIMITS, findings) else {
        return Limits::default();
    };
    Limits {
        memory: quantity(&table, "memory", &limits::MEMORY, findings),
        cpu_time: quantity(&table, "cpu_time", &limits::CPU_TIME, findings),
        wall_time: quantity(&table, "wall_time", &limits::WALL_TIME, findings),
        concurrency: count(&table, "concurrency", &limits::CONCURRENCY, findings),
        request_body: quantity(&table, "request_body", &limits::REQUEST_BODY, findings),
        response_body: quantity(&table, "response_body", &limits::RESPONSE_BODY, findings),
        background_time: quantity(
            &table,
            "background_time",
            &limits::BACKGROUND_TIME,
            findings,
        ),
        subrequests: count(&table, "subrequests", &limits::SUBREQUESTS, findings),
        subrequest_body: quantity(
            &table,
            "subrequest_body",
            &limits::SUBREQUEST_BODY,
            findings,
        ),
    }
}

pub(super) fn quantity<Q>(
    table: &Reader<'_, '_>,
    key: &str,
    bounds: &Bounds<Q>,
    findings: &mut Vec<Finding>,
) -> Q
where
    Q: FromStr<Err = QuantityError> + Copy + PartialOrd + Display,
{
    let Some(value) = table.value(key) else {
        return bounds.default;
    };
    if let DeValue::Integer(number) = value.get_ref() {
        let message = format!("`{key}` needs a unit");
        let finding = Finding::new(ErrorCode::InvalidValue, value.span(), message);
        findings.push(finding.help(format!(
            "write it as text, such as `{key} = \"{}\"`, not {}",
            bounds.default,
            quoted(&number.to_string())
        )));
        return bounds.default;
    }
    let Some(text) = table.text(key, findings) else {
        return bounds.default;
    };
    match text.value.parse::<Q>() {
        Ok(amount) => within(amount, &text.span, key, bounds, findings),
        Err(error) => {
            let message = format!("`{key}` can't be `{}`: {error}", quoted(text.value));
            let suggestion = match error {
                QuantityError::BadUnit { suggestion, .. } => suggestion,
                QuantityError::NoNumber { .. } | QuantityError::TooLarge => None,
            };
            findings.push(
                Finding::new(ErrorCode::InvalidValue, text.span, message).suggest(suggestion),
            );
            bounds.default
        }
    }
}

fn within<Q: Copy + PartialOrd + Display>(
    amount: Q,
    span: &Range<usize>,
    key: &str,
    bounds: &Bounds<Q>,
    findings: &mut Vec<Finding>,
) -> Q {
    if bounds.allow(amount) {
        return amount;
    }
    let message = format!(
        "`{key}` is {amount}, but must be from {} to {}",
        bounds.min, bounds.max
    );
    let finding = Finding::new(ErrorCode::LimitOutOfRange, span.clone(), message);
    findings.push(finding.suggest(Some(bounds.clamp(amount).to_string())));
    bounds.default
}

pub(super) fn count<Q>(
    table: &Reader<'_, '_>,
    key: &str,
    bounds: &Bounds<Q>,
    findings: &mut Vec<Finding>,
) -> Q
where
    Q: TryFrom<u32> + Copy + PartialOrd + Display,
{
    let Some(value) = table.value(key) else {
        return bounds.default;
    };
    let DeValue::Integer(number) = value.get_ref() else {
        let found = value.get_ref();
        findings.push(table::wrong_type(value.span(), key, "an integer", found));
        return bounds.default;
    };
    let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
    let fits = |number| Q::try_from(u32::try_from(number).ok()?).ok();
    if let Some(number) = parsed.and_then(fits) {
        return within(number, &value.span(), key, bounds, findings);
    }
    let too_low = number.as_str().starts_with('-') || parsed == Some(0);
    let nearest = if too_low { bounds.min } else { bounds.max };
    let message = format!(
        "`{key}` is {}, but must be from {} to {}",
        quoted(&number.to_string()),
        bounds.min,
        bounds.max
    );
    let finding = Finding::new(ErrorCode::LimitOutOfRange, value.span(), message);
    findings.push(finding.suggest(Some(nearest.to_string())));
    bounds.default
}
