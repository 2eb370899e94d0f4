//! A name for each admin request: in its response, in the problem that it may end with, and in the log.

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;

/// The field of a response that names its request.
const FIELD: &str = "everwarm-request-id";

tokio::task_local! {
    static CURRENT: String;
}

/// Gives a request its name, and its response the same.
pub(super) async fn give(request: Request, next: Next) -> Response {
    // Without randomness names repeat, which harms nobody.
    let id = format!("{:016x}", getrandom::u64().unwrap_or_default());
    let value = HeaderValue::from_str(&id);
    let mut response = CURRENT.scope(id, next.run(request)).await;
    if let Ok(value) = value {
        response.headers_mut().insert(FIELD, value);
    }
    response
}

/// The name of the request that is worked on. `None` outside of one.
pub(super) fn current() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}
