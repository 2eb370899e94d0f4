//! How a collector is reached: HTTP with protobuf, within bounds on time and on what it answers (OTLP 1.x, section "OTLP/HTTP").

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

/// How long a request to the collector may take, its answer included.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("everwarm/", env!("CARGO_PKG_VERSION")));

/// The address of a collector: what stands before `v1/traces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpUrl(Uri);

/// A text that is no address of a collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` isn't the address of a collector: write http:// or https://, a host and a port, as in http://127.0.0.1:4318"
)]
pub struct NotUrl(String);

impl FromStr for OtlpUrl {
    type Err = NotUrl;

    fn from_str(text: &str) -> Result<Self, NotUrl> {
        let wrong = || NotUrl(text.to_owned());
        let base = text.trim_end_matches('/');
        let uri: Uri = format!("{base}/").parse().map_err(|_| wrong())?;
        let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        // What is in an address may be shown: keys have a place of their own.
        let has_user = uri
            .authority()
            .is_none_or(|authority| authority.as_str().contains('@'));
        if !has_scheme || has_user || uri.query().is_some() {
            return Err(wrong());
        }
        Ok(Self(uri))
    }
}

impl std::fmt::Display for OtlpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_string().trim_end_matches('/'))
    }
}

/// Fields of each request to the collector. They hold keys, and are shown nowhere.
#[derive(Clone, Default)]
pub struct Headers(HeaderMap);

/// A text that is no list of fields. It isn't in the error: it may hold a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it isn't `name=value` with commas between, as in `api-key=abc`")]
pub struct NotHeaders;

impl FromStr for Headers {
    type Err = NotHeaders;

    /// `name=value` with commas between, values percent-encoded, as `OTEL_EXPORTER_OTLP_HEADERS` has it.
    fn from_str(text: &str) -> Result<Self, NotHeaders> {
        let mut headers = HeaderMap::new();
        for pair in text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').ok_or(NotHeaders)?;
            let name: HeaderName = name.trim().parse().map_err(|_| NotHeaders)?;
            let value = decoded(value.trim().as_bytes());
            let mut value = HeaderValue::from_bytes(&value).map_err(|_| NotHeaders)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self(headers))
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Headers").finish_non_exhaustive()
    }
}

/// What is behind `%` as two digits is a byte.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = byte.filter(|_| first == b'%') {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    bytes
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The collector has it, but for so many.
    Taken { rejected: usize },
    /// It may take it later.
    Later {
        reason: String,
        after: Option<Duration>,
    },
    /// It doesn't take it.
    Refused(String),
}

/// See the module's documentation.
#[derive(Clone)]
pub(super) struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    headers: HeaderMap,
}

impl Sender {
    /// Trusts the authorities of the system.
    pub(super) fn new(url: &OtlpUrl, headers: &Headers) -> Self {
        let mut roots = RootCertStore::empty();
        if url.0.scheme_str() == Some("https") {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has what TLS 1.2 and 1.3 need")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_all_versions()
            .build();
        let mut headers = headers.0.clone();
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.insert(USER_AGENT, AGENT);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base: url.0.to_string(),
            headers,
        }
    }

    /// Sends a message to what is at `path` of the collector.
    pub(super) async fn send(&self, path: &str, body: impl Into<Bytes>) -> Outcome {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::POST;
        // A base that was parsed, and a path of ours.
        *request.uri_mut() = format!("{}{path}", self.base).parse().unwrap_or_default();
        *request.headers_mut() = self.headers.clone();
        let later = |reason: String, after| Outcome::Later { reason, after };
        let answered = async {
            let answer = match self.client.request(request).await {
                Ok(answer) => answer,
                Err(error) => return later(innermost(&error), None),
            };
            let status = answer.status();
            let after = retry_after(answer.headers());
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
            let body = body.await.map(http_body_util::Collected::to_bytes).ok();
            match status {
                status if status.is_success() => Outcome::Taken {
                    rejected: body.map_or(0, |body| rejected(&body)),
                },
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => later(format!("it answers {status}"), after),
                status => Outcome::Refused(format!("it answers {status}")),
            }
        };
        match timeout(REQUEST_TIME_MAX, answered).await {
            Ok(outcome) => outcome,
            Err(_) => later("it doesn't answer in time".to_owned(), None),
        }
    }
}

/// Seconds; what is a date is passed over.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// How many the collector says that it rejected: all three signals say it alike. What can't be read says nothing.
fn rejected(answer: &[u8]) -> usize {
    let answer = ExportTraceServiceResponse::decode(answer).ok();
    let partial = answer.and_then(|answer| answer.partial_success);
    let count = partial.map_or(0, |partial| partial.rejected_spans);
    usize::try_from(count).unwrap_or(0)
}

/// What went wrong in the end, in words: the outer errors say "client error".
fn innermost(error: &hyper_util::client::legacy::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collector_is_named_by_a_plain_url() {
        for (text, shown) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
            ("https://otlp.example.com/", "https://otlp.example.com"),
            ("https://example.com/a/otlp", "https://example.com/a/otlp"),
        ] {
            assert_eq!(text.parse::<OtlpUrl>().unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            "127.0.0.1:4318",
            "grpc://127.0.0.1:4317",
            "http://",
            "http://user:key@example.com",
            "http://example.com/?key=1",
        ] {
            assert!(wrong.parse::<OtlpUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn fields_are_read_and_never_shown() {
        let headers: Headers = "api-key=a%20b%2, x-other = 1,".parse().unwrap();
        assert_eq!(headers.0["api-key"], "a b%2");
        assert_eq!(headers.0["x-other"], "1");
        assert!(!format!("{headers:?}").contains("a b"));
        assert!("nonsense".parse::<Headers>().is_err());
        assert!("a=%0d%0ab".parse::<Headers>().is_err());
        assert!("".parse::<Headers>().unwrap().0.is_empty());
    }

    #[test]
    fn what_a_collector_rejects_is_read_and_nonsense_is_not() {
        use opentelemetry_proto::tonic::collector::logs::v1::{
            ExportLogsPartialSuccess, ExportLogsServiceResponse,
        };
        let answer = ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: 3,
                error_message: "no room".to_owned(),
            }),
        };
        assert_eq!(rejected(&answer.encode_to_vec()), 3);
        assert_eq!(rejected(b""), 0);
        assert_eq!(rejected(b"<html>nonsense"), 0);
    }
}
