//! Requests whose response is passed on.

use everwarm_sdk::http::{HeaderMap, HeaderName, StatusCode, Uri};
use everwarm_sdk::{Body, IntoResponse as _, Request, Response, Result, SendError, send};

use crate::reporting;

/// What headers begin with that are passed on, of a response.
const SHOWN: &str = "x-";

/// What headers begin with that are passed on without it, of a request.
const SENT: &str = "x-send-";

pub(crate) async fn get(url: Uri) -> Result {
    Ok(pass(send(Request::get(url).body(())?).await))
}

pub(crate) async fn post(url: Uri, body: Body) -> Result {
    Ok(pass(send(Request::post(url).body(body)?).await))
}

/// Sends a body of this many bytes, which is whole in memory, so that its length is known.
pub(crate) async fn whole(url: Uri, bytes: u64) -> Result {
    let body = vec![b'x'; usize::try_from(bytes)?];
    Ok(pass(send(Request::post(url).body(body)?).await))
}

pub(crate) async fn headers(url: Uri, headers: &HeaderMap) -> Result {
    let mut request = Request::get(url).body(())?;
    for (name, value) in headers {
        if let Some(name) = name.as_str().strip_prefix(SENT) {
            let name: HeaderName = name.parse()?;
            request.headers_mut().append(name, value.clone());
        }
        // As a function does that knows tracing, and nothing of its host.
        let is_trace = matches!(name.as_str(), "traceparent" | "tracestate");
        if is_trace && headers.contains_key("x-pass-trace") {
            request.headers_mut().append(name, value.clone());
        }
    }
    Ok(pass(send(request).await))
}

fn pass(sent: Result<Response, SendError>) -> Response {
    let received = match sent {
        Ok(received) => received,
        Err(error) => {
            let report = reporting::failure(&error);
            return (StatusCode::BAD_GATEWAY, report).into_response();
        }
    };
    let (head, body) = received.into_parts();
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    for (name, value) in &head.headers {
        if name.as_str().starts_with(SHOWN) {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}
