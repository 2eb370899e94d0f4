//! What is said of a request in its span: who was asked and what came of it. Never its path or its query, which may
//! hold what is secret, and no field.

use everwarm_engine::request::Request;
use everwarm_engine::span::Ongoing;
use everwarm_manifest::HttpTarget;
use http::StatusCode;

/// The request is on its way.
pub(super) fn sent(span: &mut Ongoing, request: &Request, target: &HttpTarget) {
    span.fact("http.request.method", request.method().as_str());
    span.fact("url.scheme", target.scheme.as_str());
    span.fact("server.address", target.host.to_string());
    span.fact("server.port", target.port);
}

/// The head of a response came, or there will be none. The span is over.
pub(super) fn answered(span: Option<Ongoing>, status: Option<StatusCode>) {
    let Some(mut span) = span else { return };
    match status {
        Some(status) => {
            span.fact("http.response.status_code", status.as_u16());
            if status.is_client_error() || status.is_server_error() {
                span.failed("status");
            }
        }
        None => span.failed("no response"),
    }
}
