//! Why a request got no response, as whoever sent it is told. How the host says it is `sys`.

use std::fmt;

use ::http::Uri;

#[cfg(any(target_family = "wasm", test))]
use super::kind::CASES;
use super::kind::SendErrorKind;
use crate::body::BodyError;

/// Why a request got no response, or only a part of one.
///
/// With `?` a handler answers 500, and the cause is in the function's log. What is to be treated in
/// another way is told by its [`kind`](SendError::kind):
///
/// ```
/// use everwarm_sdk::http::StatusCode;
/// use everwarm_sdk::{Body, Error, Request, Result, SendErrorKind, send};
///
/// async fn price() -> Result<String> {
///     let request = Request::get("https://prices.example.com/today").body(Body::empty())?;
///     match send(request).await {
///         Ok(response) => Ok(response.into_body().text().await?),
///         Err(error) if error.is_timeout() => {
///             Err(Error::new(StatusCode::GATEWAY_TIMEOUT).with_source(error))
///         }
///         Err(error) if error.kind() == SendErrorKind::ConnectionRefused => {
///             Ok("nobody knows".to_owned())
///         }
///         Err(error) => Err(error.into()),
///     }
/// }
/// ```
pub struct SendError(Box<Cause>);

struct Cause {
    kind: SendErrorKind,
    uri: Option<Uri>,
    text: Option<String>,
    number: Option<u64>,
    source: Option<BodyError>,
}

impl SendError {
    pub(crate) fn new(kind: SendErrorKind) -> Self {
        Self(Box::new(Cause {
            kind,
            uri: None,
            text: None,
            number: None,
            source: None,
        }))
    }

    /// Says what was sent to.
    pub(crate) fn about(mut self, uri: &Uri) -> Self {
        self.0.uri = Some(uri.clone());
        self
    }

    /// Says more.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn with_text(mut self, text: String) -> Self {
        self.0.text = Some(text);
        self
    }

    /// What the host said.
    #[cfg(any(target_family = "wasm", test))]
    pub(crate) fn of_code(code: crate::sys::ErrorCode) -> Self {
        let kind = CASES.get(usize::from(code.case)).copied();
        let mut error = Self::new(kind.unwrap_or(SendErrorKind::InternalError));
        error.0.text = code.text;
        error.0.number = code.number;
        error
    }

    /// The body's source failed.
    #[cfg(any(target_family = "wasm", test))]
    pub(crate) fn of_body(source: BodyError) -> Self {
        let mut error = Self::new(SendErrorKind::RequestBodyFailed);
        error.0.source = Some(source);
        error
    }

    /// What went wrong.
    pub fn kind(&self) -> SendErrorKind {
        self.0.kind
    }

    /// Whether something took too long. Hosts differ in which kind they say of a response that doesn't come.
    pub fn is_timeout(&self) -> bool {
        self.0.kind.is_timeout()
    }

    /// What the host said beside the kind. It differs from host to host: it is for people.
    pub fn detail(&self) -> Option<&str> {
        self.0.text.as_deref()
    }
}

/// For tests of handlers, which say with it how a send failed.
impl From<SendErrorKind> for SendError {
    fn from(kind: SendErrorKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = &*self.0;
        // No more of the URI: the rest may hold secrets, and this goes to a log.
        if let Some(uri) = &cause.uri
            && let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host())
        {
            write!(formatter, "{scheme}://{host}")?;
            if let Some(port) = uri.port() {
                write!(formatter, ":{port}")?;
            }
            formatter.write_str(": ")?;
        }
        formatter.write_str(cause.kind.text())?;
        let (before, behind) = cause.kind.unit();
        match (&cause.text, cause.number) {
            (None, None) => Ok(()),
            (Some(text), None) => write!(formatter, " ({text})"),
            (None, Some(number)) => write!(formatter, " ({before}{number}{behind})"),
            (Some(text), Some(number)) => write!(formatter, " ({text}, {before}{number}{behind})"),
        }
    }
}

impl fmt::Debug for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SendError({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use ::http::Uri;

    use super::{SendError, SendErrorKind};
    use crate::body::BodyError;
    use crate::sys::ErrorCode;
    use crate::{Error, IntoResponse};

    fn of_code(case: u8, text: Option<&str>, number: Option<u64>) -> SendError {
        SendError::of_code(ErrorCode {
            case,
            text: text.map(str::to_owned),
            number,
        })
    }

    #[test]
    fn a_denied_request_says_what_to_do() {
        let uri = Uri::from_static("https://user:word@api.example.com:8443/a?key=secret");
        let error = of_code(15, None, None).about(&uri);
        assert_eq!(error.kind(), SendErrorKind::HttpRequestDenied);
        assert_eq!(
            error.to_string(),
            "https://api.example.com:8443: the manifest grants no such host: add it to `http` in \
             [function.grants]"
        );
    }

    #[test]
    fn what_the_host_says_is_kept() {
        let name = of_code(1, Some("NXDOMAIN"), Some(3));
        assert_eq!(name.detail(), Some("NXDOMAIN"));
        assert_eq!(
            name.to_string(),
            "the name could not be resolved (NXDOMAIN, code 3)"
        );
        let size = of_code(28, None, Some(4096));
        assert_eq!(
            size.to_string(),
            "the response's body is too long (4096 bytes)"
        );
        let rare = of_code(31, Some("gzip"), None);
        assert_eq!(
            rare.to_string(),
            "the response's transfer coding is unknown (gzip)"
        );
        let unknown = of_code(200, None, None);
        assert_eq!(unknown.kind(), SendErrorKind::InternalError);
    }

    #[test]
    fn what_took_too_long_is_told_apart() {
        assert!(of_code(9, None, None).is_timeout());
        assert!(!of_code(7, None, None).is_timeout());
    }

    #[test]
    fn a_failed_body_is_the_source() {
        let error = SendError::of_body(BodyError::new("the disk is gone"));
        let source = std::error::Error::source(&error).expect("a source");
        assert_eq!(source.to_string(), "the disk is gone");
    }

    #[test]
    fn a_handler_that_passes_it_on_answers_500_and_tells_the_client_nothing() {
        let error = Error::from(of_code(6, None, None));
        assert_eq!(
            error.to_string(),
            "500 Internal Server Error: the server refused the connection"
        );
        assert_eq!(error.into_response().status(), 500);
    }
}
