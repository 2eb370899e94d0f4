//! What goes wrong with an S3 server, in words that say nothing of keys, and what the log hears of it.

use std::error::Error as StdError;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use object_store::client::{HttpError, HttpErrorKind};

use crate::blobs::BlobError;

/// Characters of what others say that are repeated.
const REPEATED_MAX: usize = 120;
/// How often the log hears of it at most.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Why the S3 server that keeps the blobs didn't do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum BucketFault {
    /// Nobody listens there, its name isn't known, or TLS fails.
    #[error("the S3 server can't be reached: {0}")]
    Unreachable(String),
    /// It is silent.
    #[error("the S3 server doesn't answer in time")]
    Slow,
    /// The connection ended in the middle.
    #[error("the connection to the S3 server broke off")]
    BrokeOff,
    /// It is no S3 server, or a broken one.
    #[error("what the S3 server answers makes no sense")]
    Garbage,
    /// It doesn't take the keys, or they don't allow it.
    #[error("the S3 server refuses the node's access key ({0})")]
    Denied(String),
    /// The bucket isn't there.
    #[error("the S3 server has no such bucket")]
    NoBucket,
    /// The object isn't there.
    #[error("the S3 server has no such object")]
    NoObject,
    /// It says no for another reason.
    #[error("the S3 server answers {0}")]
    Status(String),
    /// The node ends.
    #[error("the node ends")]
    Stopped,
}

impl BucketFault {
    /// What whoever asked for a blob hears.
    pub(in super::super) fn into_error(self) -> BlobError {
        match self {
            Self::NoObject => BlobError::Damaged {
                reason: "a blob's object isn't in the bucket any more".to_owned(),
            },
            fault => BlobError::Unavailable {
                reason: fault.to_string(),
            },
        }
    }
}

/// What an error of the client means.
pub(super) fn of(error: &object_store::Error) -> BucketFault {
    if let Some(http) = cause::<HttpError>(error) {
        return match http.kind() {
            HttpErrorKind::Connect => BucketFault::Unreachable(repeated(&innermost(http))),
            HttpErrorKind::Timeout => BucketFault::Slow,
            HttpErrorKind::Decode => BucketFault::Garbage,
            _ => BucketFault::BrokeOff,
        };
    }
    // The client doesn't say these things otherwise.
    let told = error.to_string();
    let code = between(&told, "<Code>", "</Code>").filter(|code| is_code(code));
    let status =
        between(&told, "status code: ", ":").or_else(|| between(&told, "status code: ", "\n"));
    let said = || match (status, code) {
        (Some(status), Some(code)) => repeated(&format!("{status}, {code}")),
        (Some(text), None) | (None, Some(text)) => repeated(text),
        (None, None) => "no".to_owned(),
    };
    let is = |wanted: &[&str]| {
        let number = status.and_then(|status| status.split(' ').next());
        number.is_some_and(|number| wanted.contains(&number))
    };
    match (error, code) {
        (_, Some("NoSuchBucket")) => BucketFault::NoBucket,
        (object_store::Error::NotFound { .. }, _) => BucketFault::NoObject,
        _ if is(&["401", "403"]) => BucketFault::Denied(said()),
        _ if is(&["404"]) => BucketFault::NoObject,
        (_, code) if code.is_some() || status.is_some() => BucketFault::Status(said()),
        _ => BucketFault::Garbage,
    }
}

/// The first error of a kind among the causes of one.
fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

fn is_code(text: &str) -> bool {
    (1..=REPEATED_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What somebody else says, short and in one line.
fn repeated(text: &str) -> String {
    let plain = text
        .chars()
        .map(|one| if one.is_control() { ' ' } else { one });
    plain.take(REPEATED_MAX).collect()
}

/// Whether the server does what it is asked. Tells the log when that changes, and not more often than it can be read.
#[derive(Debug)]
pub(super) struct Health {
    bucket: String,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    is_ill: bool,
    said: Option<Instant>,
}

impl Health {
    pub(super) fn new(bucket: String) -> Self {
        Self {
            bucket,
            last: Mutex::default(),
        }
    }

    /// A call ended, with a fault or without one.
    pub(super) fn note(&self, fault: Option<&BucketFault>) {
        // What it says of an object it says in good health.
        let fault =
            fault.filter(|fault| !matches!(fault, BucketFault::NoObject | BucketFault::Stopped));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.said.is_none_or(|said| said.elapsed() >= SAID_EVERY);
        let bucket = &self.bucket;
        match fault {
            Some(fault) if !last.is_ill || is_due => {
                last.is_ill = true;
                if is_due {
                    last.said = Some(Instant::now());
                    tracing::error!(%bucket, %fault, "blobs can't be read or written, and all else is served");
                }
            }
            None if last.is_ill => {
                *last = Last::default();
                tracing::info!(%bucket, "blobs can be read and written again");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn what_servers_say_is_told_by_its_code_and_nothing_else_of_it() {
        let denied = object_store::Error::PermissionDenied {
            path: "a".to_owned(),
            source: "status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><StringToSign>x</StringToSign>"
                .into(),
        };
        let fault = of(&denied);
        assert_eq!(
            fault,
            BucketFault::Denied("403 Forbidden, SignatureDoesNotMatch".to_owned())
        );
        let bucket = generic("status code: 404 Not Found: <Code>NoSuchBucket</Code>");
        assert_eq!(of(&bucket), BucketFault::NoBucket);
        let busy = generic("status code: 503 Service Unavailable: <h1>\u{1b}[31m</h1>");
        assert_eq!(
            of(&busy),
            BucketFault::Status("503 Service Unavailable".to_owned())
        );
        assert_eq!(of(&generic("<html>")), BucketFault::Garbage);
        let long = generic(&format!("<Code>{}</Code>", "x".repeat(1_000)));
        assert_eq!(of(&long), BucketFault::Garbage);
    }

    #[test]
    fn failures_of_connections_are_told_apart() {
        let of_kind = |kind| {
            let refused = std::io::Error::other("refused\nhere");
            of(&object_store::Error::Generic {
                store: "S3",
                source: Box::new(HttpError::new(kind, refused)),
            })
        };
        assert_eq!(
            of_kind(HttpErrorKind::Connect),
            BucketFault::Unreachable("refused here".to_owned())
        );
        assert_eq!(of_kind(HttpErrorKind::Timeout), BucketFault::Slow);
        assert_eq!(of_kind(HttpErrorKind::Interrupted), BucketFault::BrokeOff);
    }
}
