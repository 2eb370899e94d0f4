//! Traces, logs and metrics on their way to a collector, by OTLP over HTTP with protobuf.
//!
//! Owns what is taken in from requests: little, into queues that are bounded, and never waited for. What is sent is made
//! by tasks of their own (`signal`), so that a collector that is slow or gone costs a request nothing; what there is no
//! room for is dropped and counted. `encode` knows the protocol, `openmetrics` reads what the node counts, `send` speaks
//! HTTP.

mod encode;
mod node;
mod openmetrics;
mod send;
mod signal;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use everwarm_edge::meter::{AccessEvent, AccessLog, Answerer, RequestId, Start};
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::span::{Span, Spans};
use everwarm_host::{GuestLine, GuestOutput, Level, SaidBy};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use encode::{Encoder, PATH_BYTES_MAX, cut};
use openmetrics::Reading;
pub use send::{Headers, NotHeaders, NotUrl, OtlpUrl};
use send::{Outcome, Sender};
use waiting::Waiting;

/// Spans that may wait to be sent.
const SPANS_WAITING_MAX: usize = 16_384;
/// Lines that may wait to be sent.
const LINES_WAITING_MAX: usize = 16_384;
/// Bytes of these lines.
const LINES_BYTES_MAX: usize = 16 << 20;
/// How long the node's end waits for what is left to be sent.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(5);
/// Time between two times that what the node counts is sent.
const METRICS_EVERY: Duration = Duration::from_secs(15);

/// Where telemetry goes, and how much of it.
#[derive(Debug, Clone)]
pub struct OtlpConfig {
    /// The collector.
    pub url: OtlpUrl,
    /// Fields of each request to it, as keys of a service.
    pub headers: Headers,
    /// Of how many requests traces are recorded, out of `u32::MAX`.
    pub recorded: u32,
}

/// See the module's documentation.
pub struct Otlp {
    sender: Sender,
    encoder: Arc<Encoder>,
    spans: Arc<Waiting<SpanItem>>,
    lines: Arc<Waiting<LineItem>>,
    metrics: Counts,
    warned: Mutex<signal::Warned>,
    end: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What became of what was to be sent.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    fn sent(&self, count: usize) {
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn dropped(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// How many were sent and dropped.
    pub(crate) fn read(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.sent), read(&self.dropped))
    }
}

/// A request that is over.
struct Access {
    id: RequestId,
    method: Method,
    /// Of the URI, which is a part of the whole head, and kept as long as a clone of it.
    path: Box<str>,
    status: StatusCode,
    answerer: Option<Answerer>,
    start: Option<Start>,
    ended: SystemTime,
    took: Duration,
    cpu: Option<Duration>,
    memory_peak_bytes: Option<u64>,
    code: Option<&'static str>,
    failed: bool,
}

enum SpanItem {
    Request(Arc<Access>),
    Below(Box<Span>),
}

enum LineItem {
    Request(Arc<Access>),
    Said(Box<Said>),
}

/// A line that a function said, or that the node said of it.
struct Said {
    at: SystemTime,
    function: Arc<FunctionSpec>,
    request: Option<RequestId>,
    by: By,
    text: String,
}

enum By {
    Stdout,
    Stderr,
    Log { level: Level, context: String },
    Node,
}

impl Otlp {
    /// Starts the tasks that send.
    pub(crate) fn start(config: &OtlpConfig) -> Arc<Self> {
        let sender = Sender::new(&config.url, &config.headers);
        let encoder = Arc::new(Encoder::new());
        let spans = Arc::new(Waiting::new(SPANS_WAITING_MAX, usize::MAX));
        let lines = Arc::new(Waiting::new(LINES_WAITING_MAX, LINES_BYTES_MAX));
        let (end, ending) = watch::channel(false);
        let of_spans = {
            let encoder = Arc::clone(&encoder);
            move |items: &[SpanItem]| encoder.spans(items)
        };
        let of_lines = {
            let encoder = Arc::clone(&encoder);
            move |items: &[LineItem]| encoder.lines(items)
        };
        let (to, queue) = (sender.clone(), Arc::clone(&spans));
        let traces = signal::run("v1/traces", to, queue, of_spans, ending.clone());
        let (to, queue) = (sender.clone(), Arc::clone(&lines));
        let logs = signal::run("v1/logs", to, queue, of_lines, ending);
        let tasks = vec![tokio::spawn(traces), tokio::spawn(logs)];
        Arc::new(Self {
            sender,
            encoder,
            spans,
            lines,
            metrics: Counts::default(),
            warned: Mutex::default(),
            end,
            tasks: Mutex::new(tasks),
        })
    }

    /// What became of the spans, the lines and the metrics.
    pub(crate) fn counts(&self) -> [(&'static str, (u64, u64)); 3] {
        [
            ("traces", self.spans.counts().read()),
            ("logs", self.lines.counts().read()),
            ("metrics", self.metrics.read()),
        ]
    }

    /// Waits until it is time to send what the node counts.
    pub(crate) async fn metrics_due(&self) {
        tokio::time::sleep(METRICS_EVERY).await;
    }

    /// Sends what the node counts, once: the next time says it all again.
    pub(crate) async fn send_metrics(&self, text: &str) {
        let metrics = openmetrics::read(text);
        let count: usize = metrics.iter().map(Reading::points).sum();
        let body = self.encoder.metrics(metrics);
        match self.sender.send("v1/metrics", body).await {
            Outcome::Taken { rejected } => {
                self.metrics.sent(count.saturating_sub(rejected));
                self.metrics.dropped(rejected);
            }
            Outcome::Refused(reason) | Outcome::Later { reason, .. } => {
                self.metrics.dropped(count);
                if self.warned.lock().again() {
                    tracing::warn!(reason, "metrics weren't taken by the collector");
                }
            }
        }
    }

    /// Sends what is left, the `last` metrics too, in so much time and no more.
    pub(crate) async fn finish(&self, last: &str) {
        let until = Instant::now() + FLUSH_TIME_MAX;
        self.end.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        let aborts: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        let all = async {
            self.send_metrics(last).await;
            for task in tasks {
                // A panic in it was logged.
                let _ = task.await;
            }
        };
        let is_late = tokio::time::timeout_at(until, all).await.is_err();
        if is_late {
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
        }
        let left = self.spans.give_up() + self.lines.give_up();
        if is_late || left > 0 {
            tracing::warn!(
                items = left,
                "the last telemetry was dropped: the collector takes it too slowly, or not at all"
            );
        }
    }
}

impl AccessLog for Otlp {
    fn record(&self, event: &AccessEvent<'_>) {
        let usage = event.usage.as_ref();
        let access = Arc::new(Access {
            id: event.request_id.clone(),
            method: event.method.clone(),
            path: cut(event.uri.path(), PATH_BYTES_MAX).into(),
            status: event.status,
            answerer: event.function.cloned(),
            start: event.start,
            ended: SystemTime::now(),
            took: event.took,
            cpu: usage.map(|usage| usage.cpu),
            memory_peak_bytes: usage.map(|usage| usage.memory_peak_bytes),
            code: event.code,
            failed: usage.is_some_and(|usage| usage.fault.is_some()),
        });
        if access.id.is_sampled() {
            self.spans.push(SpanItem::Request(Arc::clone(&access)), 0);
        }
        let bytes = size_of::<Access>() + access.id.bytes() + access.path.len();
        self.lines.push(LineItem::Request(access), bytes);
    }
}

impl Spans for Otlp {
    fn record(&self, span: Span) {
        self.spans.push(SpanItem::Below(Box::new(span)), 0);
    }
}

impl Otlp {
    fn said(&self, function: &Arc<FunctionSpec>, request: Option<RequestId>, by: By, text: &str) {
        let context = match &by {
            By::Log { context, .. } => context.len(),
            By::Stdout | By::Stderr | By::Node => 0,
        };
        let named = request.as_ref().map_or(0, RequestId::bytes);
        let bytes = size_of::<Said>() + text.len() + context + named;
        let said = Said {
            at: SystemTime::now(),
            function: Arc::clone(function),
            request,
            by,
            text: text.to_owned(),
        };
        self.lines.push(LineItem::Said(Box::new(said)), bytes);
    }
}

impl GuestOutput for Otlp {
    fn line(&self, function: &Arc<FunctionSpec>, line: GuestLine<'_>) {
        let by = match line.way {
            SaidBy::Stdout => By::Stdout,
            SaidBy::Stderr => By::Stderr,
            SaidBy::Log { level, context } => {
                let context = context.to_owned();
                By::Log { level, context }
            }
        };
        self.said(function, line.request, by, line.text);
    }

    fn notice(&self, function: &Arc<FunctionSpec>, text: &str) {
        self.said(function, None, By::Node, text);
    }
}

/// Where access events go: to the log, and to the collector if there is one.
pub(crate) fn logged(otlp: Option<&Arc<Otlp>>, log: &Arc<dyn AccessLog>) -> Arc<dyn AccessLog> {
    match otlp {
        Some(otlp) => Arc::new(Both(Arc::clone(log), Arc::clone(otlp))),
        None => Arc::clone(log),
    }
}

/// Takes what happens to two places.
pub(crate) struct Both<A: ?Sized>(pub(crate) Arc<A>, pub(crate) Arc<Otlp>);

impl<A: AccessLog + ?Sized> AccessLog for Both<A> {
    fn record(&self, event: &AccessEvent<'_>) {
        self.0.record(event);
        AccessLog::record(&*self.1, event);
    }
}

impl<A: GuestOutput + ?Sized> GuestOutput for Both<A> {
    fn line(&self, function: &Arc<FunctionSpec>, line: GuestLine<'_>) {
        self.1.line(function, line.clone());
        self.0.line(function, line);
    }

    fn notice(&self, function: &Arc<FunctionSpec>, text: &str) {
        self.1.notice(function, text);
        self.0.notice(function, text);
    }
}
