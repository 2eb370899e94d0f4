//! The one map from what went wrong in an operation to the problem that its caller is told.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use everwarm_api::messages::Scope;
use everwarm_api::problem::{MEDIA_TYPE, Problem};
use everwarm_store::accounts::AccountError;
use everwarm_store::artifacts::ArtifactError;
use everwarm_store::audit::AuditError;
use everwarm_store::blobs::BlobError;
use everwarm_store::catalog::CatalogError;
use everwarm_store::embedded::backup::BackupError;
use everwarm_store::kv::KvError;
use everwarm_store::triggers::TriggerError;
use everwarm_store::usage::UsageError;

use super::REQUESTS_OF_TENANT_MAX;
use super::pace::TooSlow;
use super::request_id;
use crate::deploy::{DeployError, DeployFailure};
use crate::secrets::SecretsError;

/// The longest detail, which may quote what was sent.
const DETAIL_BYTES_MAX: usize = 16 << 10;

/// An operation that failed.
#[derive(Debug)]
pub(super) struct Failed(Box<Problem>);

impl Failed {
    fn new(status: StatusCode, code: &str, title: &str, detail: impl Into<String>) -> Self {
        let detail = presentable(detail.into());
        Self(Box::new(Problem::new(status.as_u16(), code, title, detail)))
    }

    /// What its caller is told.
    pub(super) fn into_problem(self) -> Box<Problem> {
        self.0
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "EW5003",
            "Not authorized",
            "this needs a token that the node knows and that hasn't expired: `everwarm login` keeps one",
        )
    }

    pub(super) fn needs_scope(scope: Scope) -> Self {
        let scope = scope.as_str();
        Self::new(
            StatusCode::FORBIDDEN,
            "EW5004",
            "Not allowed",
            format!("this needs a token with the scope `{scope}`: ask somebody who has one"),
        )
    }

    pub(super) fn needs_token_of_node() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "EW5004",
            "Not allowed",
            "this needs a token of the node, and yours is a tenant's: ask the node's operator",
        )
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "EW5005",
            "Not found",
            format!("there is no {what}"),
        )
    }

    pub(super) fn no_such_operation() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "EW5015",
            "No such operation",
            "the admin API has no such operation: docs/api.md lists them. Is the client newer than the node?",
        )
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "EW5009", "Bad request", detail)
    }

    pub(super) fn digest_differs(found: &str) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "EW5006",
            "Component differs",
            format!(
                "these bytes are {found}, which is not the digest that was said: upload it again"
            ),
        )
    }

    pub(super) fn too_many_followers() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "EW4043",
            "Too many followers",
            "as many clients follow logs on this node as may: try again soon, or read without waiting",
        )
    }

    pub(super) fn too_slow(reason: TooSlow) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "EW5020",
            "Too slow",
            format!("{reason}: try again over a faster connection"),
        )
    }

    pub(super) fn too_large(bytes_max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "EW5021",
            "Too large",
            format!("the body of this operation has at most {bytes_max} bytes: send less"),
        )
    }

    pub(super) fn too_many_requests() -> Self {
        Self::too_many_at_once(format!(
            "the tenant has {REQUESTS_OF_TENANT_MAX} requests at the admin API already: wait for some of them"
        ))
    }

    pub(super) fn too_many_blobs() -> Self {
        Self::too_many_at_once(
            "as many blobs are written, or read, through the admin API as may be at once, of the tenant or of all: \
             wait for some of them, or try again soon",
        )
    }

    fn too_many_at_once(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "EW5022",
            "Too many requests at once",
            detail,
        )
    }

    pub(super) fn not_a_key(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "EW5023", "Not a key", detail)
    }

    pub(super) fn no_value(key: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "EW5024",
            "No value",
            format!("there is nothing under the key `{key}`"),
        )
    }

    pub(super) fn no_blob() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "EW5027",
            "No blob",
            "there is no blob of that name in the container",
        )
    }

    pub(super) fn no_such_part(size: u64) -> Self {
        Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "EW5029",
            "No such part",
            format!("the blob has {size} bytes, and none of those that `range` asks for"),
        )
    }

    fn blobs_unavailable(detail: &str) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "EW4003", "The store failed", detail)
    }

    fn disk_full(error: &dyn std::error::Error) -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "EW5025",
            "The disk is full",
            error.to_string(),
        )
    }

    pub(super) fn value_too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "EW5021", "Too large", detail)
    }

    /// Files of the cache can't be removed, and the next process might have them again. The log says why.
    pub(super) fn not_purged() -> Self {
        let error = std::io::Error::other("files of the response cache can't be removed");
        Self::coded("EW4003", &error)
    }

    /// What a store's error with a code of its own becomes.
    fn coded(code: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let (status, title) = match code {
            "EW5005" => (StatusCode::NOT_FOUND, "Not found"),
            "EW5006" => (StatusCode::CONFLICT, "Component missing"),
            "EW5007" => (StatusCode::CONFLICT, "Host taken"),
            "EW5008" => (StatusCode::FORBIDDEN, "Quota reached"),
            "EW5010" => (StatusCode::UNPROCESSABLE_ENTITY, "Health check failed"),
            "EW5026" => (StatusCode::CONFLICT, "Migrations can't be applied"),
            "EW5017" => (StatusCode::UNPROCESSABLE_ENTITY, "Key was used"),
            "EW5018" => (StatusCode::CONFLICT, "Too many secrets"),
            "EW4044" => (StatusCode::CONFLICT, "Keys can't be used"),
            "EW4045" => (StatusCode::CONFLICT, "Secret can't be read"),
            "EW5009" => (StatusCode::BAD_REQUEST, "Bad request"),
            "EW5021" => (StatusCode::PAYLOAD_TOO_LARGE, "Too large"),
            "EW5016" => (StatusCode::CONFLICT, "Backup going on"),
            "EW5011" => (StatusCode::CONFLICT, "Traffic can't change so"),
            "EW1005" => (StatusCode::CONFLICT, "Route conflict"),
            "EW4003" => {
                // What a disk says is the operator's to read.
                tracing::error!(error = %chain(error), "the store failed");
                return Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    code,
                    "The store failed",
                    "the node's store failed, and its log says how: ask the node's operator",
                );
            }
            _ => (StatusCode::UNPROCESSABLE_ENTITY, "Can't be deployed"),
        };
        Self::new(status, code, title, chain(error))
    }
}

/// Callers show it to people: what steers a terminal is escaped, and what was sent is told of within a bound.
fn presentable(mut detail: String) -> String {
    let steers = |c: char| c.is_control() && c != '\n';
    if detail.contains(steers) {
        detail = detail.chars().fold(String::new(), |mut shown, c| {
            if steers(c) {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
            shown
        });
    }
    if detail.len() > DETAIL_BYTES_MAX {
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        detail.push_str("...");
    }
    detail
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Transparent errors say what their cause says.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

impl From<DeployFailure> for Failed {
    fn from(failure: DeployFailure) -> Self {
        let mut failed = Self::from(failure.source);
        failed.0.stage = Some(failure.stage.as_str().to_owned());
        failed
    }
}

impl From<DeployError> for Failed {
    fn from(error: DeployError) -> Self {
        Self::coded(error.code(), &error)
    }
}

impl From<CatalogError> for Failed {
    fn from(error: CatalogError) -> Self {
        Self::coded(error.code(), &error)
    }
}

impl From<ArtifactError> for Failed {
    fn from(error: ArtifactError) -> Self {
        Self::coded(error.code(), &error)
    }
}

impl From<SecretsError> for Failed {
    fn from(error: SecretsError) -> Self {
        Self::coded(error.code(), &error)
    }
}

impl From<BackupError> for Failed {
    fn from(error: BackupError) -> Self {
        Self::coded(error.code(), &error)
    }
}

impl From<AuditError> for Failed {
    fn from(error: AuditError) -> Self {
        Self::coded("EW4003", &error)
    }
}

impl From<KvError> for Failed {
    fn from(error: KvError) -> Self {
        match &error {
            KvError::ValueTooLarge { .. }
            | KvError::BatchTooLong { .. }
            | KvError::BatchTooLarge => Self::value_too_large(error.to_string()),
            KvError::TooManyEntries { .. } | KvError::TooManyBytes { .. } => {
                Self::coded("EW5008", &error)
            }
            KvError::DiskFull => {
                tracing::error!(%error, "key-value data can't be written");
                Self::disk_full(&error)
            }
            // Nothing here is incremented or swapped.
            KvError::RevisionDiffers { .. } | KvError::NotANumber | KvError::Overflow => {
                Self::bad_request(error.to_string())
            }
            KvError::Damaged { .. } | KvError::Failed { .. } => Self::coded("EW4003", &error),
        }
    }
}

impl From<BlobError> for Failed {
    fn from(error: BlobError) -> Self {
        match &error {
            BlobError::TooLarge => Self::value_too_large(error.to_string()),
            BlobError::TooManyBlobs { .. } | BlobError::TooManyBytes { .. } => {
                Self::coded("EW5008", &error)
            }
            BlobError::TooManyUploads { .. } | BlobError::TooManyDownloads { .. } => {
                Self::too_many_at_once(error.to_string())
            }
            BlobError::Changed { .. } => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "EW5028",
                "Not as asked",
                error.to_string(),
            ),
            BlobError::BadRange { size, .. } => Self::no_such_part(*size),
            BlobError::DiskFull => {
                tracing::error!(%error, "blobs can't be written");
                Self::disk_full(&error)
            }
            // Nothing here is moved.
            BlobError::OtherApp => Self::bad_request(error.to_string()),
            BlobError::Unavailable { .. } => {
                // What the server says is the operator's to read.
                tracing::error!(%error, "blobs can't be used");
                Self::blobs_unavailable(
                    "what keeps the node's blobs can't be used now, and the node's log says why: try again soon, and \
                     ask the node's operator if that doesn't help",
                )
            }
            BlobError::Refused(reason) => {
                tracing::error!(%error, "a blob can't be written");
                Self::blobs_unavailable(reason)
            }
            BlobError::Damaged { .. } | BlobError::Failed { .. } => Self::coded("EW4003", &error),
        }
    }
}

impl From<TriggerError> for Failed {
    fn from(error: TriggerError) -> Self {
        match &error {
            TriggerError::BodyTooLarge { .. }
            | TriggerError::FieldTooLong
            | TriggerError::BatchTooLong { .. }
            | TriggerError::BatchTooLarge => Self::value_too_large(error.to_string()),
            TriggerError::DelayTooLong => Self::bad_request(error.to_string()),
            TriggerError::TooManyMessages { .. } | TriggerError::TooManyBytes { .. } => {
                Self::coded("EW5008", &error)
            }
            TriggerError::DiskFull => {
                tracing::error!(%error, "messages can't be written");
                Self::disk_full(&error)
            }
            TriggerError::Damaged { .. } | TriggerError::Failed { .. } => {
                Self::coded("EW4003", &error)
            }
        }
    }
}

impl From<UsageError> for Failed {
    fn from(error: UsageError) -> Self {
        match error {
            UsageError::TooMany { .. } => Self::bad_request(error.to_string()),
            _ => Self::coded("EW4003", &error),
        }
    }
}

impl From<AccountError> for Failed {
    fn from(error: AccountError) -> Self {
        match &error {
            AccountError::HasApps { .. } => Self::new(
                StatusCode::CONFLICT,
                "EW5013",
                "Tenant has apps",
                error.to_string(),
            ),
            AccountError::NoTenant(tenant) => Self::not_found(&format!("tenant `{tenant}`")),
            AccountError::TooManyTokens { .. } => Self::new(
                StatusCode::CONFLICT,
                "EW5014",
                "Too many tokens",
                error.to_string(),
            ),
            _ => Self::coded("EW4003", &error),
        }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self(mut problem) = self;
        problem.request_id = request_id::current();
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = HeaderValue::from_str(&problem.code);
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Ok(code) = code {
            headers.insert("everwarm-error", code);
        }
        if [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::REQUEST_TIMEOUT].contains(&status) {
            // What isn't read of a body ends its connection: a client that is told sends nothing more on it.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let is_soon_over = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        if is_soon_over.contains(&status) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_that_can_not_be_used_may_be_soon_and_its_reason_is_not_told() {
        let reason = "the S3 server answers 403".to_owned();
        let failed = Failed::from(BlobError::Unavailable { reason });
        assert!(!failed.0.detail.contains("S3"), "{failed:?}");
        let response = failed.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()["everwarm-error"], "EW4003");
    }
}
