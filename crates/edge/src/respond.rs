//! The one map from an error to a response.
//!
//! Everything that can go wrong between a socket and a guest becomes a [`Failure`], and every
//! failure has here its status, its stable code, its title and what the client may be told. The
//! body is problem details (RFC 9457). What only the log may know stays out of it.

use bytes::Bytes;
use everwarm_bundle::FilesError;
use everwarm_engine::fault::Fault;
use everwarm_engine::invoke::GuestBody;
use everwarm_engine::resident::LoadError;
use http::{HeaderValue, Response, StatusCode, header};

use crate::admission::Refusal;
use crate::meter::RequestId;

/// Where the pages on error codes are.
const ERROR_PAGES: &str = "https://everwarm.dev/errors/";
/// The code of what the machine's own limits refuse.
pub const MACHINE_LIMIT: &str = "EW4040";
/// Seconds after which a client may try again when the node or a function is full.
const RETRY_AFTER_S: &str = "1";

const MACHINE_LIMIT_TITLE: &str = "Machine at its limit";

/// Why a request has no response from a guest.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No route matches.
    #[error("no route matches this host and path")]
    NoRoute,
    /// The route is that of files, and there is none at the path.
    #[error("the app has no file at this path")]
    NoFile,
    /// There is a file, and the method is none that it has.
    #[error("a file is asked for with GET or HEAD")]
    MethodNotAllowed,
    /// The files of the app can't be read, or aren't what was deployed.
    #[error("{0}")]
    Files(#[from] FilesError),
    /// The client wants what is kept and nothing else, and nothing is.
    #[error("nothing is kept that answers this request, and the request asks for nothing else")]
    NotCached,
    /// The request can't be understood.
    #[error("{0}")]
    BadRequest(&'static str),
    /// A protocol upgrade was asked for.
    #[error("protocol upgrades, WebSocket among them, are not supported yet")]
    Upgrade,
    /// Admission refused.
    #[error("{}", match .0 {
        Refusal::Node => "the node works on as many requests as it may",
        Refusal::Function => "the function works on as many requests as its limit `concurrency` allows",
        Refusal::Tenant => "the tenant's functions work on as many requests as its quota allows",
        Refusal::TenantMemory => "the tenant's instances have as much memory as its quota allows",
        Refusal::TenantRate => "the tenant's functions get more requests a second than its quota allows",
    })]
    Refused(Refusal),
    /// The function's code can't be had.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// The guest failed, or its limits ended it.
    #[error("{0}")]
    Guest(#[from] Fault),
}

/// What a client is told about a failure.
struct Told {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
}

impl Failure {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        self.told().code
    }

    /// The status that the client gets.
    pub fn status(&self) -> StatusCode {
        self.told().status
    }

    /// What only the log may say.
    pub fn detail_for_log(&self) -> Option<String> {
        match self {
            Self::Guest(fault) => fault.detail_for_log().map(ToOwned::to_owned),
            Self::Load(error) => Some(error.to_string()),
            Self::Files(error) => Some(error.to_string()),
            _ => None,
        }
    }

    fn told(&self) -> Told {
        let (status, code, title) = match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "EW3001", "No route"),
            Self::NoFile => (StatusCode::NOT_FOUND, "EW3025", "No such file"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "EW3024",
                "Method not allowed",
            ),
            Self::NotCached => (StatusCode::GATEWAY_TIMEOUT, "EW3027", "Not in the cache"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "EW3016", "Bad request"),
            Self::Upgrade => (
                StatusCode::NOT_IMPLEMENTED,
                "EW3019",
                "Upgrade not supported",
            ),
            Self::Refused(Refusal::Node) => {
                (StatusCode::SERVICE_UNAVAILABLE, "EW3012", "Node overloaded")
            }
            Self::Refused(Refusal::Function) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "EW3011",
                "Function at its concurrency limit",
            ),
            Self::Refused(Refusal::Tenant | Refusal::TenantMemory) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "EW3020",
                "Tenant at its quota",
            ),
            Self::Refused(Refusal::TenantRate) => {
                (StatusCode::TOO_MANY_REQUESTS, "EW3021", "Too many requests")
            }
            Self::Load(LoadError::Machine(_)) | Self::Files(FilesError::Machine(_)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                MACHINE_LIMIT,
                MACHINE_LIMIT_TITLE,
            ),
            Self::Files(_) => (StatusCode::INTERNAL_SERVER_ERROR, "EW3026", "Files damaged"),
            Self::Load(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "EW3015",
                "Function not ready",
            ),
            Self::Guest(fault) => return told_of_fault(fault),
        };
        Told {
            status,
            code,
            title,
        }
    }

    /// The sentence for the client. Guests' traps and host details are not in it.
    fn detail(&self) -> String {
        match self {
            Self::Files(FilesError::Machine(_)) | Self::Load(LoadError::Machine(_)) => {
                "the machine has no memory mapping or file left for this request".to_owned()
            }
            Self::Files(_) => {
                "the files of this app are missing or damaged on this node: its owner can deploy it again"
                    .to_owned()
            }
            Self::Load(_) => "the function's code is not compiled yet: try again soon".to_owned(),
            Self::Guest(Fault::BadAnswer(_)) => "the function gave no valid response".to_owned(),
            other => other.to_string(),
        }
    }
}

fn told_of_fault(fault: &Fault) -> Told {
    let (status, title) = match fault {
        Fault::Trap(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Function trapped"),
        Fault::CpuLimit => (StatusCode::GATEWAY_TIMEOUT, "CPU limit reached"),
        Fault::WallLimit => (StatusCode::GATEWAY_TIMEOUT, "Wall time limit reached"),
        Fault::MemoryLimit => (StatusCode::INTERNAL_SERVER_ERROR, "Memory limit reached"),
        Fault::RequestBodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request body too large"),
        Fault::RequestBodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "Request body too slow"),
        Fault::ResponseBodyTooLarge => (StatusCode::BAD_GATEWAY, "Response body too large"),
        Fault::NeverAnswered => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Function gave no response",
        ),
        Fault::BadAnswer(_) => (StatusCode::BAD_GATEWAY, "Function gave a bad response"),
        Fault::BodyDropped => (StatusCode::BAD_GATEWAY, "Function dropped its response"),
        Fault::InstanceEnded => (StatusCode::BAD_GATEWAY, "Shared instance ended"),
        Fault::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "Node overloaded"),
        Fault::Machine(_) => (StatusCode::SERVICE_UNAVAILABLE, MACHINE_LIMIT_TITLE),
        Fault::Instantiation(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Function did not start"),
        Fault::Draining => (StatusCode::SERVICE_UNAVAILABLE, "Node is shutting down"),
        // Nobody is there to read it; 499 is what logs of other servers say.
        Fault::ClientGone => (
            StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            "Client gone",
        ),
    };
    Told {
        status,
        code: fault.code(),
        title,
    }
}

/// All of a response, for a client that there is no file descriptor to serve with.
pub fn no_descriptor_left(request_id: &RequestId) -> String {
    let problem = serde_json::json!({
        "type": format!("{ERROR_PAGES}{MACHINE_LIMIT}"),
        "title": MACHINE_LIMIT_TITLE,
        "status": StatusCode::SERVICE_UNAVAILABLE.as_u16(),
        "detail": "the node has no file descriptor left for this connection",
        "code": MACHINE_LIMIT,
        "request_id": request_id.to_string(),
    });
    let problem = problem.to_string();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\neverwarm-error: {MACHINE_LIMIT}\r\nretry-after: {RETRY_AFTER_S}\r\n\
         connection: close\r\n\r\n{problem}",
        problem.len()
    )
}

/// The response to a failed request. One to HEAD has the fields alone.
pub fn respond(failure: &Failure, request_id: &RequestId, is_head: bool) -> Response<GuestBody> {
    let Told {
        status,
        code,
        title,
    } = failure.told();
    let problem = serde_json::json!({
        "type": format!("{ERROR_PAGES}{code}"),
        "title": title,
        "status": status.as_u16(),
        "detail": failure.detail(),
        "code": code,
        "request_id": request_id.to_string(),
    });
    let problem = problem.to_string();
    let length = problem.len();
    let body = if is_head {
        Bytes::new()
    } else {
        Bytes::from(problem)
    };
    let mut response = Response::new(GuestBody::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let problem_json = HeaderValue::from_static("application/problem+json");
    headers.insert(header::CONTENT_TYPE, problem_json);
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert("everwarm-error", HeaderValue::from_static(code));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    if [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
    ]
    .contains(&status)
    {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    response
}
