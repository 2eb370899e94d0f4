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
/// What the client says of a redirect that leads nowhere.
const BARE_REDIRECT: &str = "redirect without LOCATION";
/// What it says around the bytes that were asked for of an object that has other ones: there is no status then.
const OTHER_BYTES: [(&str, &str); 2] = [
    ("Wanted range starting at ", ", but object was only "),
    ("Requested ", ", got "),
];

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
    /// The object has another size than the blob.
    #[error("an object on the S3 server has another size than its blob")]
    OtherSize,
    /// It is another one that has the bucket.
    #[error("the S3 server redirects elsewhere: check --blobs-s3-region and --blobs-s3-endpoint")]
    Redirected,
    /// It says no for another reason.
    #[error("the S3 server answers {0}")]
    Status(String),
    /// What asked it has panicked.
    #[error("the node failed while it asked the S3 server")]
    Panicked,
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
            Self::OtherSize => BlobError::Damaged {
                reason: "a blob's object has another size than was written".to_owned(),
            },
            fault => BlobError::Unavailable {
                reason: fault.to_string(),
            },
        }
    }
}

/// What a server's answer says. The client doesn't say these things but in its words.
struct Answer<'a> {
    status: Option<&'a str>,
    code: Option<&'a str>,
}

impl<'a> Answer<'a> {
    fn of(told: &'a str) -> Self {
        Self {
            status: between(told, "status code: ", ":")
                .or_else(|| between(told, "status code: ", "\n")),
            code: between(told, "<Code>", "</Code>").filter(|code| is_code(code)),
        }
    }

    /// The status' number.
    fn number(&self) -> Option<&'a str> {
        self.status.and_then(|status| status.split(' ').next())
    }

    fn text(&self) -> String {
        match (self.status, self.code) {
            (Some(status), Some(code)) => repeated(&format!("{status}, {code}")),
            (Some(text), None) | (None, Some(text)) => repeated(text),
            (None, None) => "no".to_owned(),
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
    let told = error.to_string();
    let answer = Answer::of(&told);
    match (answer.number(), answer.code) {
        (_, Some("NoSuchBucket")) => BucketFault::NoBucket,
        (Some("401" | "403"), _) => BucketFault::Denied(answer.text()),
        (Some(number), _) if number.starts_with('3') => BucketFault::Redirected,
        (None, None) if told.contains(BARE_REDIRECT) => BucketFault::Redirected,
        (None, None) => BucketFault::Garbage,
        _ => BucketFault::Status(answer.text()),
    }
}

/// As [`of`], where an object was asked for, or its removal: nothing else can be told that it isn't there.
pub(super) fn of_object(error: &object_store::Error) -> BucketFault {
    if cause::<HttpError>(error).is_some() {
        return of(error);
    }
    let told = error.to_string();
    let answer = Answer::of(&told);
    match (answer.number(), answer.code) {
        (Some("404"), code) if code != Some("NoSuchBucket") => BucketFault::NoObject,
        // It has no byte of those that were asked for, or not all of them.
        (Some("416"), _) => BucketFault::OtherSize,
        (None, None) if has_other_bytes(&told) => BucketFault::OtherSize,
        _ => of(error),
    }
}

fn has_other_bytes(told: &str) -> bool {
    let is_said = |(before, after): &(&str, &str)| between(told, before, after).is_some();
    OTHER_BYTES.iter().any(is_said)
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
    /// Whether a fault is the last that the log has heard.
    is_told: bool,
    /// When the log has heard of the last fault, whatever came since.
    said: Option<Instant>,
}

impl Last {
    /// Says whether the log should hear of it.
    fn hear(&mut self, is_ill: bool, now: Instant) -> bool {
        if !is_ill {
            return std::mem::take(&mut self.is_told);
        }
        let is_due = self
            .said
            .is_none_or(|said| now.duration_since(said) >= SAID_EVERY);
        if is_due {
            self.is_told = true;
            self.said = Some(now);
        }
        is_due
    }
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
        let fault = match fault {
            // These say nothing of the server.
            Some(BucketFault::Stopped | BucketFault::Panicked) => return,
            // What it says of an object it says in good health.
            Some(BucketFault::NoObject | BucketFault::OtherSize) => None,
            fault => fault,
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.hear(fault.is_some(), Instant::now()) {
            return;
        }
        let bucket = &self.bucket;
        if let Some(fault) = fault {
            tracing::error!(%bucket, %fault, "blobs can't be read or written, and all else is served");
        } else {
            tracing::info!(%bucket, "blobs can be read and written again");
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
    fn nothing_but_an_object_is_told_not_to_be_there() {
        let bare = || object_store::Error::NotFound {
            path: "a".to_owned(),
            source: "Server returned non-2xx status code: 404 Not Found: <h1>no</h1>".into(),
        };
        let upload = object_store::Error::NotFound {
            path: "a".to_owned(),
            source: "Server returned non-2xx status code: 404 Not Found: <Code>NoSuchUpload</Code>"
                .into(),
        };
        let listed = generic("list: Server returned non-2xx status code: 404 Not Found: ");
        for (error, text) in [
            (bare(), "404 Not Found"),
            (upload, "404 Not Found, NoSuchUpload"),
            (listed, "404 Not Found"),
        ] {
            let fault = of(&error);
            assert_eq!(fault, BucketFault::Status(text.to_owned()));
            let told = fault.into_error();
            assert!(matches!(told, BlobError::Unavailable { .. }), "{told:?}");
        }
        let fault = of_object(&bare());
        assert_eq!(fault, BucketFault::NoObject);
        let told = fault.into_error();
        assert!(matches!(told, BlobError::Damaged { .. }), "{told:?}");
        let bucket = generic("status code: 404 Not Found: <Code>NoSuchBucket</Code>");
        assert_eq!(of_object(&bucket), BucketFault::NoBucket);
    }

    #[test]
    fn object_of_another_size_is_told_from_a_server_that_fails() {
        for text in [
            "status code: 416 Range Not Satisfiable: <Code>InvalidRange</Code>",
            "Generic S3 error: Requested 0..5, got 0..3",
            "Generic S3 error: Wanted range starting at 5, but object was only 3 bytes long",
        ] {
            let fault = of_object(&generic(text));
            assert_eq!(fault, BucketFault::OtherSize, "{text}");
            let told = fault.into_error();
            assert!(matches!(told, BlobError::Damaged { .. }), "{told:?}");
        }
        let busy = generic("status code: 503 Service Unavailable: Requested too much");
        let fault = of_object(&busy);
        assert_eq!(
            fault,
            BucketFault::Status("503 Service Unavailable".to_owned())
        );
    }

    #[test]
    fn redirects_say_what_to_check() {
        for text in [
            "Received redirect without LOCATION, this normally indicates an incorrectly configured region",
            "Server returned non-2xx status code: 301 Moved Permanently: ",
        ] {
            let fault = of(&generic(text));
            assert_eq!(fault, BucketFault::Redirected, "{text}");
            assert_eq!(of_object(&generic(text)), fault);
            let told = fault.to_string();
            assert!(told.contains("--blobs-s3-region"), "{told}");
            assert!(told.contains("--blobs-s3-endpoint"), "{told}");
        }
    }

    #[test]
    fn faults_that_come_and_go_are_said_no_more_often_than_they_can_be_read() {
        let (mut last, begun) = (Last::default(), Instant::now());
        assert!(!last.hear(false, begun), "it is well");
        assert!(last.hear(true, begun));
        assert!(!last.hear(true, begun), "it was said");
        assert!(last.hear(false, begun), "it is over");
        for millis in 1..100 {
            let now = begun + Duration::from_millis(millis);
            assert!(!last.hear(true, now), "it was said just now");
            assert!(!last.hear(false, now), "nobody has heard that it failed");
        }
        let later = begun + SAID_EVERY;
        assert!(last.hear(true, later));
        assert!(last.hear(false, later));
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
