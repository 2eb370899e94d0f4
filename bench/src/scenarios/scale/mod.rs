//! How a node carries many apps, many functions, many routes and many requests that wait.

pub(crate) mod deploys;
pub(crate) mod functions;
mod node;
pub(crate) mod parked;
pub(crate) mod routes;
pub(crate) mod start;

pub(crate) const START: &str = "1,000 apps";
pub(crate) const FIRST_ANSWER: &str = "process start to first answer, p50";
pub(crate) const UNTOUCHED: &str = "500 untouched axum functions";
pub(crate) const IN_SERVER_P50: &str = "in the server, p50";
pub(crate) const IN_SERVER_P99: &str = "in the server, p99";
pub(crate) const FUNCTIONS: &str = "10,000 functions, 256 MiB of code";
pub(crate) const PARKED: &str = "10,000 requests that wait";
pub(crate) const ERRORS: &str = "errors";
pub(crate) const RESIDENT: &str = "resident memory";
pub(crate) const ROUTES: &str = "100,000 routes";
pub(crate) const LOOKUP: &str = "look-up, p50";
pub(crate) const SWITCH: &str = "switch of the table";
pub(crate) const HELLO: &str = "hello";
pub(crate) const DEPLOY: &str = "deploy, command line to live, p50";
pub(crate) const PROMOTE: &str = "promote to live after its answer, p50";
pub(crate) const HUNDRED: &str = "100 deploys at once";
pub(crate) const FAILED: &str = "that failed";
pub(crate) const P99_RATIO: &str = "p99 of requests, times that without";
