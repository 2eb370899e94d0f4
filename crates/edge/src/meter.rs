//! Closes the books of a request: what it used becomes one access event.
//!
//! Owns what an event says. Who writes it where is the [`AccessLog`]'s business.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use everwarm_engine::RequestId;
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::resident::StartLevel;
use everwarm_engine::usage::Usage;
use everwarm_manifest::{AppName, FunctionName, TenantId};
use http::{Method, StatusCode, Uri};

/// One request, when it is over.
#[derive(Debug)]
pub struct AccessEvent<'e> {
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
    /// Who answers it, if a route matched.
    pub function: Option<&'e Answerer>,
    /// How its function was found, if one was asked for, or that it is a file.
    pub start: Option<Start>,
    /// What was used, by the guest if one ran.
    pub usage: Option<Usage>,
    /// Time from the request's head to the end of the books.
    pub took: Duration,
    /// The stable code of the error, if there was one.
    pub code: Option<&'static str>,
    /// What the log may say of the error and the client may not.
    pub detail: Option<String>,
}

/// Who answers a request: a function, or the files of a version.
#[derive(Debug, Clone)]
pub enum Answerer {
    /// A function.
    Function(Arc<FunctionSpec>),
    /// Files.
    Assets(Arc<SiteName>),
}

/// Names the files of a version.
#[derive(Debug, Clone)]
pub struct SiteName {
    /// Who owns the app.
    pub tenant: TenantId,
    /// The app.
    pub app: AppName,
    /// What stands in the place of a function's name.
    pub name: FunctionName,
    /// The version of the app.
    pub version: Arc<str>,
}

impl Answerer {
    /// Who owns it.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::Function(spec) => &spec.tenant,
            Self::Assets(site) => &site.tenant,
        }
    }

    /// The app that it belongs to.
    pub fn app(&self) -> &AppName {
        match self {
            Self::Function(spec) => &spec.app,
            Self::Assets(site) => &site.app,
        }
    }

    /// The function's name, or what stands in its place.
    pub fn name(&self) -> &FunctionName {
        match self {
            Self::Function(spec) => &spec.name,
            Self::Assets(site) => &site.name,
        }
    }

    /// The version of the app.
    pub fn version(&self) -> &Arc<str> {
        match self {
            Self::Function(spec) => &spec.version,
            Self::Assets(site) => &site.version,
        }
    }
}

/// How a request got its answerer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Its function was resident.
    Warm,
    /// Its function was mapped from the compiled artifact on disk.
    Disk,
    /// It is a file: no function was asked.
    Asset,
    /// Its answer was kept: no function was asked.
    Cache,
}

impl Start {
    /// The word for it in logs, usage and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warm => StartLevel::Warm.as_str(),
            Self::Disk => StartLevel::Disk.as_str(),
            Self::Asset => "asset",
            Self::Cache => "cache",
        }
    }
}

impl From<StartLevel> for Start {
    fn from(level: StartLevel) -> Self {
        match level {
            StartLevel::Warm => Self::Warm,
            StartLevel::Disk => Self::Disk,
        }
    }
}

/// Takes access events. Called on data-plane threads, so it must neither block nor wait.
pub trait AccessLog: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: &AccessEvent<'_>);
}
