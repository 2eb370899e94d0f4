//! Closes the books of a request: what it used becomes one access event.
//!
//! Owns what an event says. Who writes it where is the [`AccessLog`]'s business.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use everwarm_engine::function::FunctionSpec;
use everwarm_engine::resident::StartLevel;
use everwarm_engine::usage::Usage;
use http::{Method, StatusCode, Uri};

/// One request, when it is over.
#[derive(Debug)]
pub struct AccessEvent {
    /// Names the request in logs and error responses.
    pub request_id: RequestId,
    /// Where it came from, if over a socket.
    pub client: Option<IpAddr>,
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// The status that was sent.
    pub status: StatusCode,
    /// The function, if a route matched.
    pub function: Option<Arc<FunctionSpec>>,
    /// How the function was found, if it was asked for.
    pub start_level: Option<StartLevel>,
    /// What the guest used, if it ran.
    pub usage: Option<Usage>,
    /// Time from the request's head to the end of the books.
    pub took: Duration,
    /// The stable code of the error, if there was one.
    pub code: Option<&'static str>,
    /// What the log may say of the error and the client may not.
    pub detail: Option<String>,
}

/// Takes access events. Called on data-plane threads, so it must neither block nor wait.
pub trait AccessLog: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: &AccessEvent);
}

/// Names one request: random for the process, counted within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub u64);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
