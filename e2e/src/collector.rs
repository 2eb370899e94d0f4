//! A collector of telemetry that speaks the real protocol, OTLP over HTTP with protobuf, and keeps what it is sent. It is
//! bad at it where a test asks for that.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use opentelemetry_proto::tonic::logs::v1::LogRecord;
pub use opentelemetry_proto::tonic::metrics::v1::Metric;
pub use opentelemetry_proto::tonic::metrics::v1::metric::Data;
pub use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
pub use opentelemetry_proto::tonic::trace::v1::Span;
pub use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::deadline::eventually;

/// What a collector does with what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Keeps it.
    Keeps,
    /// Reads it, and never answers.
    NeverAnswers,
    /// Answers that all is well, with a body that is no answer.
    TalksNonsense,
    /// Answers with this status.
    Answers(StatusCode),
    /// Keeps nothing of the spans, and says so.
    Rejects,
}

/// What was sent so far.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Requests, those that weren't kept too.
    pub requests: usize,
    /// What `authorization` said in the last one.
    pub authorization: Option<String>,
    /// Who sent.
    pub resource: Vec<KeyValue>,
    /// Spans.
    pub spans: Vec<Span>,
    /// Lines.
    pub logs: Vec<LogRecord>,
    /// What is counted, the last of each.
    pub metrics: Vec<Metric>,
}

/// See the module's documentation. It ends with this value.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    kept: Mutex<Kept>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    /// One at any port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When there is no port.
    pub async fn start(behaviour: Behaviour) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), behaviour).await
    }

    /// One at that address.
    ///
    /// # Panics
    ///
    /// When it is taken.
    pub async fn start_at(address: SocketAddr, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            kept: Mutex::default(),
        });
        Self {
            address: listener.local_addr().expect("a listener has an address"),
            task: tokio::spawn(accept(listener, Arc::clone(&shared))),
            shared,
        }
    }

    /// What a node is told of it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does something else from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *locked(&self.shared.behaviour) = behaviour;
    }

    /// What was sent so far.
    pub fn kept(&self) -> Kept {
        locked(&self.shared.kept).clone()
    }

    /// Waits until `pick` finds something in what was sent.
    ///
    /// # Panics
    ///
    /// When it never does.
    pub async fn until<T>(&self, what: &str, pick: impl Fn(&Kept) -> Option<T>) -> T {
        eventually(what, async || pick(&self.kept())).await
    }

    /// Waits for the spans of a trace, so many at least.
    ///
    /// # Panics
    ///
    /// When they don't come.
    pub async fn trace(&self, trace: &str, count: usize) -> Vec<Span> {
        self.until(&format!("{count} spans of {trace}"), |kept| {
            let spans = kept.spans.iter();
            let of_it: Vec<Span> = spans
                .filter(|span| hex(&span.trace_id) == trace)
                .cloned()
                .collect();
            (of_it.len() >= count).then_some(of_it)
        })
        .await
    }
}

/// Bytes as digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String can't fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// The attribute of that name, as text.
pub fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

/// The text of a line.
pub fn text(record: &LogRecord) -> Option<&str> {
    match record.body.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let answer = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, std::convert::Infallible>(answer(&shared, request).await) }
            });
            let server = auto::Builder::new(TokioExecutor::new());
            // A connection that breaks is the test's doing.
            let _ = server.serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let behaviour = *locked(&shared.behaviour);
    {
        let mut kept = locked(&shared.kept);
        kept.requests += 1;
        let said = head.headers.get("authorization");
        kept.authorization = said
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
    }
    let is_otlp = head.method == Method::POST
        && head
            .headers
            .get("content-type")
            .map(http::HeaderValue::as_bytes)
            == Some(b"application/x-protobuf");
    let Ok(body) = body.collect().await else {
        return said(StatusCode::BAD_REQUEST, Bytes::new());
    };
    if !is_otlp {
        return said(StatusCode::UNSUPPORTED_MEDIA_TYPE, Bytes::new());
    }
    match behaviour {
        Behaviour::NeverAnswers => {
            // Longer than any test.
            tokio::time::sleep(Duration::from_hours(1)).await;
            said(StatusCode::OK, Bytes::new())
        }
        Behaviour::TalksNonsense => said(StatusCode::OK, vec![0xff; 1 << 20].into()),
        Behaviour::Answers(status) => said(status, Bytes::new()),
        Behaviour::Keeps | Behaviour::Rejects => {
            let rejects = behaviour == Behaviour::Rejects;
            let kept = keep(
                &mut locked(&shared.kept),
                head.uri.path(),
                &body.to_bytes(),
                rejects,
            );
            match kept {
                Some(answer) => said(StatusCode::OK, answer.into()),
                None => said(StatusCode::BAD_REQUEST, Bytes::new()),
            }
        }
    }
}

fn said(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

/// Keeps what a message says. `None` when it is none, or goes to nowhere.
fn keep(kept: &mut Kept, path: &str, body: &[u8], rejects: bool) -> Option<Vec<u8>> {
    let mut sender = |resource: Option<Resource>| {
        kept.resource = resource
            .map(|resource| resource.attributes)
            .unwrap_or_default();
    };
    match path {
        "/v1/traces" => {
            let message = ExportTraceServiceRequest::decode(body).ok()?;
            let mut spans = Vec::new();
            for of_resource in message.resource_spans {
                sender(of_resource.resource);
                let scopes = of_resource.scope_spans.into_iter();
                spans.extend(scopes.flat_map(|scope| scope.spans));
            }
            let partial_success = rejects.then(|| ExportTracePartialSuccess {
                rejected_spans: i64::try_from(spans.len()).unwrap_or(i64::MAX),
                error_message: "no room".to_owned(),
            });
            if !rejects {
                kept.spans.extend(spans);
            }
            Some(ExportTraceServiceResponse { partial_success }.encode_to_vec())
        }
        "/v1/logs" => {
            let message = ExportLogsServiceRequest::decode(body).ok()?;
            for of_resource in message.resource_logs {
                sender(of_resource.resource);
                let scopes = of_resource.scope_logs.into_iter();
                kept.logs.extend(scopes.flat_map(|scope| scope.log_records));
            }
            Some(ExportLogsServiceResponse::default().encode_to_vec())
        }
        "/v1/metrics" => {
            let message = ExportMetricsServiceRequest::decode(body).ok()?;
            kept.metrics.clear();
            for of_resource in message.resource_metrics {
                sender(of_resource.resource);
                let scopes = of_resource.scope_metrics.into_iter();
                kept.metrics.extend(scopes.flat_map(|scope| scope.metrics));
            }
            Some(ExportMetricsServiceResponse::default().encode_to_vec())
        }
        _ => None,
    }
}
