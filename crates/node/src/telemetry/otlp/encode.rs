//! What happened, in the protocol's words (OTLP 1.x; names by OpenTelemetry's semantic conventions).
//!
//! Owns what is said and what isn't: no query of a URL, no field, no address of a client, no text that an error says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use everwarm_edge::meter::{Answerer, RequestId, Start};
use everwarm_engine::span::{Fact, Kind, Span};
use everwarm_host::Level;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as proto, ResourceSpans, ScopeSpans, Status};
use prost::Message as _;

use super::openmetrics::Reading;
use super::{Access, By, LineItem, Said, SpanItem};

/// Bytes of a path that are said; the rest is cut.
pub(super) const PATH_BYTES_MAX: usize = 1_024;
/// Bytes of a method that is none of the usual ones.
const METHOD_BYTES_MAX: usize = 16;
const SAMPLED: u32 = 1;

/// See the module's documentation.
pub(super) struct Encoder {
    resource: Resource,
    scope: InstrumentationScope,
    /// Since when this process counts.
    began: u64,
}

impl Encoder {
    pub(super) fn new() -> Self {
        let version = env!("CARGO_PKG_VERSION");
        // Tells two processes apart that send to the same collector.
        let instance = getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()));
        let attributes = vec![
            text("service.name", "everwarm"),
            text("service.version", version),
            text("service.instance.id", &format!("{instance:016x}")),
        ];
        Self {
            resource: Resource {
                attributes,
                ..Resource::default()
            },
            scope: InstrumentationScope {
                name: "everwarm".to_owned(),
                version: version.to_owned(),
                ..InstrumentationScope::default()
            },
            began: nanos(SystemTime::now()),
        }
    }

    pub(super) fn spans(&self, items: &[SpanItem]) -> Vec<u8> {
        let spans = items.iter().map(|item| match item {
            SpanItem::Request(access) => request(access),
            SpanItem::Below(span) => below(span),
        });
        let scope_spans = ScopeSpans {
            scope: Some(self.scope.clone()),
            spans: spans.collect(),
            schema_url: String::new(),
        };
        let resource_spans = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![scope_spans],
            schema_url: String::new(),
        };
        ExportTraceServiceRequest {
            resource_spans: vec![resource_spans],
        }
        .encode_to_vec()
    }

    pub(super) fn lines(&self, items: &[LineItem]) -> Vec<u8> {
        let records = items.iter().map(|item| match item {
            LineItem::Request(access) => access_line(access),
            LineItem::Said(said) => said_line(said),
        });
        let scope_logs = ScopeLogs {
            scope: Some(self.scope.clone()),
            log_records: records.collect(),
            schema_url: String::new(),
        };
        let resource_logs = ResourceLogs {
            resource: Some(self.resource.clone()),
            scope_logs: vec![scope_logs],
            schema_url: String::new(),
        };
        ExportLogsServiceRequest {
            resource_logs: vec![resource_logs],
        }
        .encode_to_vec()
    }

    pub(super) fn metrics(&self, readings: Vec<Reading>) -> Vec<u8> {
        let now = nanos(SystemTime::now());
        let metrics: Vec<Metric> = readings
            .into_iter()
            .map(|reading| reading.into_metric(self.began, now))
            .collect();
        let scope_metrics = ScopeMetrics {
            scope: Some(self.scope.clone()),
            metrics,
            schema_url: String::new(),
        };
        let resource_metrics = ResourceMetrics {
            resource: Some(self.resource.clone()),
            scope_metrics: vec![scope_metrics],
            schema_url: String::new(),
        };
        ExportMetricsServiceRequest {
            resource_metrics: vec![resource_metrics],
        }
        .encode_to_vec()
    }
}

/// The span of a request.
fn request(access: &Access) -> proto::Span {
    let context = access.id.context();
    let method = method(access);
    let mut attributes = vec![
        text("http.request.method", method),
        text("url.path", &access.path),
        number("http.response.status_code", access.status.as_u16().into()),
        text("everwarm.request_id", &access.id.to_string()),
    ];
    if let Some(answerer) = &access.answerer {
        attributes.extend(of_answerer(answerer));
    }
    if let Some(start) = access.start {
        attributes.push(text("everwarm.start", start.as_str()));
    }
    if let Some(cpu) = access.cpu.filter(|_| access.start != Some(Start::Asset)) {
        attributes.push(number("everwarm.cpu_us", micros(cpu)));
    }
    if let Some(bytes) = access.memory_peak_bytes.filter(|bytes| *bytes > 0) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        attributes.push(number("everwarm.memory_peak_bytes", bytes));
    }
    let mut status = None;
    if access.failed || access.status.is_server_error() {
        status = Some(failed(access.code.unwrap_or_default()));
    }
    if let Some(code) = access.code {
        attributes.push(text("error.type", code));
    }
    let end = nanos(access.ended);
    proto::Span {
        trace_id: context.trace.to_bytes().to_vec(),
        span_id: context.span.to_bytes().to_vec(),
        parent_span_id: parent(&access.id),
        trace_state: state(&access.id),
        flags: SAMPLED,
        name: method.to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: end.saturating_sub(nanos_of(access.took)),
        end_time_unix_nano: end,
        attributes,
        status,
        ..proto::Span::default()
    }
}

/// The span of what was done for a request.
fn below(span: &Span) -> proto::Span {
    let mut attributes = of_function(&Answerer::Function(span.function.clone())).to_vec();
    attributes.extend(span.facts.iter().map(|(name, fact)| match fact {
        Fact::Text(value) => text(name, value),
        Fact::Number(value) => number(name, *value),
    }));
    if let Some(how) = span.failed {
        attributes.push(text("error.type", how));
    }
    let kind = match span.kind {
        Kind::Client => SpanKind::Client,
        Kind::Producer => SpanKind::Producer,
    };
    let start = nanos(span.began);
    proto::Span {
        trace_id: span.context.trace.to_bytes().to_vec(),
        span_id: span.context.span.to_bytes().to_vec(),
        parent_span_id: span.parent.to_bytes().to_vec(),
        flags: SAMPLED,
        name: span.name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(nanos_of(span.took)),
        attributes,
        status: span.failed.map(failed),
        ..proto::Span::default()
    }
}

fn access_line(access: &Access) -> LogRecord {
    let status = access.status.as_u16();
    let (method, path) = (method(access), &*access.path);
    let mut attributes = vec![
        text("http.request.method", method),
        text("url.path", path),
        number("http.response.status_code", status.into()),
        number("everwarm.took_us", micros(access.took)),
        text("everwarm.request_id", &access.id.to_string()),
        text("everwarm.source", "access"),
    ];
    if let Some(answerer) = &access.answerer {
        attributes.extend(of_answerer(answerer));
    }
    if let Some(start) = access.start {
        attributes.push(text("everwarm.start", start.as_str()));
    }
    if let Some(code) = access.code {
        attributes.push(text("error.type", code));
    }
    let is_bad = access.failed || access.status.is_server_error();
    let severity = if is_bad {
        SeverityNumber::Error
    } else {
        SeverityNumber::Info
    };
    LogRecord {
        body: Some(value(&format!("{method} {path} {status}"))),
        attributes,
        ..record(access.ended, severity, Some(&access.id))
    }
}

fn said_line(said: &Said) -> LogRecord {
    let mut attributes = of_answerer(&Answerer::Function(said.function.clone())).to_vec();
    if let Some(request) = &said.request {
        attributes.push(text("everwarm.request_id", &request.to_string()));
    }
    let severity = match &said.by {
        By::Stdout | By::Stderr => SeverityNumber::Info,
        By::Node => SeverityNumber::Warn,
        By::Log { level, .. } => match level {
            Level::Trace => SeverityNumber::Trace,
            Level::Debug => SeverityNumber::Debug,
            Level::Info => SeverityNumber::Info,
            Level::Warn => SeverityNumber::Warn,
            Level::Error => SeverityNumber::Error,
            Level::Critical => SeverityNumber::Fatal,
        },
    };
    let mut record = record(said.at, severity, said.request.as_ref());
    let source = match &said.by {
        By::Stdout => "stdout",
        By::Stderr => "stderr",
        By::Node => "node",
        By::Log { level, context } => {
            level.as_str().clone_into(&mut record.severity_text);
            attributes.push(text("everwarm.log.context", context));
            "log"
        }
    };
    attributes.push(text("everwarm.source", source));
    if let By::Stdout | By::Stderr = said.by {
        attributes.push(text("log.iostream", source));
    }
    LogRecord {
        body: Some(value(&said.text)),
        attributes,
        ..record
    }
}

fn record(at: SystemTime, severity: SeverityNumber, request: Option<&RequestId>) -> LogRecord {
    let context = request.map(RequestId::context);
    LogRecord {
        time_unix_nano: nanos(at),
        observed_time_unix_nano: nanos(at),
        severity_number: severity.into(),
        flags: context.map_or(0, |context| u32::from(context.sampled) * SAMPLED),
        trace_id: context.map_or_else(Vec::new, |context| context.trace.to_bytes().to_vec()),
        span_id: context.map_or_else(Vec::new, |context| context.span.to_bytes().to_vec()),
        ..LogRecord::default()
    }
}

fn of_answerer(answerer: &Answerer) -> [KeyValue; 4] {
    [
        text("everwarm.tenant", answerer.tenant().as_str()),
        text("everwarm.app", answerer.app().as_str()),
        text("everwarm.function", answerer.name().as_str()),
        text("everwarm.version", answerer.version()),
    ]
}

fn of_function(answerer: &Answerer) -> [KeyValue; 3] {
    [
        text("everwarm.tenant", answerer.tenant().as_str()),
        text("everwarm.app", answerer.app().as_str()),
        text("everwarm.function", answerer.name().as_str()),
    ]
}

fn method(access: &Access) -> &str {
    cut(access.method.as_str(), METHOD_BYTES_MAX)
}

fn failed(how: &str) -> Status {
    Status {
        message: how.to_owned(),
        code: StatusCode::Error.into(),
    }
}

fn parent(id: &RequestId) -> Vec<u8> {
    let parent = id.parent();
    parent.map_or_else(Vec::new, |parent| parent.to_bytes().to_vec())
}

fn state(id: &RequestId) -> String {
    let state = id.state().and_then(|state| state.to_str().ok());
    state.unwrap_or_default().to_owned()
}

pub(super) fn text(key: &str, said: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value(said)),
        ..KeyValue::default()
    }
}

fn number(key: &str, number: i64) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::IntValue(number)),
        }),
        ..KeyValue::default()
    }
}

fn value(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.to_owned())),
    }
}

pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn nanos(at: SystemTime) -> u64 {
    nanos_of(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}
